// `bestreel generate` and `bestreel replay`: candidates from our own engine, the best one out.
#include <charconv>
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/generation.h"
#include "cli/interrupt.h"
#include "cli/judges.h"
#include "cli/machine.h"
#include "cli/planning.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/replay.h"
#include "plugin/runs/cascade_view.h"
#include "plugin/session.h"
#include "plugin/video_sink.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kDetails =
    "FOLDER is a Wan checkpoint as the Hub publishes it (diffusers layout). DIR receives best.mp4, "
    "every\n"
    "candidate, report.html and run.sqlite; the same command on the same DIR goes on where it was\n"
    "interrupted. Candidate k has the seed SEED + k and the initial noise that diffusers draws for "
    "it.\n\n"
    "Strategies:\n"
    "  best-of-n  makes all, judges all\n"
    "             (with --keep 8,3: a cascade; each judge sees the best of the one before)\n"
    "  rerank     the first judge looks at all, the second at the best --keep\n"
    "  race       one after the other; who is behind the earlier ones is stopped on the way\n"
    "  halving    all begin; at each rung the better part goes on, judged on previews\n\n"
    "Exit status: 0 all made and judged, 1 something failed (the rest is done), 2 usage, 130 "
    "interrupted.\n\n"
    "Examples:\n"
    "  bestreel generate --model Wan2.1-T2V-1.3B-Diffusers --judge VideoScore2 -p \"a cat\" -n 8 "
    "--out run1\n"
    "  bestreel generate --model wan/ --judge pixels -p \"a cat\" -n 8 --strategy halving --out "
    "run2\n"
    "  bestreel generate --model wan/ --judge pixels --prompts prompts.txt -n 4 --out runs\n";
constexpr const char* kReplayDetails =
    "Makes one candidate of a run again from its noise and compares it with the file of the run, "
    "byte for\n"
    "byte. Where they differ it says what has changed: engine, checkpoint or versions.\n\n"
    "Example:\n"
    "  bestreel replay run1 --candidate c003 --out again.mp4\n";

/// Threads of the judges; the same as the denoiser's where not given.
int judge_threads_of(const po::variables_map& given, const Command& command, int threads) {
  if (given.count("judge-threads") == 0) return threads;
  const int judging = given["judge-threads"].as<int>();
  if (judging < 1 || judging > 1024) {
    fail_usage(command.name, "judge-threads must be between 1 and 1024, but got {}", judging);
  }
  return judging;
}

bool overlap_of(const po::variables_map& given, const Command& command, int threads, int judging) {
  const std::string word = given["overlap"].as<std::string>();
  if (word != "auto" && word != "on" && word != "off") {
    fail_usage(command.name, "overlap must be auto, on or off, but got {}", word);
  }
  // Measured by `./run bench overlap`: judging gains from cores that the denoiser leaves idle, and
  // takes from it what it gains where both want the same ones.
  const bool fits = threads + judging <= usable_cores();
  if (word == "on" && !fits) {
    std::cerr << fmt::format(
        "[generate] note: {} threads of the denoiser and {} of the judges share {} cores while "
        "they overlap: lower --threads and --judge-threads\n",
        threads, judging, usable_cores());
  }
  return word == "on" || (word == "auto" && fits);
}

double limit_of(const po::variables_map& given, const Command& command, const char* name) {
  if (given.count(name) == 0) return 0;
  const double value = given[name].as<double>();
  if (!(value > 0)) fail_usage(command.name, "{} must be positive, but got {}", name, value);
  return value;
}

void print_ledger(std::ostream& out, const CostTotals& ledger) {
  out << fmt::format("{:g} denoiser forwards in {}, {} decodes in {}, {} judgements in {}",
                     ledger.forwards, duration_text(ledger.denoise_seconds),
                     ledger.decodes + ledger.previews,
                     duration_text(ledger.decode_seconds + ledger.preview_seconds),
                     ledger.judgements, duration_text(ledger.judge_seconds));
  if (ledger.judge_seconds > 0)
    out << fmt::format(", {:.0f} % of the judging hidden", 100 * ledger.hidden_share());
  out << "\n";
}

