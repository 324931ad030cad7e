// `bestreel plan`: what fits into a memory, and how long it takes, before anything runs.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/generation.h"
#include "cli/judges.h"
#include "cli/machine.h"
#include "cli/planning.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/nn/rates.h"
#include "plugin/ranking.h"
#include "sampler/wan/pipeline.h"

namespace bestreel::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kDetails =
    "Reads config files and, where the weights are there, the headers of their files; loads "
    "nothing. The\n"
    "limit and the prediction are the resident set of the process (what VmHWM says). Mapped "
    "weights\n"
    "count, although the system may drop their pages: with less memory a run does not fail but "
    "reads its\n"
    "weights from disk for every token. SIZE is 24G or 24GiB (2^30), 24GB (10^9), 24000M; without "
    "--memory\n"
    "it is this machine's. Times come from counted operations and a measurement of one second. "
    "Answers\n"
    "are counted at their full length, prompts at 4 bytes a token.\n\n"
    "The same numbers rule `rank`, `score` and `generate` with --memory.\n\n"
    "Exit status: 0 it fits, 1 it does not (the sentence names the cheapest remedy), 2 usage.\n\n"
    "Examples:\n"
    "  bestreel plan --model Wan2.1-T2V-1.3B-Diffusers --judge VideoScore2 --memory 24G -n 8\n"
    "  bestreel plan --judge VideoScore2 --memory 24G --dtype bf16 --json\n";

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
    std::cout << fmt::format("{} readings are decoded together\n", planned.plan.slots);
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

int run_plan(const po::variables_map& given) {
  const Command command = plan_command();
  if (given.count("model") == 0 && given.count("model-file") == 0 && given.count("judge") == 0) {
    fail_usage(command.name,
               "a model or a judge must be given: pass --model FOLDER, --judge SPEC or both");
  }
  const std::int64_t memory = given.count("memory") != 0
                                  ? parse_memory(command.name, given["memory"].as<std::string>())
                                  : static_cast<std::int64_t>(usable_memory());
  const std::vector<std::string> videos =
      given.count("video") != 0 ? expand_videos(given["video"].as<std::vector<std::string>>())
                                : std::vector<std::string>{};
  const int threads = given.count("threads") != 0 ? given["threads"].as<int>() : usable_cores();
  if (threads < 1 || threads > 1024) {
    fail_usage(command.name, "threads must be between 1 and 1024, but got {}", threads);
  }
  VideoInfo video = largest_video(videos);
  if (videos.empty()) {
    const wan::VideoSize size = size_of(given, command);
    video.width = static_cast<int>(size.width);
    video.height = static_cast<int>(size.height);
    video.frame_count = size.frames;
    video.fps = {given["fps"].as<int>(), 1};
  }
  const Planned planned = plan_of(
      given, command, memory, video,
      videos.empty() ? static_cast<std::size_t>(std::max(1, given["n"].as<int>())) : videos.size());
  const nn::Rates measured = nn::measure_rates(threads);
  const MachineRates rates{measured.flops, measured.bytes_per_second};
  const PlanSeconds seconds = plan_seconds(planned.request, planned.plan, rates);
  if (given.count("json") != 0) {
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

}  // namespace

Command plan_command() {
  return {"plan",
          "what fits into a memory, and how long it takes",
          "[--model FOLDER] [--judge SPEC...] [--memory SIZE] [VIDEO...]",
          "video",
          kDetails,
          [] {
            po::options_description options("Options");
            add_judge_options(options);
            add_model_options(options);
            options.add_options()("prompts", po::value<std::string>()->value_name("FILE"),
                                  "many prompts, as for generate")(
                "negative", po::value<std::string>()->value_name("TEXT"), "what to avoid")(
                "n,n", po::value<int>()->value_name("N")->default_value(4), "candidates")(
                "size", po::value<std::string>()->value_name("WxH")->default_value("832x480"),
                "pixels")("frames", po::value<int>()->value_name("F")->default_value(81),
                          "of a video")(
                "fps", po::value<int>()->value_name("FPS")->default_value(16), "of the videos")(
                "steps", po::value<int>()->value_name("T")->default_value(50), "denoising steps")(
                "guidance", po::value<double>()->value_name("G")->default_value(5),
                "1: none, half the forwards")(
                "model-dtype", po::value<std::string>()->value_name("D")->default_value("fp32"),
                "fp32 or bf16")("vae-dtype",
                                po::value<std::string>()->value_name("D")->default_value("fp32"),
                                "fp32 or bf16")(
                "strategy", po::value<std::string>()->value_name("S")->default_value("best-of-n"),
                "as for generate: halving has all candidates in flight")(
                "keep", po::value<std::string>()->value_name("K,..."),
                "a cascade of judges, as for rank")(
                "overlap", po::value<std::string>()->value_name("O")->default_value("auto"),
                "judge while denoising")("json", "one JSON object on stdout")(
                "video", po::value<std::vector<std::string>>()->value_name("PATH"),
                "what is judged, where nothing is made; the word `--video` may be left out");
            return options;
          },
          run_plan};
}

}  // namespace bestreel::cli
