#include "reward/videoscore2/videoscore2_judge.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <set>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/device.h"
#include "core/nn/device_stream.h"
#include "reward/videoscore2/answer.h"
#include "reward/videoscore2/frames.h"
#include "reward/videoscore2/model.h"
#include "reward/videoscore2/prompt.h"
#include "reward/videoscore2/reader.h"

namespace bestreel {
namespace {

using namespace videoscore2;

at::ScalarType activations_of(const VideoScore2Options& options) {
  if (options.dtype == "fp32") return at::kFloat;
  if (options.dtype == "bf16") return at::kBFloat16;
  fail_usage("score", "--dtype must be fp32 or bf16 but got \"{}\"", options.dtype);
}

void check(const VideoScore2Options& o) {
  if (o.folder.empty()) fail_usage("score", "the judge's folder must not be empty");
  if (o.threads < 0) fail_usage("score", "--threads must be at least 1 but got {}", o.threads);
  if (o.rationale < 0)
    fail_usage("score", "--rationale must be a number of tokens or none but got {}", o.rationale);
  if (!(o.fps >= 0) || !std::isfinite(o.fps))
    fail_usage("score", "--fps must be above 0 but got {}", o.fps);
  if (o.max_frames < 0 || o.max_frames == 1)
    fail_usage("score", "--max-frames must be at least 2 but got {}", o.max_frames);
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    fail_usage("score", "--temperature must be 0 (greedy) or above but got {}", o.temperature);
  if (o.readings < 1) fail_usage("score", "--readings must be at least 1 but got {}", o.readings);
  if (o.readings > 1 && o.temperature == 0)
    fail_usage("score",
               "--readings {} must have a --temperature above 0, since greedy readings are all "
               "equal: pass --temperature 0.7, as the reference does",
               o.readings);
}

// Mean and sample deviation over the readings of one dimension.
Dimension summarise(const std::string& name, const std::vector<Reading>& readings, std::size_t i) {
  Dimension out;
  out.name = name;
  const auto n = static_cast<double>(readings.size());
  std::array<double, 5> p{};
  double soft = 0, square = 0;
  bool every_soft = true;
  for (const Reading& reading : readings) {
    const DigitReading& digit = reading.digits[i];
    out.expected += digit.expected / n;
    for (std::size_t k = 0; k < 5; ++k) p[k] += digit.probabilities[k] / n;
    every_soft = every_soft && digit.reference_soft.has_value();
    soft += digit.reference_soft.value_or(0) / n;
  }
  out.probabilities = p;
  if (every_soft) out.reference_soft = soft;
  if (readings.size() == 1) {
    out.score = readings[0].digits[i].score;
    return out;
  }
  out.score = static_cast<int>(std::nearbyint(out.expected));
  for (const Reading& reading : readings)
    square += std::pow(reading.digits[i].expected - out.expected, 2);
  out.std = std::sqrt(square / (n - 1));
  return out;
}

class VideoScore2Judge final : public Judge {
 public:
  explicit VideoScore2Judge(const VideoScore2Options& options)
      : options_(options),
        query_(find_template(options.folder, options.template_file)),
        device_(nn::parse_device(options.device)),
        model_(Model::load(options.folder, activations_of(options), device_)),
        lane_(device_, /*high_priority=*/true),
        reader_(model_, videoscore2_profile()) {
    if (options_.fps == 0) options_.fps = videoscore2_profile().fps;
    info_.name = videoscore2_profile().name;
    // Everything that can change a score, except the thread count, which a run stores.
    const std::string settings =
        fmt::format("{} {} {} {} {} {} {} {} {}", model_->digest(), query_.hash, options.dtype,
                    options.rationale, options_.fps, options.max_frames, options.temperature,
                    options.temperature > 0 ? options.seed : 0, options.readings);
    // Another kind of device rounds otherwise.
    const std::string place = device_.is_cpu() ? "" : c10::DeviceTypeName(device_.type());
    info_.id = fmt::format("{}-{:.16}", info_.name, sha256(settings + place));
    for (const ProfileDimension& dimension : videoscore2_profile().dimensions)
      info_.dimensions.push_back(dimension.name);
  }

  const JudgeInfo& info() const override { return info_; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    // Both are properties of the calling thread.
    const c10::InferenceMode no_grad;
    const nn::Lane::Scope lane(lane_);
    if (options_.threads > 0) at::set_num_threads(options_.threads);
    std::vector<Result> results;
    for (const Request& request : requests)
      results.push_back(result_of([&]() -> Result { return judge_one(request, stop); }));
    return results;
  }

 private:
  // libtorch's errors, in practice that memory does not suffice for this video, as sentences.
  Judgement judge_one(const Request& request, const std::stop_token& stop) const {
    try {
      return read(request, stop);
    } catch (const c10::Error& error) {
      const std::string_view what = error.what_without_backtrace();
      fail("engine_failed", "score",
           "the judge's operators failed on this video: {}: if memory is short, pass a smaller "
           "--max-frames",
           what.substr(0, what.find('\n')));
    }
  }