/// The options as the judges are to read them.
po::variables_map options_of_judges(const po::variables_map& given, const Command& command) {
  po::variables_map judging = given;
  if (given.count("judge-threads") != 0) {
    judging.erase("threads");
    judging.insert(
        {"threads", po::variable_value(boost::any(judge_threads_of(given, command, 1)), false)});
  }
  return judging;
}

/// One prompt into one directory.
int run_one(const po::variables_map& given, const Command& command, const Job& job,
            const std::string& out, Engine& engine, const std::vector<JudgePtr>& judges,
            std::stop_token stop, bool json) {
  SessionOptions options;
  options.settings = make_settings(given, command, judges);
  options.condition = {job.prompt, job.negative};
  options.keep = mp4_sink(out, {{"prompt", job.prompt}});
  if (given.count("lossless") != 0)
    options.lossless_sink = lossless_sink(out, {{"prompt", job.prompt}});
  const int threads = options.settings.threads, judging = judge_threads_of(given, command, threads);
  if (judging != threads) options.settings.judge_threads = judging;
  options.overlap = overlap_of(given, command, threads, judging);
  options.max_forwards = limit_of(given, command, "max-forwards");
  options.max_seconds = limit_of(given, command, "max-seconds");
  options.stop = stop;
  std::unique_ptr<Trace> trace;
  if (given.count("trace") != 0) {
    trace = std::make_unique<Trace>(given["trace"].as<std::string>());
    options.trace = trace.get();
  }
  StrategyPtr strategy =
      make_strategy(given, command, job.seed, engine.capabilities().steps, options.settings);
  const int top = options.settings.top;
  Session session(out, engine.capabilities(), std::move(strategy), judges, std::move(options));
  const Outcome outcome = session.run(engine);
  if (trace) trace->close();
  write_report(out, outcome.view);
  std::ostream& note = json ? std::cerr : std::cout;
  if (json) {
    std::cout << export_run(outcome.view, ExportFormat::kJsonl);
    if (!outcome.view.settings.keep.empty()) std::cout << cascade_json(outcome.view) << "\n";
  } else {
    std::cout << ranking_table(outcome.view, top) << cascade_table(outcome.view, top);
    if (!outcome.view.winner.empty()) std::cout << "\n" << winner_sentence(outcome.view) << "\n";
  }
  print_ledger(note, session.ledger());
  note << "\nreport: " << printable((fs::path(out) / "report.html").string()) << "\n";
  std::cout.flush();
  if (!outcome.complete) {
    note << "interrupted: `bestreel resume " << printable(out) << "` goes on\n";
    return kInterrupted;
  }
  int code = outcome.view.winner.empty() ? kFailed : kDone;
  std::size_t lost = 0;
  for (const TrajectoryRecord& trajectory : outcome.view.trajectories) {
    if (trajectory.end == TrajectoryRecord::End::kFailed) {
      std::cerr << fmt::format("{} failed: {}\n", trajectory.id, printable(trajectory.reason));
      code = kFailed;
      ++lost;
    }
  }
  if (lost > 0 && lost == outcome.view.trajectories.size()) {
    std::cerr << fmt::format(
        "[generate] none of the {} candidates could be made: what all fail of is the checkpoint, "
        "the machine or a setting, not a seed\n",
        lost);
  }
  for (const Candidate& candidate : outcome.view.candidates) {
    for (const auto& result : candidate.results) {
      if (result && failed(*result)) code = kFailed;
    }
  }
  return code;
}

