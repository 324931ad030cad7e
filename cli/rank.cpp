// `bestreel rank`, `bestreel resume`, `bestreel export`: one run, begun, continued, written out.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "app/judges.h"
#include "app/memory.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/ranking.h"
#include "plugin/runs/cascade_view.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

struct Output {
  int top = 0;
  bool json = false;
  ReportOptions report;
};

/// Size and time of a file: a cheap sign that it has changed.
struct Stamp {
  std::uintmax_t size = 0;
  fs::file_time_type time;
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

std::optional<Stamp> stamp_of(const std::string& path) {
  std::error_code error;
  Stamp stamp{fs::file_size(path, error), {}};
  if (!error) stamp.time = fs::last_write_time(path, error);
  return error ? std::nullopt : std::optional(stamp);
}

/// Files that have come to rest: equal stamps in two looks, and not reported before.
class Arrivals {
 public:
  explicit Arrivals(const std::vector<std::string>& known) {
    for (const std::string& path : known) {
      if (const auto stamp = stamp_of(path)) taken_[path] = *stamp;
    }
  }

  std::vector<std::string> look(const std::vector<std::string>& files) {
    std::vector<std::string> arrived;
    for (const std::string& path : files) {
      const std::optional<Stamp> stamp = stamp_of(path);
      if (!stamp) continue;
      const auto taken = taken_.find(path);
      if (taken != taken_.end() && taken->second == *stamp) continue;
      const auto seen = seen_.find(path);
      if (seen != seen_.end() && seen->second == *stamp) {
        arrived.push_back(path);
        taken_[path] = *stamp;
      }
      seen_[path] = *stamp;
    }
    return arrived;
  }

 private:
  std::map<std::string, Stamp> taken_, seen_;
};

void print_outcome(const std::string& directory, const RunView& view, const Output& output,
                   bool complete) {
  if (output.json) {
    std::cout << export_run(view, ExportFormat::kJsonl);
    if (!view.settings.keep.empty()) std::cout << cascade_json(view) << "\n";
  } else {
    std::cout << ranking_table(view, output.top) << cascade_table(view, output.top);
  }
  std::cout.flush();
  std::ostream& note = output.json ? std::cerr : std::cout;
  if (!view.winner.empty() && !output.json) note << "\n" << winner_sentence(view) << "\n";
  const fs::path folder(directory);
  note << "\nreport: " << printable((folder / "report.html").string()) << "\n";
  if (!complete) {
    note << "stopped before all were judged: `bestreel resume " << printable(directory)
         << "` goes on\n";
  }
}

int exit_code(const RunView& view, bool complete) {
  if (!complete) return kInterrupted;
  for (const Candidate& candidate : view.candidates) {
    for (const auto& result : candidate.results) {
      if (result ? failed(*result) : candidate.dropped.empty()) return kFailed;
    }
  }
  return kDone;
}

/// Judges what is pending, writes what a run leaves, prints it. `watch`: the paths to go on looking
/// at; empty: once.
int run_ranking(Ranking& ranking, const std::string& directory, const Output& output,
                const std::vector<std::string>& watch) {
  Interrupt interrupt;
  Progress progress("judging");
  const auto judge = [&] {
    const bool complete = ranking.judge_pending(
        interrupt.token(), [&](std::size_t done, std::size_t total, const std::string& name) {
          progress.update(done, total, name);
        });
    progress.clear();
    const RunView& view = ranking.finish(output.report);
    print_outcome(directory, view, output, complete);
    return complete;
  };
  std::vector<std::string> known;
  for (const Candidate& candidate : ranking.view().candidates) known.push_back(candidate.path);
  Arrivals arrivals(known);

  bool complete = known.empty() || judge();
  if (!watch.empty()) std::cerr << "watching for new videos, Ctrl-C ends\n";
  while (!watch.empty() && !interrupt.wait(0.5)) {
    const std::vector<std::string> arrived = arrivals.look(expand_videos(watch));
    if (!arrived.empty() && ranking.take_in(arrived) > 0) complete = judge();
  }
  // A watch has no other end than Ctrl-C: it is then no interruption.
  return exit_code(ranking.view(), complete);
}

void refuse_out_inside(const std::string& op, const std::string& out,
                       const std::vector<std::string>& inputs) {
  std::error_code error;
  for (const std::string& input : inputs) {
    if (fs::is_directory(input) && fs::equivalent(input, out, error)) {
      fail_usage(op,
                 "out must be another folder than the videos', but got {}: best.mp4 "
                 "would be ranked itself",
                 out);
    }
  }
}

/// The same videos, in whatever order.
bool same_videos(const RunView& view, const std::vector<std::string>& files) {
  std::set<std::string> then, now(files.begin(), files.end());
  for (const Candidate& candidate : view.candidates) then.insert(candidate.path);
  return then == now;
}

Output output_of(const RunConfig& config) {
  return {.top = static_cast<int>(config.values.integer("top", 0)),
          .json = config.values.flag("json"),
          .report = {.single_file = config.values.flag("single-file"),
                     .command = app::command_line(config)}};
}

/// Goes on with a run of `rank`: the videos are the run's own.
int rank_again(RunConfig config, const std::string& directory, const RunView& view, bool json) {
  std::vector<std::string> files;
  for (const Candidate& candidate : view.candidates) files.push_back(candidate.path);
  config.values.set("video", files);
  config.values.set("out", directory);
  std::vector<JudgePtr> judges =
      app::make_judges(app::obey_memory(config, app::largest_video(files), files.size()));
  const RunSettings settings = app::settings_of(config, judges);
  Ranking ranking = Ranking::resume(directory, settings, std::move(judges));
  Output output = output_of(config);
  output.json = json;
  return run_ranking(ranking, directory, output, {});
}

}  // namespace

