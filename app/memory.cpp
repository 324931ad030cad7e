#include "app/memory.h"

#include <algorithm>
#include <iostream>

#include "app/generation.h"
#include "app/judges.h"
#include "app/machine.h"
#include "core/base/fail.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/rates.h"
#endif

namespace bestreel::app {
namespace {

// Of x264 and libav while a video is written or read, in pictures.
constexpr std::int64_t kPicturesInCoders = 60;
// Of a whole generation beyond its weights and activations: code of kernels that the warm-up does
// not touch, the encoder's, threads. 44 to 61 MB on the wide generator of tests/cli/test_plan.py.
constexpr std::int64_t kGenerating = std::int64_t{44} << 20;

/// What a plan is made of, but for the config.
struct Given {
  std::int64_t memory = 0, process = 0;
  VideoInfo video;
  std::int64_t n = 1;
};

std::int64_t picture_of(const VideoInfo& video) {
  return static_cast<std::int64_t>(video.width) * video.height;
}

void add_generator(Planned& planned, const RunConfig& config, VideoInfo& video) {
  const EngineNeeds needs = engine_registration(config).estimate(
      config.values, {.op = config.op, .folder = config.values.text("model")});
  video = asked_video(config);
  PlanRequest& request = planned.request;
  planned.tokens = needs.tokens;
  planned.from_headers = planned.from_headers && needs.from_headers;
  request.process += kGenerating + kPicturesInCoders * picture_of(video) * 3 / 2;
  request.generator = needs.estimate;
  request.n = config.values.integer("n");
  request.prompts = config.values.has("prompts") ? 2 : 1;
  request.overlap = config.values.text("overlap") == "on";
}

void add_judges(Planned& planned, const RunConfig& config, const VideoInfo& video) {
  PlanRequest& request = planned.request;
  const auto specs = config.values.list<std::string>("judge");
  const std::vector<int> cascade =
      specs.empty() ? std::vector<int>{} : cascade_of(config, specs.size());
  if (request.generator) {
    const StrategyResources resources = strategy_registration(config).resources(
        config.values, {.judges = specs.size(), .cascade = cascade});
    request.lockstep = resources.all_in_flight;
    request.keeps_videos = resources.keeps_videos;
  }
  JudgeLoad load{.video = video, .videos = request.n};
  if (config.values.has("prompt"))
    load.prompt_bytes = static_cast<std::int64_t>(config.values.text("prompt").size());
  for (std::size_t j = 0; j < specs.size(); ++j) {
    planned.parts.push_back(specs[j]);
    JudgeNeeds needs =
        judge_registration(config.op, specs[j]).estimate(specs[j], config.values, load);
    needs.estimate.name = specs[j];
    planned.from_headers = planned.from_headers && needs.from_headers;
    planned.frames.push_back(needs.frames);
    planned.prompt_tokens.push_back(needs.prompt_tokens);
    request.judges.push_back(needs.estimate);
    request.judged_share.push_back(
        j == 0 || cascade.empty() ? 1.0
                                  : std::min(1.0, cascade[j - 1] / static_cast<double>(request.n)));
  }
}

void fill(Planned& planned, const RunConfig& config, const Given& given) {
  planned.request = {.memory = given.memory, .process = given.process};
  planned.request.n = given.n;
  VideoInfo video = given.video;
  if (config.values.has("model") || recognised_engine(config.values, "") != nullptr) {
    add_generator(planned, config, video);
  } else {
    planned.request.process += kPicturesInCoders / 2 * picture_of(video) * 3 / 2;
  }
  add_judges(planned, config, video);
}

PlanRequest request_with(const RunConfig& config, const Given& given,
                         const std::vector<const Remedy*>& remedies) {
  RunConfig changed = config;
  for (const Remedy* remedy : remedies) changed.values.take(remedy->changes);
  Planned planned;
  fill(planned, changed, given);
  return planned.request;
}

/// In the order of their price: what changes nothing, then what changes scores by little, then
/// pictures.
std::vector<Alternative> alternatives(const RunConfig& config, const Given& given,
                                      const PlanRequest& request) {
  std::vector<Alternative> list;
  if (request.overlap) {
    PlanRequest apart = request;
    apart.overlap = false;
    list.push_back({"pass --overlap off", apart});
  }
  if (request.prompts > 1) {
    PlanRequest alone = request;
    alone.prompts = 1;
    list.push_back(
        {"park the text encoder: run one prompt a command, so that it is freed before the judges "
         "load",
         alone});
  }
  if (request.lockstep) {
    for (std::int64_t fewer_n = request.n - 1; fewer_n > 0; --fewer_n) {
      PlanRequest fewer = request;
      fewer.n = fewer_n;
      if (!plan_memory(fewer).fits) continue;
      list.push_back(
          {fmt::format("pass -n {}: this strategy has all candidates in flight", fewer_n), fewer});
      break;
    }
  }
  const auto add = [&](const std::string& words, const std::vector<const Remedy*>& remedies) {
    list.push_back({words, request_with(config, given, remedies)});
  };
  std::vector<const Remedy*> of_judges;
  for (const std::string& spec : config.values.list<std::string>("judge")) {
    for (const Remedy& remedy : judge_registration(config.op, spec).remedies) {
      if (std::find(of_judges.begin(), of_judges.end(), &remedy) == of_judges.end())
        of_judges.push_back(&remedy);
    }
  }
  for (const Remedy* remedy : of_judges) add(remedy->words, {remedy});
  if (!request.generator) return list;
  const EngineRegistration& engine = engine_registration(config);
  for (const Remedy& remedy : engine.precision_remedies(config.values)) {
    add("pass " + remedy.words, {&remedy});
    for (const Remedy* judge : of_judges)
      add(fmt::format("{} and {}", judge->words, remedy.words), {judge, &remedy});
  }
  for (const Remedy& remedy : engine.picture_remedies(config.values)) add(remedy.words, {&remedy});
  return list;
}

std::int64_t process_bytes([[maybe_unused]] const RunConfig& config) {
#ifdef BESTREEL_WITH_TORCH
  return nn::resident_after_warm_up(static_cast<int>(config.values.integer("threads")));
#else
  return std::int64_t{64} << 20;
#endif
}

}  // namespace

Planned plan_of(const RunConfig& config, std::int64_t memory, const VideoInfo& video,
                std::size_t n) {
  const Given given{memory, process_bytes(config), video,
                    static_cast<std::int64_t>(std::max<std::size_t>(1, n))};
  Planned planned;
  fill(planned, config, given);
  planned.plan = plan_memory(planned.request);
  if (planned.plan.fits) return planned;
  // What changes options is tried on a copy: a size that the model does not make is no remedy.
  try {
    planned.remedy = cheapest_remedy(alternatives(config, given, planned.request));
  } catch (const UsageError&) {
  }
  if (planned.remedy.empty()) {
    planned.remedy =
        fmt::format("nothing cheaper fits; at least {} are needed", memory_text(planned.plan.peak));
  }
  return planned;
}

RunConfig obey_memory(const RunConfig& config, const VideoInfo& video, std::size_t n) {
  if (!config.values.has("memory")) return config;
  const std::int64_t memory = config.values.integer("memory");
  const Planned planned = plan_of(config, memory, video, n);
  if (!planned.plan.fits) {
    fail("memory_short", config.op, "{} needs {} of memory but --memory is {}: {}",
         planned.plan.worst, memory_text(planned.plan.peak), memory_text(memory), planned.remedy);
  }
  std::string line = fmt::format("plan: at most {} of {} ({})", memory_text(planned.plan.peak),
                                 memory_text(memory), planned.plan.worst);
  RunConfig limited = config;
  if (config.values.has("judge-slots")) {
    line += fmt::format(", {} samples together", planned.plan.slots);
    limited.values.set("judge-slots", std::int64_t{planned.plan.slots});
  }
  if (planned.request.generator) line += fmt::format(", {} in flight", planned.plan.trajectories);
  std::cerr << line << "\n";
  return limited;
}

VideoInfo asked_video(const RunConfig& config) {
  const auto size = config.values.list<std::int64_t>("size");
  VideoInfo video;
  video.width = static_cast<int>(size.at(0));
  video.height = static_cast<int>(size.at(1));
  video.frame_count = config.values.integer("frames");
  video.fps = {config.values.integer("fps"), 1};
  return video;
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

}  // namespace bestreel::app