int generate(const po::variables_map& given, const Command& command, bool json) {
  const std::vector<Job> jobs = jobs_of(given, command);
  const std::string out = required_text(given, command, "out", "DIR");
  const std::vector<JudgePtr> judges =
      make_judges(options_of_judges(obey_memory(given, command, {}, 0), command), command);
  const std::unique_ptr<Engine> engine = make_engine(given, command);
  Interrupt interrupt;
  if (given.count("prompts") == 0) {
    return run_one(given, command, jobs[0], out, *engine, judges, interrupt.token(), json);
  }
  int code = kDone;
  std::vector<std::string> failures;
  for (const Job& job : jobs) {
    const std::string folder = (fs::path(out) / job.id).string();
    if (!json) std::cout << bold(printable(job.id + ": " + job.prompt)) << "\n";
    try {
      const int one = run_one(options_of(given, job, folder), command, job, folder, *engine, judges,
                              interrupt.token(), json);
      if (one == kInterrupted) return one;
      if (one != kDone) {
        code = kFailed;
        failures.push_back(job.id);
      }
    } catch (const Error& error) {
      if (interrupt.requested()) throw;
      std::cerr << error.what() << "\n";
      code = kFailed;
      failures.push_back(job.id);
    }
  }
  if (!failures.empty()) {
    std::cerr << fmt::format("[generate] {} of {} prompts had failures: {}\n", failures.size(),
                             jobs.size(), fmt::join(failures, ", "));
  }
  return code;
}

int run_generate(const po::variables_map& given) {
  return generate(given, generate_command(), given.count("json") != 0);
}

int run_replay(const po::variables_map& given) {
  const Command command = replay_command();
  const std::string directory = required_text(given, command, "directory", "DIR");
  const std::string id = required_text(given, command, "candidate", "ID");
  const RunView view = read_view(directory);
  if (view.settings.command != "generate") {
    fail("run_foreign", command.name,
         "{} holds a run of `{}`: only a run of `generate` can be replayed", directory,
         view.settings.command);
  }
  CandidateId candidate = 0;
  const std::string digits = id[0] == 'c' ? id.substr(1) : id;
  const char* const end = digits.data() + digits.size();
  if (digits.empty() || std::from_chars(digits.data(), end, candidate).ptr != end) {
    fail_usage(command.name, "candidate must be a number or a name, such as c003, but got {}", id);
  }
  const Command generate = generate_command();
  const po::variables_map then = parse_again(generate, view.settings, 0);
  const std::unique_ptr<Engine> engine = make_engine(then, generate);
  if (engine->capabilities().id != view.settings.engine) {
    fail("replay_differs", command.name,
         "{} cannot be made again, its engine was {} and is now {}: other weights or "
         "files lie in the model's folder, put back the run's",
         id, view.settings.engine, engine->capabilities().id);
  }
  RunSettings now = view.settings;
  now.versions = version_line();
  const fs::path out = fs::absolute(
      given.count("out") != 0
          ? given["out"].as<std::string>()
          : (fs::path(directory) / fmt::format("replay-{}.mp4", candidate_name(candidate)))
                .string());
  const VideoSink keep = mp4_sink(out.parent_path().string(), {{"prompt", view.settings.prompt}});
  const Replayed made = replay(
      directory, candidate, *engine, now,
      [&](const std::string&, const VideoPtr& video) { return keep(out.stem().string(), video); });
  if (!made.recorded) {
    std::cout << printable(made.path) << ": the run holds no file of it to compare with\n";
    return kDone;
  }
  if (!made.equal) {
    fail("replay_differs", command.name, "{} has other bytes than the run's: {}", made.path,
         made.difference.empty() ? "engine, threads and versions are the run's: please report this"
                                 : made.difference);
  }
  std::cout << printable(made.path) << ": the same bytes as the run's\n";
  return kDone;
}

}  // namespace

int resume_generate(const std::string& directory, const RunSettings& settings, int threads,
                    bool json) {
  const Command command = generate_command();
  po::variables_map then = parse_again(command, settings, threads);
  then.erase("out");
  then.insert({"out", po::variable_value(boost::any(directory), false)});
  return generate(then, command, json);
}

