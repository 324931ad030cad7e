// `bestreel generate` and `bestreel replay`: candidates from our own engine, the best one out.
#include <charconv>
#include <filesystem>
#include <iostream>

#include "app/generation.h"
#include "app/judges.h"
#include "app/machine.h"
#include "app/memory.h"
#include "app/prompts.h"
#include "cli/command.h"
#include "cli/interrupt.h"
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

/// One prompt into one directory.
int run_one(const app::Job& job, Engine& engine, const std::vector<JudgePtr>& judges,
            std::stop_token stop, bool json) {
  const RunConfig& config = job.config;
  const std::string& out = job.directory;
  const int top = static_cast<int>(config.values.integer("top", 0));
  std::unique_ptr<Trace> trace;
  if (config.values.has("trace")) trace = std::make_unique<Trace>(config.values.text("trace"));
  const std::unique_ptr<Session> opened =
      app::open_session(config, out, engine.capabilities(), judges, stop, trace.get(), config.op);
  Session& session = *opened;
  const Outcome outcome = session.run(engine);
  if (trace) trace->close();
  write_report(out, outcome.view, {.command = app::command_line(config)});
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

int generate(const RunConfig& config, const std::vector<app::Job>& jobs, bool json) {
  const std::vector<JudgePtr> judges = app::make_judges(app::obey_memory(config, {}, 0));
  const std::unique_ptr<Engine> engine = app::make_engine(config);
  Interrupt interrupt;
  if (jobs.size() == 1 && jobs[0].id.empty())
    return run_one(jobs[0], *engine, judges, interrupt.token(), json);
  int code = kDone;
  std::vector<std::string> failures;
  for (const app::Job& job : jobs) {
    if (!json)
      std::cout << bold(printable(job.id + ": " + job.config.values.text("prompt"))) << "\n";
    try {
      const int one = run_one(job, *engine, judges, interrupt.token(), json);
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

}  // namespace

int run_generate(const RunConfig& config) {
  return generate(config, app::jobs_of(config), config.values.flag("json"));
}

int generate_again(const RunConfig& config, const std::string& directory, bool json) {
  RunConfig again = config;
  again.values.set("out", directory);
  return generate(again, {{.id = "", .directory = directory, .config = again}}, json);
}

int run_replay(const RunConfig& config) {
  const std::string directory = app::required_text(config, "directory", "DIR");
  const std::string id = app::required_text(config, "candidate", "ID");
  const RunView view = project(RunStore::open_read_only(directory).events());
  const RunSettings& settings = view.settings;
  if (settings.command != "generate") {
    fail("run_foreign", config.op,
         "{} holds a run of `{}`: only a run of `generate` can be replayed", directory,
         settings.command);
  }
  CandidateId candidate = 0;
  const std::string digits = id[0] == 'c' ? id.substr(1) : id;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, candidate);
  if (digits.empty() || error != std::errc() || stop != end) {
    fail_usage(config.op, "candidate must be a number or a name, such as c003, but got {}", id);
  }
  const RunConfig then = app::stored_config(directory, settings.command, settings.recipe,
                                            settings.place, config.values);
  const std::unique_ptr<Engine> engine = app::make_engine(then);
  if (engine->capabilities().id != settings.engine) {
    fail("replay_differs", config.op,
         "{} cannot be made again, its engine was {} and is now {}: other weights or "
         "files lie in the model's folder, put back the run's",
         id, settings.engine, engine->capabilities().id);
  }
  RunSettings now = settings;
  now.versions = app::version_line();
  const fs::path out = fs::absolute(
      config.values.has("out")
          ? config.values.text("out")
          : (fs::path(directory) / fmt::format("replay-{}.mp4", candidate_name(candidate)))
                .string());
  const VideoSink keep = mp4_sink(out.parent_path().string(), {{"prompt", settings.prompt}});
  const Replayed made = replay(
      directory, candidate, *engine, now,
      [&](const std::string&, const VideoPtr& video) { return keep(out.stem().string(), video); });
  if (!made.recorded) {
    std::cout << printable(made.path) << ": the run holds no file of it to compare with\n";
    return kDone;
  }
  if (!made.equal) {
    fail("replay_differs", config.op, "{} has other bytes than the run's: {}", made.path,
         made.difference.empty() ? "engine, threads and versions are the run's: please report this"
                                 : made.difference);
  }
  std::cout << printable(made.path) << ": the same bytes as the run's\n";
  return kDone;
}

}  // namespace bestreel::cli
