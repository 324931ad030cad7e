#include "reward/videoscore2/videoscore2_judge.h"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <list>
#include <optional>
#include <set>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/device.h"
#include "core/nn/device_stream.h"
#include "core/nn/runtime.h"
#include "reward/videoscore2/answer.h"
#include "reward/videoscore2/continuous_batch.h"
#include "reward/videoscore2/frames.h"
#include "reward/videoscore2/kernels/isa.h"
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

at::Device device_of(const VideoScore2Options& options) { return nn::parse_device(options.device); }

void check(const VideoScore2Options& o) {
  current_isa();  // a wrong BESTREEL_ISA is refused before anything is read
  if (o.weights != "file" && o.weights != "int8")
    fail_usage("score", "--quantize must be none or int8 but got \"{}\"", o.weights);
  if (o.folder.empty()) fail_usage("score", "the judge's folder must not be empty");
  if (o.threads < 0) fail_usage("score", "--threads must be at least 1 but got {}", o.threads);
  if (o.rationale < 0)
    fail_usage("score", "--rationale must be a number of tokens or none but got {}", o.rationale);
  if (!(o.fps >= 0) || !std::isfinite(o.fps))
    fail_usage("score", "--judge-fps must be above 0 but got {}", o.fps);
  if (o.max_frames < 0 || o.max_frames == 1)
    fail_usage("score", "--max-frames must be at least 2 but got {}", o.max_frames);
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    fail_usage("score", "--temperature must be 0 (greedy) or above but got {}", o.temperature);
  if (o.samples < 1) fail_usage("score", "--samples must be at least 1 but got {}", o.samples);
  if (o.samples > 1 && o.temperature == 0)
    fail_usage("score",
               "--samples {} must have a --temperature above 0, since greedy samples are all "
               "equal: pass --temperature 0.7, as the reference does",
               o.samples);
  if (o.slots < 1 || o.slots > kMaxSlots)
    fail_usage("score", "--judge-slots must be between 1 and {} but got {}", kMaxSlots, o.slots);
}

// Mean and sample deviation over the samples of one dimension.
Dimension summarise(const std::string& name, const std::vector<JudgeSample>& samples,
                    std::size_t i) {
  Dimension out;
  out.name = name;
  const auto n = static_cast<double>(samples.size());
  std::array<double, 5> p{};
  double soft = 0, square = 0;
  bool every_soft = true;
  for (const JudgeSample& sample : samples) {
    const DigitReading& digit = sample.digits[i];
    out.expected += digit.expected / n;
    for (std::size_t k = 0; k < 5; ++k) p[k] += digit.probabilities[k] / n;
    every_soft = every_soft && digit.reference_soft.has_value();
    soft += digit.reference_soft.value_or(0) / n;
  }
  out.probabilities = p;
  if (every_soft) out.reference_soft = soft;
  if (samples.size() == 1) {
    out.score = samples[0].digits[i].score;
    return out;
  }
  out.score = static_cast<int>(std::nearbyint(out.expected));
  for (const JudgeSample& sample : samples)
    square += std::pow(sample.digits[i].expected - out.expected, 2);
  out.std = std::sqrt(square / (n - 1));
  return out;
}

// What an Error makes of the work; nullopt: it is done. libtorch's errors, in practice that memory
// does not suffice, become sentences.
template <typename Work>
std::optional<Failure> failure_of(Work&& work) {
  try {
    try {
      work();
      return std::nullopt;
    } catch (const c10::Error& error) {
      const std::string_view what = error.what_without_backtrace();
      fail("engine_failed", "score",
           "the judge's operators failed on this video: {}: if memory is short, pass a smaller "
           "--max-frames or fewer --judge-slots",
           what.substr(0, what.find('\n')));
    }
  } catch (const Error& error) {
    return Failure{error.code(), error.what()};
  }
}

// Several requests at hand as a source.
class SpanSource final : public RequestSource {
 public:
  SpanSource(std::span<const Request> requests, std::stop_token stop)
      : requests_(requests), stop_(std::move(stop)), results_(requests.size()) {}
  std::optional<Item> next(bool) override {
    if (next_ == requests_.size()) return std::nullopt;
    const std::size_t i = next_++;
    return Item{i, requests_[i], stop_};
  }
  void done(std::uint64_t ticket, Result result) override { results_[ticket] = std::move(result); }
  std::vector<Result> results() && { return std::move(results_); }

 private:
  std::span<const Request> requests_;
  std::stop_token stop_;
  std::size_t next_ = 0;
  std::vector<Result> results_;
};

// What stays the same from request to request.
struct Setup {
  VideoScore2Options options;
  QueryTemplate query;
  std::shared_ptr<const Model> model;
  JudgeInfo info;
};