Command generate_command() {
  return {
      "generate",
      "make candidates of a prompt, judge them, keep the best",
      "--model FOLDER --judge SPEC... --prompt TEXT -n N --out DIR",
      "",
      kDetails,
      [] {
        po::options_description options("Options");
        add_judge_options(options);
        options.add_options()("model,m", po::value<std::string>()->value_name("FOLDER"),
                              "a Wan checkpoint, diffusers layout")(
            "prompts", po::value<std::string>()->value_name("FILE"),
            "many prompts: a line each, or JSON lines with prompt, id, seed, negative_prompt")(
            "negative", po::value<std::string>()->value_name("TEXT"), "what to avoid")(
            "n,n", po::value<int>()->value_name("N")->default_value(4),
            "candidates; the first has --seed")(
            "out,o", po::value<std::string>()->value_name("DIR"), "the run's directory")(
            "size", po::value<std::string>()->value_name("WxH")->default_value("832x480"),
            "pixels")("frames", po::value<int>()->value_name("F")->default_value(81), "4 k + 1")(
            "fps", po::value<int>()->value_name("FPS")->default_value(16), "of the videos")(
            "steps", po::value<int>()->value_name("T")->default_value(50), "denoising steps")(
            "guidance", po::value<double>()->value_name("G")->default_value(5),
            "1: none, half the forwards")("guidance-2", po::value<double>()->value_name("G"),
                                          "of the second denoiser (Wan2.2)")(
            "stochastic", po::value<std::string>()->value_name("S")->default_value("none"),
            "none, flow-sde, cps or ddim")("eta-noise",
                                           po::value<double>()->value_name("E")->default_value(0.7),
                                           "strength of --stochastic")(
            "lora", po::value<std::vector<std::string>>()->value_name("FILE[:SCALE]")->composing(),
            "merged into the denoiser")(
            "model-dtype", po::value<std::string>()->value_name("D")->default_value("fp32"),
            "fp32 or bf16")("vae-dtype",
                            po::value<std::string>()->value_name("D")->default_value("fp32"),
                            "fp32 or bf16")(
            "strategy", po::value<std::string>()->value_name("S")->default_value("best-of-n"),
            "best-of-n, rerank, race or halving")("rungs",
                                                  po::value<std::string>()->value_name("K,..."),
                                                  "steps with previews (race, halving)")(
            "eta", po::value<double>()->value_name("E")->default_value(2),
            "1/E go on at each rung (halving)")("finalists",
                                                po::value<int>()->value_name("K")->default_value(1),
                                                "come to the end (halving)")(
            "keep", po::value<std::string>()->value_name("K,..."),
            "a cascade: each judge sees the best K of the one before (rerank: 2)")(
            "preview-decoder", po::value<std::string>()->value_name("FILE"),
            "a small decoder for previews, TAEHV layout (the model's own)")(
            "lag", po::value<int>()->value_name("D")->default_value(0),
            "steps until a decision takes effect")(
            "max-forwards", po::value<double>()->value_name("F"), "stop with the best so far")(
            "max-seconds", po::value<double>()->value_name("S"), "stop with the best so far")(
            "overlap", po::value<std::string>()->value_name("O")->default_value("auto"),
            "judge while denoising: on, off, or auto: where the cores suffice for both")(
            "judge-threads", po::value<int>()->value_name("N"),
            "CPU threads of the judges (as --threads)")(
            "lossless", "keep FFV1 (RGB, bit exact) beside each mp4")(
            "trace", po::value<std::string>()->value_name("FILE"),
            "a time line for ui.perfetto.dev")(
            "combine", po::value<std::string>()->value_name("HOW"),
            "with several judges: rank-mean (default) or weights")(
            "top", po::value<int>()->value_name("K"), "show the K best in the table (all)")(
            "json", "one JSON object per candidate on stdout instead of the table");
        return options;
      },
      run_generate};
}

Command replay_command() {
  return {"replay",
          "make one candidate of a run again",
          "DIR --candidate ID [--out FILE]",
          "directory",
          kReplayDetails,
          [] {
            po::options_description options("Options");
            options.add_options()("candidate,k", po::value<std::string>()->value_name("ID"),
                                  "such as c003, or its number")(
                "out,o", po::value<std::string>()->value_name("FILE.mp4"), "DIR/replay-ID.mp4")(
                "directory", po::value<std::string>()->value_name("DIR"), "the run's directory");
            return options;
          },
          run_replay};
}

}  // namespace bestreel::cli
