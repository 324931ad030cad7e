#include "adapters/diffusers/c_api.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "cli/machine.h"
#include "core/base/fail.h"
#include "examples/tinyworld/oracle_judge.h"
#include "plugin/session.h"
#include "plugin/strategies/best_of_n.h"
#include "plugin/strategies/race.h"
#include "plugin/video_sink.h"
#include "reward/pixels/pixels_judge.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/runtime.h"
#include "reward/videoscore2/videoscore2_judge.h"
#endif

using namespace bestreel;
using Json = nlohmann::ordered_json;

struct BestreelSession {
  std::string directory;
  Rational fps;
  std::unique_ptr<Session> session;
  std::string answer;  ///< what the last call returned
};

namespace {

constexpr const char* kOp = "best_of_n";

thread_local std::string last_error, last_code;

/// `failed` where `work` throws, and the sentence for bestreel_error().
template <typename Value, typename Work>
Value guarded(Value failed, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    last_error = error.what();
    last_code = error.code();
  } catch (const std::bad_alloc&) {
    last_error = fmt::format(
        "[{}] there is not enough memory: ask for fewer frames or a smaller picture", kOp);
    last_code = "out_of_memory";
  } catch (const std::exception& error) {
    last_error = fmt::format("[{}] {}: please report this", kOp, error.what());
    last_code = "engine_failed";
  }
  return failed;
}

/// The host's frames (count, height, width, 3) as a video that owns a copy.
VideoPtr copy_in(const std::uint8_t* frames, std::int64_t count, std::int64_t height,
                 std::int64_t width, Rational fps) {
  if (frames == nullptr || count < 1 || height < 1 || width < 1) {
    fail_usage(kOp, "frames must be at least one picture, but got {} of {} x {}", count, width,
               height);
  }
  const std::int64_t bytes = count * height * width * 3;
  const std::shared_ptr<std::uint8_t[]> own(new std::uint8_t[static_cast<std::size_t>(bytes)]);
  std::memcpy(own.get(), frames, static_cast<std::size_t>(bytes));
  return video_from_frames({own.get(),
                            DType::kUInt8,
                            {},
                            {count, 3, height, width},
                            {height * width * 3, 1, width * 3, 3},
                            own},
                           fps);
}

/// A function of the host's as a judge.
class HostJudge final : public Judge {
 public:
  HostJudge(BestreelJudge function, JudgeInfo info) : function_(function), info_(std::move(info)) {}
  const JudgeInfo& info() const override { return info_; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    std::vector<Result> results;
    for (const Request& request : requests) {
      results.push_back(result_of([&]() -> Result {
        if (stop.stop_requested()) throw Cancelled("judge");
        return ask(*request.video);
      }));
    }
    return results;
  }

 private:
  Result ask(const Video& video) const {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(video.info().frame_count));
    std::iota(indices.begin(), indices.end(), 0);
    const TensorView view = video.read_host(indices);
    const std::vector<std::uint8_t> frames = interleaved(view);
    std::string text(1 << 16, '\0');
    if (function_(frames.data(), view.dim(0), view.dim(2), view.dim(3), text.data(), text.size()) !=
        0) {
      fail("judge_failed", "judge", "{} must answer, but did not: see its own message", info_.name);
    }
    const Json answer = Json::parse(text.c_str());
    if (answer.contains("failure")) return result_from_json(text.c_str());
    Judgement judgement;
    judgement.reward = answer.at("reward").get<double>();
    for (const auto& [name, value] : answer.at("measures").items()) {
      judgement.measures.emplace_back(name, value.get<double>());
    }
    judgement.frames = std::move(indices);
    judgement.judge = info_.id;
    return judgement;
  }

  static std::vector<std::uint8_t> interleaved(const TensorView& view) {
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(view.dim(0) * 3 * view.dim(2) * view.dim(3)));
    std::uint8_t* to = out.data();
    const auto* from = static_cast<const std::uint8_t*>(view.data);
    for (std::int64_t t = 0; t < view.dim(0); ++t) {
      for (std::int64_t y = 0; y < view.dim(2); ++y) {
        for (std::int64_t x = 0; x < view.dim(3); ++x) {
          for (std::int64_t c = 0; c < 3; ++c) {
            *to++ = from[t * view.strides[0] + c * view.strides[1] + y * view.strides[2] +
                         x * view.strides[3]];
          }
        }
      }
    }
    return out;
  }

  BestreelJudge function_;
  JudgeInfo info_;
};

