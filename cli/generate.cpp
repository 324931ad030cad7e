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
#include "cli/run.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/replay.h"
#include "plugin/runs/run_view.h"
#include "plugin/video_sink.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

int generate(const RunConfig& config, const std::vector<app::Job>& jobs, bool json) {
  const std::vector<JudgePtr> judges = app::make_judges(app::obey_memory(config, {}, 0));
  const std::unique_ptr<Engine> engine = app::make_engine(config);
  Interrupt interrupt;
  if (jobs.size() == 1 && jobs[0].id.empty())
    return drive(jobs[0].config, jobs[0].directory, *engine, judges, interrupt, {.json = json});
  int code = kDone;
  std::vector<std::string> failures;
  for (const app::Job& job : jobs) {
    if (!json)
      std::cout << bold(printable(job.id + ": " + job.config.values.text("prompt"))) << "\n";
    try {
      const int one = drive(job.config, job.directory, *engine, judges, interrupt, {.json = json});
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
