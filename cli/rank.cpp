// `bestreel rank`, `bestreel resume`, `bestreel export`: one run, begun, continued, written out.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>
#include <utility>

#include "app/files.h"
#include "app/judges.h"
#include "app/memory.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/run.h"
#include "core/base/fail.h"
#include "plugin/runs/run_store.h"
#include "plugin/runs/run_view.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

using app::expand_videos;

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
  for (const events::Arrived& file : view.arrived) then.insert(file.path);
  return then == now;
}

/// `view`: of the run that is gone on with; empty: it begins. `files`: as they are now, that are to
/// be taken in. `watched`: folders and files where more may come.
int rank(const RunConfig& config, const std::string& directory, const RunView& view,
         const std::vector<JudgePtr>& judges, const std::vector<std::string>& files,
         const std::vector<std::string>& watched, bool json) {
  app::Arrivals arrivals(view.arrived);
  const std::vector<Arrived> first = arrivals.take_in(files);
  Interrupt interrupt;
  const auto more = [&]() -> std::vector<Arrived> {
    while (!interrupt.wait(0.5)) {
      std::vector<Arrived> arrived = arrivals.look(expand_videos(watched));
      if (!arrived.empty()) return arrived;
    }
    return {};  // a watch has no other end than Ctrl-C: it is then no interruption
  };
  app::FilesEngine engine;
  return drive(config, directory, engine, judges, interrupt,
               {.json = json,
                .top = static_cast<int>(config.values.integer("top", 0)),
                .files = first,
                .more = watched.empty() ? std::function<std::vector<Arrived>()>{} : more});
}

/// Goes on with a run of `rank`: the videos are the run's own.
int rank_again(RunConfig config, const std::string& directory, const RunView& view, bool json) {
  std::vector<std::string> files;
  for (const events::Arrived& file : view.arrived) files.push_back(file.path);
  config.values.set("video", files);
  config.values.set("out", directory);
  const std::vector<JudgePtr> judges =
      app::make_judges(app::obey_memory(config, app::largest_video(files), files.size()));
  return rank(config, directory, view, judges, {}, {}, json);
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
  const std::vector<JudgePtr> judges = app::make_judges(
      app::obey_memory(config, app::largest_video(files),
                       watch ? std::max<std::size_t>(8, files.size()) : files.size()));
  RunView then;
  if (RunStore::exists(out)) {
    then = project(RunStore::open_read_only(out).events());
  }
  // A run that was killed before its files were recorded has none yet.
  const bool begun = !then.arrived.empty();
  if (begun && !watch && !same_videos(then, files)) {
    fail("run_mismatch", "rank",
         "{} holds a run over other videos: choose another --out, or go on "
         "with it by `bestreel resume {}`",
         out, out);
  }
  // Without --watch a file that has changed under a run is not taken in anew.
  return rank(config, out, then, judges, begun && !watch ? std::vector<std::string>{} : files,
              watch ? inputs : std::vector<std::string>{}, config.values.flag("json"));
}

int run_resume(const RunConfig& config) {
  const std::string directory = app::required_text(config, "directory", "DIR");
  const RunView view = project(RunStore::open_read_only(directory).events());
  const RunSettings& settings = view.settings;
  if (settings.command.empty() || (settings.command == "rank" && view.arrived.empty()))
    fail("run_empty", "resume",
         "{} holds a run that had not begun: repeat the command that made it", directory);
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
