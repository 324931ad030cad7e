// `bestreel plan`: what fits into a memory, and how long it takes, before anything runs.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/files.h"
#include "app/generation.h"
#include "app/machine.h"
#include "app/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/nn/rates.h"

namespace bestreel::cli {
namespace {

using Json = nlohmann::ordered_json;
using app::Planned;

struct Row {
  std::string name;
  std::int64_t bytes;
  std::string kind;  ///< resident, parked, activations, or per what
};

std::vector<Row> rows_of(const Planned& planned) {
  std::vector<Row> rows{{"program and libraries", planned.request.process, "resident"}};
  if (planned.request.generator) {
    const GeneratorEstimate& g = *planned.request.generator;
    rows.push_back({"denoiser", g.denoiser, "resident"});
    rows.push_back({"autoencoder", g.vae, "resident"});
    rows.push_back({"prompt's keys and values", g.conditioning, "resident"});
    rows.push_back({"text encoder", g.text_encoder, "parked"});
    rows.push_back({"encoding the prompt", g.text_activations, "activations"});
    rows.push_back({"a forward of the denoiser", g.denoise_activations, "activations"});
    rows.push_back({"decoding a candidate", g.decode_activations, "activations"});
    rows.push_back({"latents and solver", g.trajectory, "per trajectory"});
    rows.push_back({"frames", g.video, "per finished video"});
  }
  for (std::size_t j = 0; j < planned.request.judges.size(); ++j) {
    const JudgeEstimate& judge = planned.request.judges[j];
    const std::string name =
        planned.request.judges.size() > 1 ? fmt::format("judge {}", j + 1) : "judge";
    if (judge.weights > 0) rows.push_back({name, judge.weights, "resident"});
    rows.push_back({name + ": video and prompt", judge.activations, "activations"});
    if (judge.slot > 0) {
      rows.push_back({name + ": prompt's keys and values", judge.prompt_cache, "per video"});
      rows.push_back({name + ": keys and values of an answer", judge.slot, "per slot"});
    }
  }
  return rows;
}

void print_json(const Planned& planned, const MachineRates& rates, const PlanSeconds& seconds) {
  Json json{{"memory", planned.request.memory},
            {"fits", planned.plan.fits},
            {"peak", planned.plan.peak},
            {"phase", planned.plan.worst},
            {"remedy", planned.remedy},
            {"judge_slots", planned.plan.slots},
            {"trajectories", planned.request.generator ? planned.plan.trajectories : 0},
            {"weights_seen", planned.from_headers}};
  json["parts"] = Json::array();
  for (const Row& row : rows_of(planned)) {
    json["parts"].push_back({{"name", row.name}, {"bytes", row.bytes}, {"kind", row.kind}});
  }
  json["phases"] = Json::array();
  for (const PlanPhase& phase : planned.plan.phases) {
    json["phases"].push_back({{"name", phase.name}, {"bytes", phase.bytes}});
  }
  json["seconds"] = {{"text", seconds.text},
                     {"denoise", seconds.denoise},
                     {"decode", seconds.decode},
                     {"judges", seconds.judges},
                     {"total", seconds.total}};
  json["machine"] = {{"flops", rates.flops}, {"bytes_per_second", rates.bytes_per_second}};
  std::cout << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

void print_table(const Planned& planned, const MachineRates& rates, const PlanSeconds& seconds) {
  Table parts({bold("what"), bold("kind"), bold("bytes")});
  for (const Row& row : rows_of(planned)) parts.row({row.name, row.kind, memory_text(row.bytes)});
  std::cout << parts.text(2) << "\n";
  Table phases({bold("while"), bold("resident")});
  for (const PlanPhase& phase : planned.plan.phases) {
    const std::string bytes = memory_text(phase.bytes);
    phases.row({phase.name, phase.bytes > planned.request.memory ? red(bytes) : bytes});
  }
  std::cout << phases.text(1) << "\n";
  for (std::size_t j = 0; j < planned.request.judges.size(); ++j) {
    if (planned.prompt_tokens[j] == 0) continue;
    std::cout << fmt::format("{} looks at {} frames, about {} tokens\n",
                             printable(planned.parts[j]), planned.frames[j],
                             planned.prompt_tokens[j]);
  }
  if (planned.tokens > 0) {
    std::cout << fmt::format("{} tokens of the denoiser, {} of {} candidates in flight\n",
                             planned.tokens, planned.plan.trajectories, planned.request.n);
  }
  const bool language_models =
      std::any_of(planned.request.judges.begin(), planned.request.judges.end(),
                  [](const JudgeEstimate& judge) { return judge.max_slots > 1; });
  if (language_models)
    std::cout << fmt::format("{} samples are decoded together\n", planned.plan.slots);
  if (!planned.from_headers)
    std::cout << "some weights are absent: counted from the config files\n";
  std::cout << fmt::format("expected, at {:.0f} GFLOP/s and {:.1f} GB/s: ", rates.flops / 1e9,
                           rates.bytes_per_second / 1e9);
  if (planned.request.generator) {
    std::cout << fmt::format("{} to denoise and {} to decode a candidate, ",
                             duration_text(seconds.denoise), duration_text(seconds.decode));
  }
  for (std::size_t j = 0; j < seconds.judges.size(); ++j) {
    if (planned.prompt_tokens[j] > 0)
      std::cout << fmt::format("{} to judge it, ", duration_text(seconds.judges[j]));
  }
  std::cout << fmt::format("{} in all\n", duration_text(seconds.total));
}

}  // namespace

int run_plan(const RunConfig& config) {
  const OptionValues& values = config.values;
  if (!values.has("model") && app::recognised_engine(values, "") == nullptr &&
      !values.has("judge")) {
    fail_usage(config.op,
               "a model or a judge must be given: pass --model FOLDER, --judge SPEC or both");
  }
  const std::int64_t memory =
      values.integer("memory", static_cast<std::int64_t>(app::usable_memory()));
  const std::vector<std::string> videos = app::expand_videos(values.list<std::string>("video"));
  const VideoInfo video = videos.empty() ? app::asked_video(config) : app::largest_video(videos);
  const Planned planned =
      app::plan_of(config, memory, video,
                   videos.empty() ? static_cast<std::size_t>(values.integer("n")) : videos.size());
  const nn::Rates measured = nn::measure_rates(static_cast<int>(values.integer("threads")));
  const MachineRates rates{measured.flops, measured.bytes_per_second};
  const PlanSeconds seconds = plan_seconds(planned.request, planned.plan, rates);
  if (values.flag("json")) {
    print_json(planned, rates, seconds);
  } else {
    print_table(planned, rates, seconds);
    if (planned.plan.fits) {
      std::cout << fmt::format("fits: at most {} of {}\n", memory_text(planned.plan.peak),
                               memory_text(memory));
    }
  }
  std::cout.flush();
  if (planned.plan.fits) return kDone;
  std::cerr << fmt::format("[plan] does not fit: {} needs {} but memory is {}: {}\n",
                           planned.plan.worst, memory_text(planned.plan.peak), memory_text(memory),
                           planned.remedy);
  return kFailed;
}

}  // namespace bestreel::cli
