#include "cli/planning.h"

#include <algorithm>
#include <charconv>
#include <iostream>

#include "cli/judges.h"
#include "cli/machine.h"
#include "core/base/fail.h"
#ifdef BESTREEL_WITH_TORCH
#include "cli/generation.h"
#include "core/nn/rates.h"
#include "reward/videoscore2/plan.h"
#include "sampler/wan/plan.h"
#endif

namespace bestreel::cli {
namespace {

// A judge without weights: pictures of a few frames in float and what it derives from them.
constexpr std::int64_t kPicturesAtWork = 24;
// Of x264 and libav while a video is written or read, in pictures.
constexpr std::int64_t kPicturesInCoders = 60;
// Of a whole generation beyond its weights and activations: code of kernels that the warm-up does
// not touch, the encoder's, threads. 44 to 61 MB on the wide generator of tests/cli/test_plan.py.
constexpr std::int64_t kGenerating = std::int64_t{44} << 20;

bool has_option(const Command& command, const char* name) {
  return command.options().find_nothrow(name, false) != nullptr;
}

#ifdef BESTREEL_WITH_TORCH
constexpr int kMostSlots = 32;  // of a checkpoint's judge

std::string word_of(const po::variables_map& given, const char* name,
                    const std::string& otherwise) {
  return given.count(name) != 0 ? given[name].as<std::string>() : otherwise;
}

bool has_word(const po::variables_map& given, const char* name, const std::string& word) {
  if (given.count(name) == 0) return false;
  const auto words = given[name].as<std::vector<std::string>>();
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What a change of options alters, for the alternatives of a plan that does not fit.
struct Changes {
  bool int8 = false;
  bool half = false;                               ///< generator and autoencoder in bf16
  bool apart = false;                              ///< no overlap
  std::int64_t frames = 0, width = 0, height = 0;  ///< 0: as given
};

std::int64_t tokens_of(std::size_t bytes) { return static_cast<std::int64_t>(bytes) / 4 + 8; }

void add_generator(Planned& planned, const po::variables_map& given, const Command& command,
                   const Changes& changes, VideoInfo& video) {
  wan::GeneratorPlanOptions options;
  options.folder = model_of(given, command);
  options.overrides = overrides_of(given);
  options.size = size_of(given, command);
  if (changes.frames > 0) options.size.frames = changes.frames;
  if (changes.width > 0) options.size.width = changes.width;
  if (changes.height > 0) options.size.height = changes.height;
  options.steps = given["steps"].as<int>();
  options.guidance = given["guidance"].as<double>();
  options.dtype = changes.half ? "bf16" : word_of(given, "model-dtype", "fp32");
  options.vae_dtype = changes.half ? "bf16" : word_of(given, "vae-dtype", "fp32");
  options.prompt_tokens = tokens_of(word_of(given, "prompt", std::string(200, ' ')).size());
  options.negative_tokens = tokens_of(word_of(given, "negative", "").size());
  const wan::GeneratorSize size = wan::plan_wan(options);
  const GeneratorEstimate& need = size.need;
  const std::int64_t picture = options.size.width * options.size.height;
  planned.tokens = size.tokens;
  planned.parked = need.text_encoder;
  planned.from_headers = planned.from_headers && size.from_headers;
  planned.request.process += kGenerating + kPicturesInCoders * picture * 3 / 2;
  planned.request.generator = need;
  planned.request.n = given["n"].as<int>();
  planned.request.prompts = given.count("prompts") != 0 ? 2 : 1;
  const std::string strategy = word_of(given, "strategy", "best-of-n");
  planned.request.lockstep = strategy == "halving" || strategy == "smc";
  planned.request.keeps_videos = given.count("keep") != 0 || strategy == "rerank";
  planned.request.overlap = !changes.apart && word_of(given, "overlap", "auto") == "on";
  video = {};
  video.frame_count = options.size.frames;
  video.width = static_cast<int>(options.size.width);
  video.height = static_cast<int>(options.size.height);
  video.fps = {given["fps"].as<int>(), 1};
}

JudgeEstimate checkpoint_need(Planned& planned, const std::string& folder,
                              const po::variables_map& given, const Command& command,
                              const Changes& changes, const VideoInfo& video) {
  JudgePlanOptions options;
  options.folder = folder;
  options.dtype = word_of(given, "dtype", "fp32");
  options.int8 = changes.int8 || has_word(given, "weights", "int8");
  const std::string rationale = word_of(given, "rationale", "1024");
  if (rationale == "none") {
    options.rationale = 0;
  } else {
    std::from_chars(rationale.data(), rationale.data() + rationale.size(), options.rationale);
  }
  options.samples = given.count("readings") != 0 ? std::max(1, given["readings"].as<int>()) : 1;
  options.max_slots = 1;
  if (has_option(command, "judge-slots")) {
    options.max_slots = given.count("judge-slots") != 0 ? given["judge-slots"].as<int>() : 8;
    if (options.max_slots < 1 || options.max_slots > kMostSlots) {
      fail_usage(command.name, "judge-slots must be between 1 and {}, but got {}", kMostSlots,
                 options.max_slots);
    }
    // No more than there is to read.
    options.max_slots = static_cast<int>(
        std::min<std::int64_t>(options.max_slots, planned.request.n * options.samples));
  }
  options.prompt_bytes =
      static_cast<std::int64_t>(word_of(given, "prompt", std::string(80, ' ')).size());
  options.video = video;
  const JudgeSize size = plan_videoscore2(options);
  planned.from_headers = planned.from_headers && size.from_headers;
  planned.frames.push_back(size.frames);
  planned.prompt_tokens.push_back(size.prompt_tokens);
  return size.need;
}
#else
struct Changes {};
#endif

PlanRequest request_of(Planned& planned, const po::variables_map& given, const Command& command,
                       std::int64_t memory, VideoInfo video, std::size_t n, std::int64_t process,
                       [[maybe_unused]] const Changes& changes) {
  planned.request = {.memory = memory, .process = process};
  planned.request.n = static_cast<std::int64_t>(std::max<std::size_t>(1, n));
  planned.frames.clear();
  planned.prompt_tokens.clear();
  planned.parts.clear();
#ifdef BESTREEL_WITH_TORCH
  if (given.count("model") != 0 || given.count("model-file") != 0)
    add_generator(planned, given, command, changes, video);
#endif
  const std::int64_t picture = static_cast<std::int64_t>(video.width) * video.height;
  if (!planned.request.generator)
    planned.request.process += kPicturesInCoders / 2 * picture * 3 / 2;
  const auto specs = given.count("judge") != 0 ? given["judge"].as<std::vector<std::string>>()
                                               : std::vector<std::string>{};
  const std::vector<int> keep =
      specs.empty() ? std::vector<int>{} : keep_of(given, command, specs.size());
  for (std::size_t j = 0; j < specs.size(); ++j) {
    const std::string& spec = specs[j];
    planned.parts.push_back(spec);
    JudgeEstimate need;
#ifdef BESTREEL_WITH_TORCH
    if (spec != "pixels" && spec != "tinyworld-oracle") {
      need = checkpoint_need(planned, spec, given, command, changes, video);
    } else
#endif
    {
      need.activations = kPicturesAtWork * picture * 4;
      planned.frames.push_back(0);
      planned.prompt_tokens.push_back(0);
    }
    need.name = spec;
    planned.request.judges.push_back(need);
    planned.request.judged_share.push_back(
        j == 0 || keep.empty()
            ? 1.0
            : std::min(1.0, keep[j - 1] / static_cast<double>(planned.request.n)));
  }
  return planned.request;
}

#ifdef BESTREEL_WITH_TORCH
/// In the order of their price: what changes nothing, then what changes scores by little, then
/// pictures.
std::vector<Alternative> alternatives(const po::variables_map& given, const Command& command,
                                      std::int64_t memory, const VideoInfo& video, std::size_t n,
                                      std::int64_t process, const Planned& planned) {
  std::vector<Alternative> list;
  const auto add = [&](const std::string& remedy, const Changes& changes) {
    Planned other;
    list.push_back({remedy, request_of(other, given, command, memory, video, n, process, changes)});
  };
  const bool checkpoints =
      std::any_of(planned.request.judges.begin(), planned.request.judges.end(),
                  [](const JudgeEstimate& judge) { return judge.weights > 0; });
  if (planned.request.overlap) add("pass --overlap off", {.apart = true});
  if (planned.request.prompts > 1) {
    PlanRequest alone = planned.request;
    alone.prompts = 1;
    list.push_back(
        {"park the text encoder: run one prompt a command, so that it is freed before the judges "
         "load",
         alone});
  }
  if (planned.request.lockstep) {
    for (std::int64_t fewer_n = planned.request.n - 1; fewer_n > 0; --fewer_n) {
      PlanRequest fewer = planned.request;
      fewer.n = fewer_n;
      if (!plan_memory(fewer).fits) continue;
      list.push_back(
          {fmt::format("pass -n {}: this strategy has all candidates in flight", fewer_n), fewer});
      break;
    }
  }
  if (checkpoints) add("an int8 judge (--weights int8)", {.int8 = true});
  if (planned.request.generator) {
    add("pass --model-dtype bf16 --vae-dtype bf16", {.half = true});
    if (checkpoints) {
      add("an int8 judge (--weights int8) and --model-dtype bf16 --vae-dtype bf16",
          {.int8 = true, .half = true});
    }
    const wan::VideoSize size = size_of(given, command);
    for (std::int64_t frames = (size.frames / 8) * 4 + 1; frames > 1 && frames < size.frames;
         frames = (frames / 8) * 4 + 1) {
      add(fmt::format("fewer frames: pass --frames {}", frames), {.frames = frames});
    }
    add(fmt::format("a smaller picture: pass --size {}x{}", size.width / 32 * 16,
                    size.height / 32 * 16),
        {.width = size.width / 32 * 16, .height = size.height / 32 * 16});
  }
  return list;
}
#endif

std::int64_t process_bytes([[maybe_unused]] const po::variables_map& given) {
#ifdef BESTREEL_WITH_TORCH
  return nn::resident_after_warm_up(
      given.count("threads") != 0 ? std::max(1, given["threads"].as<int>()) : usable_cores());
#else
  return std::int64_t{64} << 20;
#endif
}

}  // namespace

void add_memory_option(po::options_description& options) {
  options.add_options()(
      "memory", po::value<std::string>()->value_name("SIZE"),
      "obey a plan for this much memory, such as 24G: fewer readings together, or a refusal that "
      "names the remedy");
}

Planned plan_of(const po::variables_map& given, const Command& command, std::int64_t memory,
                const VideoInfo& video, std::size_t n) {
  Planned planned;
  const std::int64_t process = process_bytes(given);
  request_of(planned, given, command, memory, video, n, process, {});
  planned.plan = plan_memory(planned.request);
  if (planned.plan.fits) return planned;
#ifdef BESTREEL_WITH_TORCH
  // What changes options is tried on a copy: a size that the model does not make is no remedy.
  try {
    planned.remedy =
        cheapest_remedy(alternatives(given, command, memory, video, n, process, planned));
  } catch (const UsageError&) {
  }
#endif
  if (planned.remedy.empty()) {
    planned.remedy =
        fmt::format("nothing cheaper fits; at least {} are needed", memory_text(planned.plan.peak));
  }
  return planned;
}

po::variables_map obey_memory(const po::variables_map& given, const Command& command,
                              const VideoInfo& video, std::size_t n) {
  if (given.count("memory") == 0) return given;
  const std::int64_t memory = parse_memory(command.name, given["memory"].as<std::string>());
  const Planned planned = plan_of(given, command, memory, video, n);
  if (!planned.plan.fits) {
    fail("memory_short", command.name, "{} needs {} of memory but --memory is {}: {}",
         planned.plan.worst, memory_text(planned.plan.peak), memory_text(memory), planned.remedy);
  }
  std::string line = fmt::format("plan: at most {} of {} ({})", memory_text(planned.plan.peak),
                                 memory_text(memory), planned.plan.worst);
  po::variables_map limited = given;
  if (has_option(command, "judge-slots")) {
    line += fmt::format(", {} readings together", planned.plan.slots);
    limited.erase("judge-slots");
    limited.insert({"judge-slots", po::variable_value(boost::any(planned.plan.slots), false)});
  }
  if (planned.request.generator) line += fmt::format(", {} in flight", planned.plan.trajectories);
  std::cerr << line << "\n";
  return limited;
}

VideoInfo largest_video(const std::vector<std::string>& files) {
  VideoInfo largest;
  double most = -1;
  for (const std::string& file : files) {
    try {
      VideoInfo info = open_video(file)->info();
      const double size = static_cast<double>(info.width) * info.height *
                          static_cast<double>(std::max<std::int64_t>(1, info.frame_count));
      if (size <= most) continue;
      most = size;
      largest = std::move(info);
    } catch (const Error&) {  // its own failure says so
    }
  }
  if (most < 0) {
    largest.width = 832;
    largest.height = 480;
    largest.frame_count = 81;
    largest.fps = {16, 1};
  }
  return largest;
}

}  // namespace bestreel::cli