JudgePtr checkpoint_judge(const std::string& folder, [[maybe_unused]] const Json& options) {
#ifdef BESTREEL_WITH_TORCH
  const Json& given = options.at("judge_options");
  VideoScore2Options of;
  of.folder = folder;
  of.threads = options.at("threads").get<int>();
  for (const auto& [name, value] : given.items()) {
    if (name == "template")
      of.template_file = value.get<std::string>();
    else if (name == "dtype")
      of.dtype = value.get<std::string>();
    else if (name == "rationale")
      of.rationale = value.get<std::int64_t>();
    else if (name == "readings")
      of.samples = value.get<int>();
    else if (name == "temperature")
      of.temperature = value.get<double>();
    else if (name == "seed")
      of.seed = value.get<std::uint64_t>();
    else {
      fail_usage(kOp,
                 "judge_options must be template, dtype, rationale, readings, temperature or seed, "
                 "but got {}",
                 name);
    }
  }
  return make_videoscore2_judge(of);
#else
  fail("no_libtorch", kOp,
       "{} is a checkpoint, and this build has no libtorch: build with -DBESTREEL_TORCH=ON",
       folder);
#endif
}

JudgePtr make_judge(const Json& options, BestreelJudge host_judge) {
  const Json& judge = options.at("judge");
  if (judge.is_object()) {
    return std::make_shared<HostJudge>(host_judge,
                                       JudgeInfo{.id = judge.at("id").get<std::string>(),
                                                 .name = judge.at("name").get<std::string>(),
                                                 .reads_prompt = false});
  }
  const std::string spec = judge.get<std::string>();
  if (spec == "pixels") return make_pixels_judge();
  if (spec == "tinyworld-oracle") return tinyworld::make_oracle_judge();
  if (!std::filesystem::is_directory(spec)) {
    fail_usage(kOp,
               "judge must be pixels, tinyworld-oracle, the folder of a VideoScore2 checkpoint or "
               "a function, but "
               "got {}, which is no folder",
               spec);
  }
  return checkpoint_judge(spec, options);
}

StrategyPtr make_strategy(const Json& options) {
  const auto seeds = options.at("seeds").get<std::vector<std::uint64_t>>();
  const std::string name = options.at("strategy").get<std::string>();
  if (name == "best-of-n") return best_of_n({.seeds = seeds});
  if (name == "race") {
    return race({.seeds = seeds,
                 .steps = options.at("steps").get<int>(),
                 .checks = options.at("checks").get<std::vector<int>>(),
                 .lag = options.at("lag").get<int>()});
  }
  fail_usage(kOp,
             "strategy must be best-of-n or race, but got {}: others need candidates that advance "
             "together",
             name);
}

std::unique_ptr<Session> make_session(const std::string& directory, const Json& options,
                                      BestreelJudge host_judge) {
  SessionOptions of;
  of.condition = {options.at("prompt").get<std::string>(),
                  options.at("negative").get<std::string>()};
  const Json& judge = options.at("judge");
  of.settings.judges = {judge.is_object() ? judge.at("name").get<std::string>()
                                          : judge.get<std::string>()};
  of.settings.threads = options.at("threads").get<int>();
  of.settings.versions =
      fmt::format("{}; {}", cli::version_line(), options.at("versions").get<std::string>());
  of.keep = mp4_sink(directory, {{"prompt", of.condition.prompt}});
  of.overlap = options.at("overlap").get<bool>();
  of.max_forwards = options.at("max_forwards").get<double>();
  of.max_seconds = options.at("max_seconds").get<double>();
  EngineCapabilities engine{.id = options.at("engine").get<std::string>(),
                            .name = options.at("name").get<std::string>(),
                            .scheduling = Scheduling::kSequential,
                            .previews = options.at("previews").get<bool>(),
                            .steps = options.at("steps").get<int>(),
                            .forwards_per_step = options.at("forwards_per_step").get<double>()};
  return std::make_unique<Session>(directory, std::move(engine), make_strategy(options),
                                   std::vector{make_judge(options, host_judge)}, std::move(of));
}

