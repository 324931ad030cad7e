#include "adapters/diffusers/c_api.h"

#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "adapters/diffusers/handle.h"
#include "app/generation.h"
#include "app/judges.h"
#include "app/run_config.h"
#include "core/base/fail.h"
#include "plugin/session.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/runtime.h"
#endif

using namespace bestreel;
using Json = nlohmann::ordered_json;

using c_face::answer;
using c_face::guarded;
using c_face::kOp;

namespace {

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

/// The recipe and the place of `options`, by the table of options.
app::RunConfig config_of(const Json& options) {
  return app::config_from_json(app::host_command(), kOp, options.at("recipe").dump(),
                               options.at("place").dump());
}

std::unique_ptr<Session> make_session(const std::string& directory, const Json& options,
                                      BestreelJudge host_judge) {
  const app::RunConfig config = config_of(options);
  const Json& host = options.at("host");
  EngineCapabilities engine{.id = host.at("engine").get<std::string>(),
                            .name = host.at("name").get<std::string>(),
                            .scheduling = Scheduling::kSequential,
                            .previews = host.at("previews").get<bool>(),
                            .steps = host.at("steps").get<int>(),
                            .forwards_per_step = host.at("forwards_per_step").get<double>()};
  std::vector<JudgePtr> judges;
  if (host.contains("judge")) {
    const Json& judge = host.at("judge");
    judges.push_back(std::make_shared<HostJudge>(
        host_judge, JudgeInfo{.id = judge.at("id").get<std::string>(),
                              .name = judge.at("name").get<std::string>(),
                              .reads_prompt = false}));
  } else {
    judges = app::make_judges(config);
  }
  return app::open_session(config, directory, engine, judges, {}, nullptr, "",
                           host.at("versions").get<std::string>());
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
    const Json& rate = options.at("host").at("fps");
    const Rational fps{rate.at(0).get<std::int64_t>(), rate.at(1).get<std::int64_t>()};
    auto session = make_session(directory, options, host_judge);
    Session* const waves = session.get();
    return new BestreelSession{
        .fps = fps,
        .callback = waves,
        .next_wave = [waves] { return waves->next_wave(); },
        .directory = directory,
        .session = std::move(session),
    };
  });
}

void bestreel_close(BestreelSession* session) { delete session; }

const char* bestreel_finish(BestreelSession* s) {
  return guarded<const char*>(nullptr, [&] {
    const Outcome outcome = s->session->finish();
    write_report(s->directory, outcome.view);
    answer = outcome_json(outcome, s->session->ledger())
                 .dump(-1, ' ', false, Json::error_handler_t::replace);
    return answer.c_str();
  });
}