  Judgement read(const Request& request, const std::stop_token& stop) const {
    const auto begin = std::chrono::steady_clock::now();
    const auto check_stop = [&] {
      if (stop.stop_requested()) throw Cancelled("score");
    };
    check_stop();
    if (request.condition.prompt.find_first_not_of(" \t\r\n") == std::string::npos)
      fail_usage("score", "prompt must not be empty: pass --prompt TEXT");

    const CheckpointConfig& config = model_->config();
    const FramePlan plan =
        plan_frames(request.video->info(), {options_.fps, options_.max_frames}, config.processor);
    const std::int64_t unit = config.processor.merge_size * config.processor.merge_size;
    const std::vector<std::int64_t> prompt =
        prompt_ids(model_->tokenizer(), config.chat, query_text(query_, request.condition.prompt),
                   config.model.video_token_id, plan.grid[0] * plan.grid[1] * plan.grid[2] / unit);
    // A short context leaves less room for reasons; the scores always have theirs.
    const auto size = static_cast<std::int64_t>(prompt.size());
    const std::int64_t limit = config.model.text.max_positions;
    const std::int64_t rationale =
        std::min(options_.rationale, limit - size - reader_.room(0));
    if (rationale < 0)
      fail("prompt_too_long", "score",
           "prompt, video and scores must fit in {} tokens (max_position_embeddings) but take {}: "
           "shorten the prompt or pass a smaller --max-frames",
           limit, size + reader_.room(0));
    const std::int64_t capacity = size + reader_.room(rationale);

    const at::Tensor patches = read_patches(*request.video, plan, config.processor, stop);
    const double seconds_per_grid =
        static_cast<double>(config.processor.temporal_patch_size) / options_.fps;
    Sequence sequence = model_->sequence(capacity);
    const at::Tensor hidden = model_->prefill(prompt, patches, plan.grid, seconds_per_grid,
                                              sequence, /*last_only=*/true, check_stop);
    const std::int64_t position = sequence.position;
    std::vector<Reading> readings;
    for (int k = 0; k < options_.readings; ++k) {
      sequence.cache.truncate(size);
      sequence.position = position;
      const SamplingOptions sampling{options_.temperature > 0, options_.temperature,
                                     options_.seed + static_cast<std::uint64_t>(k)};
      readings.push_back(
          reader_.read(prompt, hidden, sequence, rationale, sampling, check_stop));
    }

    Judgement out;
    for (std::size_t i = 0; i < info_.dimensions.size(); ++i) {
      out.dimensions.push_back(summarise(info_.dimensions[i], readings, i));
      out.reward += out.dimensions.back().expected / static_cast<double>(info_.dimensions.size());
    }
    const Reading& first = readings.front();
    // Decoded again, so that what is not UTF-8 is U+FFFD and the judgement is a text.
    out.rationale =
        parse_answer(model_->tokenizer().decode(first.tokens), videoscore2_profile()).rationale;
    out.frames = plan.frames;
    out.judge = info_.id;
    out.transcript = Transcript{.forced = first.forced,
                                .grid_thw = plan.grid,
                                .prompt_tokens = prompt,
                                .output_tokens = first.tokens,
                                .digit_positions = first.digit_positions,
                                .template_hash = query_.hash};
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return out;
  }

  VideoScore2Options options_;
  QueryTemplate query_;
  at::Device device_;
  std::shared_ptr<const Model> model_;
  nn::Lane lane_;
  AnswerReader reader_;
  JudgeInfo info_;
};

}  // namespace

JudgePtr make_videoscore2_judge(const VideoScore2Options& options) {
  check(options);
  return std::make_shared<VideoScore2Judge>(options);
}

CheckpointSummary inspect_videoscore2(const std::string& folder, const std::string& template_file) {
  const CheckpointConfig config = read_checkpoint_config(folder);
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const QueryTemplate query = find_template(folder, template_file);
  std::set<std::string> dtypes;
  for (const TensorEntry& entry : checkpoint.entries()) dtypes.insert(entry.dtype);
  CheckpointSummary out;
  out.architecture = config.model.architecture;
  out.parameters = checkpoint.parameters();
  out.bytes = checkpoint.bytes();
  out.dtypes.assign(dtypes.begin(), dtypes.end());
  out.layers = config.model.text.num_layers;
  out.hidden_size = config.model.text.hidden_size;
  out.heads = config.model.text.num_heads;
  out.kv_heads = config.model.text.num_kv_heads;
  out.vocabulary = config.model.text.vocab_size;
  out.vision_layers = config.model.vision.depth;
  out.vision_hidden_size = config.model.vision.hidden_size;
  out.max_positions = config.model.text.max_positions;
  out.min_pixels = config.processor.min_pixels;
  out.max_pixels = config.processor.max_pixels;
  out.repetition_penalty = config.generation.repetition_penalty;
  out.temperature = config.generation.temperature;
  out.top_p = config.generation.top_p;
  out.top_k = config.generation.top_k;
  out.end_tokens = config.generation.eos_token_ids;
  out.system_text = config.chat.system;
  out.template_source = query.source;
  out.template_hash = query.hash;
  out.template_fallback = query.fallback;
  for (const ProfileDimension& dimension : videoscore2_profile().dimensions)
    out.dimensions.push_back(dimension.name);
  return out;
}

}  // namespace bestreel
