// What the engine computes, written down for comparison with the reference libraries.
//   forward: a checkpoint on given ids and patches; process: logits processors on given logits
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>
#include <ctime>

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

// Tokens a second of `width` readings of one prompt that are decoded together; the tokens are those
// with the largest logits, as in a reading.
double batch_rate(const Model& model, const Prompt& prompt, std::int64_t width,
                  std::int64_t steps) {
  std::vector<Sequence> sequences;
  for (std::int64_t i = 0; i < width; ++i) sequences.push_back(model.fork(prompt, steps + 1));
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(width), 1);
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<NextToken> rows;
    for (std::size_t i = 0; i < sequences.size(); ++i) rows.push_back({&sequences[i], tokens[i]});
    const at::Tensor next = choose_tokens(model.language().logits(model.step(rows)), {}).cpu();
    std::copy_n(next.const_data_ptr<std::int64_t>(), width, tokens.begin());
  }
  return static_cast<double>(width * steps) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

json forward(const json& request, const std::string& out) {
  if (request.contains("threads")) at::set_num_threads(request["threads"]);
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  json result;
  const auto start = Clock::now();
  const auto model =
      Model::load(request["folder"], dtype_of(request), request.value("int8", false));
  result["load_seconds"] = since(start);
  const VisionConfig& vision = model->config().model.vision;
  const auto ids = request["ids"].get<std::vector<std::int64_t>>();
  const auto grid = request["grid"].get<Grid>();
  const double seconds_per_grid = request["seconds_per_grid"];
  const std::int64_t steps = request["steps"];
  const std::int64_t width = 3 * vision.temporal_patch_size * vision.patch_size * vision.patch_size;
  const at::Tensor patches =
      read_array(request["patches"], {grid[0] * grid[1] * grid[2], width}, at::kFloat);
  const auto size = static_cast<std::int64_t>(ids.size());

  const bool every = request.value("every_logit", true);
  Prompt prompt;
  at::Tensor logits;
  for (int i = 0; i < request.value("repeat", 1); ++i) {
    const auto begin = Clock::now();
    const std::clock_t cpu = std::clock();
    prompt = model->prefill(ids, patches, grid, seconds_per_grid, !every);
    logits = model->language().logits(prompt.hidden);
    result["prefill_seconds"].push_back(since(begin));
    result["prefill_cpu_seconds"].push_back(static_cast<double>(std::clock() - cpu) /
                                            CLOCKS_PER_SEC);
  }
  write_array(out + "/logits.f32", logits);
  if (request.value("time_vision", false)) {
    const auto begin = Clock::now();
    model->vision()(patches, grid, {});
    result["vision_seconds"] = since(begin);
  }
  at::Tensor hidden = prompt.hidden.narrow(0, prompt.hidden.size(0) - 1, 1);
  Sequence sequence = model->fork(prompt, steps + 1);

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
    const at::Tensor raw = model->language().logits(hidden);
    const at::Tensor processed =
        process_logits(raw, seen_tokens(seen, raw.size(1), at::kCPU).unsqueeze(0),
                       model->config().generation, SamplingOptions{});
    std::vector<double> five, five_processed;
    for (const std::int64_t id : digits) {
      five.push_back(raw[0][id].item<double>());
      five_processed.push_back(processed[0][id].item<double>());
    }
    result["digit_logits"].push_back(five);
    result["digit_scores"].push_back(five_processed);
    seen.push_back(choose_tokens(processed, {}).item<std::int64_t>());
    result["tokens"].push_back(seen.back());
    const NextToken next{&sequence, seen.back()};
    hidden = model->step({&next, 1});
  }
  result["decode_seconds"] = since(begin);
  for (const std::int64_t width : request.value("widths", std::vector<std::int64_t>{}))
    result["batch_tokens_per_second"].push_back(batch_rate(*model, prompt, width, steps));
  return result;
}

json process(const json& request, const std::string& out) {
  const std::int64_t size = request["size"];
  const at::Tensor logits = read_array(request["logits"], {size}, at::kFloat);
  const at::Tensor seen =
      seen_tokens(request["ids"].get<std::vector<std::int64_t>>(), size, at::kCPU);
  GenerationConfig config;
  config.repetition_penalty = request["repetition_penalty"];
  config.top_k = request["top_k"];
  config.top_p = request["top_p"];
  const SamplingOptions options{request["sample"], request["temperature"], 0};
  write_array(out + "/processed.f32",
              process_logits(logits.unsqueeze(0), seen.unsqueeze(0), config, options));
  return json::object();
}

}  // namespace

int main(int argc, char** argv) {
  return dump::run(argc, argv, {{"forward", forward}, {"process", process}});
}