int run_rank(const RunConfig& config) {
  app::required_text(config, "prompt");
  const std::string out = app::required_text(config, "out");
  const auto inputs = config.values.list<std::string>("video");
  if (inputs.empty()) {
    fail_usage(config.op, "at least one folder or video must be given: pass FOLDER or VIDEO...");
  }
  const bool watch = config.values.flag("watch");
  refuse_out_inside(config.op, out, inputs);
  const std::vector<std::string> files = expand_videos(inputs);
  if (files.empty() && !watch) {
    fail_usage(config.op, "{} holds no video: pass a folder with videos, or video files",
               fmt::join(inputs, ", "));
  }
  std::vector<JudgePtr> judges = app::make_judges(
      app::obey_memory(config, app::largest_video(files),
                       watch ? std::max<std::size_t>(8, files.size()) : files.size()));
  const RunSettings settings = app::settings_of(config, judges);
  const std::vector<std::string> watched = watch ? inputs : std::vector<std::string>{};

  if (!RunStore::exists(out)) {
    Ranking ranking = Ranking::start(out, settings, files, std::move(judges));
    return run_ranking(ranking, out, output_of(config), watched);
  }
  Ranking ranking = Ranking::resume(out, settings, std::move(judges));
  if (!watch && !same_videos(ranking.view(), files)) {
    fail("run_mismatch", "rank",
         "{} holds a run over other videos: choose another --out, or go on "
         "with it by `bestreel resume {}`",
         out, out);
  }
  if (watch) ranking.take_in(files);
  return run_ranking(ranking, out, output_of(config), watched);
}

int run_resume(const RunConfig& config) {
  const std::string directory = app::required_text(config, "directory", "DIR");
  const RunView view = project(RunStore::open_read_only(directory).events());
  const RunSettings& settings = view.settings;
  if (settings.command.empty()) {
    fail("run_empty", "resume",
         "{} holds a run that had not begun: repeat the command that made it", directory);
  }
  const bool json = config.values.flag("json");
  const RunConfig then = app::stored_config(directory, settings.command, settings.recipe,
                                            settings.place, config.values);
  for (const OptionSpec& spec : config.command->options) {
    const bool moved = spec.scope == OptionScope::kPlace && config.values.given(spec.name);
    if (moved && then.command->find(spec.name) == nullptr)
      app::refuse_option(config.op, *then.command, spec.name);
  }
#ifdef BESTREEL_WITH_TORCH
  if (settings.command == "generate") return generate_again(then, directory, json);
#endif
  return rank_again(then, directory, view, json);
}

int run_export(const RunConfig& config) {
  const std::string directory = app::required_text(config, "directory", "DIR");
  const RunView view = project(RunStore::open_read_only(directory).events());
  std::cout << export_run(
      view, config.values.text("format") == "csv" ? ExportFormat::kCsv : ExportFormat::kJsonl);
  std::cout.flush();
  if (!std::cout)
    fail("write_failed", "export", "stdout could not be written: check where it goes");
  return kDone;
}

}  // namespace bestreel::cli
