// The judge's engine on one device, timed: load, vision tower, prefill, decode steps.
//   {"folder", "device", "dtype", "threads", "grid", "video_token", "steps", "rounds", "widths",
//    "capacities"} to one value a line
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include "reward/videoscore2/captured_decode_step.h"
#include "reward/videoscore2/model.h"
#include "reward/videoscore2/sampling.h"
#include "tests/gpu/speed.h"

namespace {

using namespace bestreel;
using namespace bestreel::videoscore2;
using namespace bestreel::speed;

struct Asked {
  at::Device device;
  Grid grid;
  std::vector<std::int64_t> ids;
  at::Tensor patches;
  std::int64_t steps;
  int rounds;
};

Asked read(const json& request, at::Device device, const Model& model) {
  Asked asked{device, request["grid"].get<Grid>(), {}, {}, request["steps"], request["rounds"]};
  const std::int64_t count = asked.grid[0] * asked.grid[1] * asked.grid[2];
  const VisionConfig& vision = model.config().model.vision;
  asked.ids.assign(30, 5);
  asked.ids.insert(
      asked.ids.end(),
      static_cast<std::size_t>(count / vision.spatial_merge_size / vision.spatial_merge_size),
      model.config().model.video_token_id);
  asked.ids.insert(asked.ids.end(), 20, 7);
  const std::int64_t width = 3 * vision.temporal_patch_size * vision.patch_size * vision.patch_size;
  asked.patches = nn::upload(at::randn({count, width}, at::kFloat), device);
  return asked;
}

// The step as the judge takes it: recorded once, the chosen token read by the host each time.
// Returns the hidden state of row 0 after the last step.
at::Tensor decode(const std::string& name, const Model& model, const Asked& asked,
                  const Prompt& prompt, std::int64_t width, std::int64_t capacity) {
  CapturedDecodeStep step(model.language(), width, capacity);
  for (std::int64_t row = 0; row < width; ++row) step.join(row, *prompt.cache);
  const std::int64_t begin = prompt.cache->length();
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(width), 5);
  std::int64_t at = 0;
  const auto tokens = [&] {
    std::vector<CapturedDecodeStep::Token> all;
    for (const std::int64_t id : chosen) all.push_back({id, begin + at, prompt.position + at});
    ++at;
    return all;
  };
  finish(asked.device);
  Clock clock;
  step.run(tokens());
  finish(asked.device);
  tell(name + ", to record", clock.seconds(), "s");

  clock = {};
  at::Tensor hidden;
  for (std::int64_t i = 0; i < asked.steps; ++i) {
    hidden = step.run(tokens());
    const at::Tensor next = choose_tokens(model.language().logits(hidden), {}).cpu();
    std::copy_n(next.const_data_ptr<std::int64_t>(), width, chosen.begin());
  }
  const double seconds = clock.seconds();
  tell(name + ", a step with its token", 1e3 * seconds / static_cast<double>(asked.steps), "ms");
  tell(name, static_cast<double>(width * asked.steps) / seconds, "tokens/s");
  clock = {};
  for (std::int64_t i = 0; i < asked.steps; ++i) step.run(tokens());
  const double enqueued = clock.seconds();
  finish(asked.device);
  tell(name + ", a step alone", 1e3 * clock.seconds() / static_cast<double>(asked.steps), "ms");
  tell(name + ", the host's part", 1e3 * enqueued / static_cast<double>(asked.steps), "ms");
  return hidden.narrow(0, 0, 1).cpu().clone();
}

void judge(const json& request, at::Device device) {
  if (request.contains("threads")) at::set_num_threads(request["threads"]);
  Clock clock;
  const auto model = Model::load(
      request["folder"], request["dtype"] == "bf16" ? at::kBFloat16 : at::kFloat, false, device);
  finish(device);
  tell("load", clock.seconds(), "s");
  const Asked asked = read(request, device, *model);
  tell("patches", static_cast<double>(asked.patches.size(0)), "");
  tell("tokens of the prompt", static_cast<double>(asked.ids.size()), "");

  timed("vision tower", device, asked.rounds, [&] { model->vision()(asked.patches, asked.grid); });
  Prompt prompt;
  timed("prefill, vision tower included", device, asked.rounds,
        [&] { prompt = model->prefill(asked.ids, asked.patches, asked.grid, 1.0); });
  // As many steps twice, and the one that records.
  const std::int64_t least =
      CapturedDecodeStep::capacity_for(prompt.cache->length() + 2 * asked.steps + 1);
  tell("capacity of the decode step", static_cast<double>(least), "tokens");
  at::Tensor alone;
  for (const std::int64_t width : request["widths"]) {
    const at::Tensor row =
        decode(fmt::format("decode, batch {}", width), *model, asked, prompt, width, least);
    if (!alone.defined())
      alone = row;
    else  // 1: the width changes no bit of a score; else it belongs into the judge's id
      tell(fmt::format("batch {}: row 0 has the same bits as in the first batch", width),
           at::equal(row, alone) ? 1 : 0, "");
  }
  for (const std::int64_t times : request["capacities"])
    decode(fmt::format("decode, {} times the capacity", times), *model, asked, prompt,
           request["widths"].front(), least * times);
  tell_check("the hidden state is finite", alone.isfinite().all().item<bool>(),
             "after the last step");
}

}  // namespace

int main(int argc, char** argv) { return speed::run(argc, argv, judge); }