Json outcome_json(const Outcome& outcome, const CostTotals& ledger) {
  constexpr std::array kEnds{"running", "finished", "dropped", "stopped", "failed"};
  Json out{{"winner", outcome.view.winner},
           {"forwards", ledger.forwards},
           {"judgements", ledger.judgements},
           {"candidates", Json::array()}};
  for (const TrajectoryRecord& trajectory : outcome.view.trajectories) {
    Json one{{"name", trajectory.id},
             {"noise", trajectory.start},
             {"end", kEnds.at(std::size_t(trajectory.end))},
             {"step", trajectory.step},
             {"reason", trajectory.reason},
             {"previews", trajectory.previews.size()}};
    for (const Candidate& candidate : outcome.view.candidates) {
      if (candidate.id != trajectory.id) continue;
      one["path"] = candidate.path;
      one["rank"] = candidate.rank;
      one["reward"] = candidate.reward ? Json(*candidate.reward) : Json();
      const auto& result = candidate.results.at(0);
      one["result"] = result ? Json::parse(to_json(*result)) : Json();
    }
    out["candidates"].push_back(std::move(one));
  }
  return out;
}

}  // namespace

const char* bestreel_error() { return last_error.c_str(); }
const char* bestreel_error_code() { return last_code.c_str(); }

const char* bestreel_libtorch() {
#ifdef BESTREEL_WITH_TORCH
  static const std::string version = nn::runtime_version();
  return version.c_str();
#else
  return "";
#endif
}

BestreelSession* bestreel_open(const char* directory, const char* options_text,
                               BestreelJudge host_judge) {
  return guarded<BestreelSession*>(nullptr, [&] {
    const Json options = Json::parse(options_text);
    const Rational fps{options.at("fps").at(0).get<std::int64_t>(),
                       options.at("fps").at(1).get<std::int64_t>()};
    auto session = make_session(directory, options, host_judge);
    return new BestreelSession{directory, fps, std::move(session), ""};
  });
}

void bestreel_close(BestreelSession* session) { delete session; }

const char* bestreel_next_wave(BestreelSession* s) {
  return guarded<const char*>(nullptr, [&] {
    Json wave = Json::array();
    for (const Start& start : s->session->next_wave()) {
      const Noise* noise = start.state.noise();
      const auto* seed = noise != nullptr ? std::get_if<Noise::Seed>(&noise->form()) : nullptr;
      if (seed == nullptr) fail_usage(kOp, "noise must be a seed, but got {}", start.state.text());
      wave.push_back({{"id", start.id}, {"seed", seed->seed}});
    }
    s->answer = wave.dump();
    return s->answer.c_str();
  });
}

int bestreel_next_stop(BestreelSession* s, int step) {
  return guarded(-1, [&] { return s->session->next_stop(step); });
}

int bestreel_grant(BestreelSession* s, int64_t id, int from, int to) {
  return guarded(-1, [&] { return s->session->request_steps(id, from, to) ? 1 : 0; });
}

int bestreel_advanced(BestreelSession* s, int64_t id, int step, double forwards, double seconds,
                      int64_t peak_bytes) {
  return guarded(-1, [&] {
    s->session->on_steps_done(id, step, {forwards, seconds, peak_bytes});
    return 0;
  });
}

int bestreel_wants_preview(BestreelSession* s, int64_t id, int step) {
  return guarded(-1, [&] { return s->session->wants_preview(id, step) ? 1 : 0; });
}

int bestreel_preview(BestreelSession* s, int64_t id, int step, const uint8_t* frames, int64_t count,
                     int64_t height, int64_t width, double seconds) {
  return guarded(-1, [&] {
    s->session->preview(id, step, copy_in(frames, count, height, width, s->fps), {0, seconds, 0});
    return 0;
  });
}

int bestreel_decide(BestreelSession* s, int64_t id, int step) {
  return guarded(-1, [&] {
    const std::vector<Assignment> assignments = s->session->resample_at(step);
    return std::any_of(assignments.begin(), assignments.end(),
                       [&](const Assignment& assignment) { return assignment.id == id; })
               ? 1
               : 0;
  });
}

int bestreel_finished(BestreelSession* s, int64_t id, const uint8_t* frames, int64_t count,
                      int64_t height, int64_t width, double seconds) {
  return guarded(-1, [&] {
    s->session->finished(id, copy_in(frames, count, height, width, s->fps), {0, seconds, 0});
    return 0;
  });
}

int bestreel_failed(BestreelSession* s, int64_t id, int step, const char* code,
                    const char* sentence, double forwards, double seconds) {
  return guarded(-1, [&] {
    s->session->failed(id, step, {code, sentence}, {forwards, seconds, 0});
    return 0;
  });
}

const char* bestreel_finish(BestreelSession* s) {
  return guarded<const char*>(nullptr, [&] {
    const Outcome outcome = s->session->finish();
    write_report(s->directory, outcome.view);
    s->answer = outcome_json(outcome, s->session->ledger())
                    .dump(-1, ' ', false, Json::error_handler_t::replace);
    return s->answer.c_str();
  });
}