// One call of judge_stream(): the videos that are being read and the batch they share.
//
// Note [The common prefix is not shared]: the prompts of different videos agree only before their
// video tokens: the system turn and the opening of the user's, 15 tokens of the 2,600 of a usual
// clip with Qwen2.5's template. Sharing would save 0.6 % of a prefill and would need a prefill of
// its own for every video, shared or not, for the bits to stay. What is shared whole is the prompt
// of several samples of one video.
class Stream {
 public:
  Stream(const Setup& setup, RequestSource& source, const nn::StreamContext& context)
      : setup_(setup),
        source_(source),
        context_(context),
        batch_(
            setup.model, videoscore2_profile(), setup.options.slots,
            {.sample = setup.options.temperature > 0, .temperature = setup.options.temperature}) {}

  void run() {
    for (;;) {
      fill();
      if (batch_.empty()) return;
      step();
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Job {
    std::uint64_t ticket;
    std::stop_token stop;
    Clock::time_point begin = Clock::now();
    FramePlan plan{};
    std::vector<std::int64_t> tokens{};
    std::int64_t rationale = 0;
    Prompt prompt{};
    int joined = 0;  // samples that have
    std::vector<JudgeSample> samples{};
    int read = 0;  // samples that are there
  };

  // Gives free slots to further samples of the newest video, else to the next video. Waits only
  // where there is nothing else to do.
  void fill() {
    while (batch_.free() > 0) {
      if (!jobs_.empty() && jobs_.back().joined < setup_.options.samples) {
        join(jobs_.back());
      } else if (std::optional<RequestSource::Item> item = source_.next(/*wait=*/batch_.empty())) {
        begin(std::move(*item));
      } else {
        return;
      }
    }
  }

  void begin(RequestSource::Item item) {
    Job job{.ticket = item.ticket, .stop = item.stop};
    std::optional<Failure> failure = failure_of([&] {
      const nn::StreamContext::Scope on(context_);
      prefill(job, std::exchange(item.request, {}));
    });
    if (failure)
      source_.done(job.ticket, std::move(*failure));
    else
      jobs_.push_back(std::move(job));
  }

  void prefill(Job& job, Request request) const {
    const auto check_stop = [&] {
      if (job.stop.stop_requested()) throw Cancelled("score");
    };
    check_stop();
    if (request.condition.prompt.find_first_not_of(" \t\r\n") == std::string::npos)
      fail_usage("score", "prompt must not be empty: pass --prompt TEXT");

    const VideoScore2Options& options = setup_.options;
    const Model& model = *setup_.model;
    const CheckpointConfig& config = model.config();
    job.plan =
        plan_frames(request.video->info(), {options.fps, options.max_frames}, config.processor);
    const Grid& grid = job.plan.grid;
    const std::int64_t unit = config.processor.merge_size * config.processor.merge_size;
    job.tokens = prompt_ids(model.tokenizer(), config.chat,
                            query_text(setup_.query, request.condition.prompt),
                            config.model.video_token_id, grid[0] * grid[1] * grid[2] / unit);
    // A short context leaves less room for reasons; the scores always have theirs.
    const auto size = static_cast<std::int64_t>(job.tokens.size());
    const std::int64_t limit = config.model.text.max_positions;
    const std::int64_t room = answer_room(videoscore2_profile(), 0);
    job.rationale = std::min(options.rationale, limit - size - room);
    if (job.rationale < 0)
      fail("prompt_too_long", "score",
           "prompt, video and scores must fit in {} tokens (max_position_embeddings) but take {}: "
           "shorten the prompt or pass a smaller --max-frames",
           limit, size + room);

    const at::Tensor patches = read_patches(*request.video, job.plan, config.processor, job.stop);
    const double seconds_per_grid =
        static_cast<double>(config.processor.temporal_patch_size) / options.fps;
    job.prompt =
        model.prefill(job.tokens, patches, grid, seconds_per_grid, /*last_only=*/true, check_stop);
    job.samples.resize(static_cast<std::size_t>(options.samples));
  }

  void join(Job& job) {
    const int k = job.joined++;
    const std::optional<Failure> failure = failure_of([&] {
      const nn::StreamContext::Scope on(context_);
      batch_.join({job.ticket, k}, job.prompt, job.tokens, job.rationale,
                  setup_.options.seed + static_cast<std::uint64_t>(k));
    });
    if (failure)
      finish(job.ticket, *failure);
    else if (job.joined == setup_.options.samples)
      job.prompt = {};  // its samples hold what they share
  }

  void step() {
    for (auto job = jobs_.begin(); job != jobs_.end();) {
      const Job& each = *job++;
      if (!each.stop.stop_requested()) continue;
      const Cancelled cancelled("score");
      finish(each.ticket, Failure{cancelled.code(), cancelled.what()});
    }
    if (batch_.empty()) return;
    std::vector<ContinuousBatch::Ended> ended;
    if (const auto failure = failure_of([&] {
          const nn::StreamContext::Scope on(context_);
          ended = batch_.step();
        }))
      while (!jobs_.empty()) finish(jobs_.front().ticket, *failure);
    for (ContinuousBatch::Ended& each : ended) settle(each);
  }

  // Another reading of the same video may have failed before.
  void settle(ContinuousBatch::Ended& ended) {
    const auto job = find(ended.key.request);
    if (job == jobs_.end()) return;
    if (const auto* error = std::get_if<Error>(&ended.outcome)) {
      finish(job->ticket, Failure{error->code(), error->what()});
      return;
    }
    job->samples[static_cast<std::size_t>(ended.key.sample)] =
        std::move(std::get<JudgeSample>(ended.outcome));
    if (++job->read == setup_.options.samples) finish(job->ticket, judgement(*job));
  }

  void finish(std::uint64_t ticket, Result result) {
    batch_.drop(ticket);
    jobs_.erase(find(ticket));
    source_.done(ticket, std::move(result));
  }

  std::list<Job>::iterator find(std::uint64_t ticket) {
    return std::find_if(jobs_.begin(), jobs_.end(),
                        [&](const Job& job) { return job.ticket == ticket; });
  }

  Judgement judgement(const Job& job) const {
    const std::vector<std::string>& names = setup_.info.dimensions;
    Judgement out;
    for (std::size_t i = 0; i < names.size(); ++i) {
      out.dimensions.push_back(summarise(names[i], job.samples, i));
      out.reward += out.dimensions.back().expected / static_cast<double>(names.size());
    }
    const JudgeSample& first = job.samples.front();
    // Decoded again, so that what is not UTF-8 is U+FFFD and the judgement is a text.
    out.rationale =
        parse_answer(setup_.model->tokenizer().decode(first.tokens), videoscore2_profile())
            .rationale;
    out.frames = job.plan.frames;
    out.judge = setup_.info.id;
    out.transcript = Transcript{.forced = first.forced,
                                .grid_thw = job.plan.grid,
                                .prompt_tokens = job.tokens,
                                .output_tokens = first.tokens,
                                .digit_positions = first.digit_positions,
                                .template_hash = setup_.query.hash};
    out.seconds = std::chrono::duration<double>(Clock::now() - job.begin).count();
    return out;
  }

  const Setup& setup_;
  RequestSource& source_;
  const nn::StreamContext& context_;
  ContinuousBatch batch_;
  std::list<Job> jobs_;  // oldest first
};

class VideoScore2Judge final : public Judge {
 public:
  explicit VideoScore2Judge(const VideoScore2Options& options)
      : setup_{.options = options,
               .query = find_template(options.folder, options.template_file),
               .model = Model::load(options.folder, activations_of(options),
                                    options.weights == "int8", device_of(options))},
        context_(device_of(options), /*high_priority=*/true) {
    AnswerTokens::of(setup_.model->tokenizer());  // refuses a tokenizer that cannot score
    if (setup_.options.fps == 0) setup_.options.fps = videoscore2_profile().fps;
    JudgeInfo& info = setup_.info;
    info.name = videoscore2_profile().name;
    info.slots = static_cast<std::size_t>(options.slots);
    // Everything that can change a score, except the thread count, which a run stores.
    const std::string settings =
        fmt::format("{} {} {} {} {} {} {} {} {}", setup_.model->digest(), setup_.query.hash,
                    options.dtype + (options.weights == "int8" ? " int8" : ""), options.rationale,
                    setup_.options.fps, options.max_frames, options.temperature,
                    options.temperature > 0 ? options.seed : 0, options.samples);
    // Another kind of device rounds otherwise.
    const at::Device device = device_of(options);
    const std::string place = device.is_cpu() ? "" : c10::DeviceTypeName(device.type());
    info.id = fmt::format("{}{}-{:.16}", info.name, options.weights == "int8" ? "-int8" : "",
                          sha256(settings + place));
    for (const ProfileDimension& dimension : videoscore2_profile().dimensions)
      info.dimensions.push_back(dimension.name);
  }

  const JudgeInfo& info() const override { return setup_.info; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    SpanSource source(requests, std::move(stop));
    judge_stream(source);
    return std::move(source).results();
  }

  void judge_stream(RequestSource& source) override {
    // Both are properties of the calling thread.
    const c10::InferenceMode no_grad;
    if (setup_.options.threads > 0) nn::set_threads(setup_.options.threads);
    Stream(setup_, source, context_).run();
  }

 private:
  Setup setup_;
  nn::StreamContext context_;
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
  out.system_text = config.chat.system.value_or("");
  out.template_source = query.source;
  out.template_hash = query.hash;
  out.template_fallback = query.fallback;
  for (const ProfileDimension& dimension : videoscore2_profile().dimensions)
    out.dimensions.push_back(dimension.name);
  return out;
}

}  // namespace bestreel
