// What the engine computes, written down for comparison with the reference libraries.
//   forward: a checkpoint on given ids and patches; process: logits processors on given logits
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>

#include "dump.h"
#include "reward/videoscore2/model.h"
#include "reward/videoscore2/sampling.h"

namespace {

using namespace bestreel;
using namespace bestreel::videoscore2;
using dump::json, dump::read_array, dump::write_array;

at::ScalarType dtype_of(const json& request) {
  return request.value("dtype", "fp32") == "bf16" ? at::kBFloat16 : at::kFloat;
}

json forward(const json& request, const std::string& out) {
  if (request.contains("threads")) at::set_num_threads(request["threads"]);
  const auto model = Model::load(request["folder"], dtype_of(request));
  const VisionConfig& vision = model->config().model.vision;
  const auto ids = request["ids"].get<std::vector<std::int64_t>>();
  const auto grid = request["grid"].get<Grid>();
  const double seconds_per_grid = request["seconds_per_grid"];
  const std::int64_t steps = request["steps"];
  const std::int64_t width = 3 * vision.temporal_patch_size * vision.patch_size * vision.patch_size;
  const at::Tensor patches =
      read_array(request["patches"], {grid[0] * grid[1] * grid[2], width}, at::kFloat);
  const auto size = static_cast<std::int64_t>(ids.size());

  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  json result;
  Sequence sequence = model->sequence(size + steps + 1);
  const bool every = request.value("every_logit", true);
  at::Tensor hidden, logits;
  for (int i = 0; i < request.value("repeat", 1); ++i) {
    sequence.cache.truncate(0);
    const auto begin = Clock::now();
    hidden = model->prefill(ids, patches, grid, seconds_per_grid, sequence, !every);
    logits = model->language().logits(hidden);
    result["prefill_seconds"].push_back(since(begin));
  }
  write_array(out + "/logits.f32", logits);
  hidden = hidden.narrow(0, hidden.size(0) - 1, 1);

  const WindowOrder windows = window_order(grid, vision);
  result["window_index"] = windows.index;
  result["window_lengths"] = windows.lengths;
  const auto first =
      std::find(ids.begin(), ids.end(), model->config().model.video_token_id) - ids.begin();
  const RopePositions where = rope_positions(size, first, grid, vision, seconds_per_grid);
  result["positions"] = where.axes;
  result["delta"] = where.next - size;

  std::vector<std::int64_t> digits;
  for (const char* digit : {"1", "2", "3", "4", "5"})
    digits.push_back(model->tokenizer().encode_plain(digit).at(0));
  std::vector<std::int64_t> seen = ids;
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < steps; ++i) {
    const at::Tensor raw = model->language().logits(hidden).squeeze(0);
    const at::Tensor processed = process_logits(raw, at::tensor(seen, at::kLong),
                                                model->config().generation, SamplingOptions{});
    std::vector<double> five, five_processed;
    for (const std::int64_t id : digits) {
      five.push_back(raw[id].item<double>());
      five_processed.push_back(processed[id].item<double>());
    }
    result["digit_logits"].push_back(five);
    result["digit_scores"].push_back(five_processed);
    const at::Tensor token = choose_token(processed, SamplingOptions{}, 0);
    seen.push_back(token.item<std::int64_t>());
    result["tokens"].push_back(seen.back());
    hidden = model->append(token.view({1}), sequence);
  }
  result["decode_seconds"] = since(begin);
  return result;
}

json process(const json& request, const std::string& out) {
  const std::int64_t size = request["size"];
  const at::Tensor logits = read_array(request["logits"], {size}, at::kFloat);
  const at::Tensor ids = at::tensor(request["ids"].get<std::vector<std::int64_t>>(), at::kLong);
  GenerationConfig config;
  config.repetition_penalty = request["repetition_penalty"];
  config.top_k = request["top_k"];
  config.top_p = request["top_p"];
  const SamplingOptions options{request["sample"], request["temperature"], 0};
  write_array(out + "/processed.f32", process_logits(logits, ids, config, options));
  return json::object();
}

}  // namespace

int main(int argc, char** argv) {
  return dump::run(argc, argv, {{"forward", forward}, {"process", process}});
}
