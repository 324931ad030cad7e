#include "cli/run.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <utility>

#include "app/judges.h"
#include "app/run.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "plugin/runs/cascade_view.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

using End = TrajectoryRecord::End;

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

void print_lost(const RunConfig& config, const RunView& view) {
  std::size_t lost = 0;
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    if (trajectory.end != End::kFailed) continue;
    std::cerr << fmt::format("{} failed: {}\n", trajectory.id, printable(trajectory.reason));
    ++lost;
  }
  if (lost > 0 && lost == view.trajectories.size()) {
    std::cerr << fmt::format(
        "[{}] none of the {} candidates could be made: what all fail of is the checkpoint, "
        "the machine or a setting, not a seed\n",
        config.command->name, lost);
  }
}

void print(const RunConfig& config, const std::string& directory, const Outcome& outcome,
           const DriveOptions& options) {
  const RunView& view = outcome.view;
  if (options.json) {
    std::cout << export_run(view, ExportFormat::kJsonl);
    if (!view.settings.keep.empty()) std::cout << cascade_json(view) << "\n";
  } else {
    std::cout << ranking_table(view, options.top) << cascade_table(view, options.top);
    if (!view.winner.empty()) std::cout << "\n" << winner_sentence(view) << "\n";
  }
  std::ostream& note = options.json ? std::cerr : std::cout;
  if (!view.trajectories.empty()) print_ledger(note, view.ledger);
  note << "\nreport: " << printable((fs::path(directory) / "report.html").string()) << "\n";
  if (!outcome.complete) {
    note << "interrupted: `bestreel resume " << printable(directory) << "` goes on\n";
  } else {
    print_lost(config, view);
  }
  std::cout.flush();
}

int exit_code(const Outcome& outcome) {
  const RunView& view = outcome.view;
  if (!outcome.complete) return kInterrupted;
  // A folder that is watched may be empty.
  const bool tried = !view.candidates.empty() || !view.trajectories.empty();
  if (view.winner.empty() && tried) return kFailed;
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    if (trajectory.end == End::kFailed) return kFailed;
  }
  for (const Candidate& candidate : view.candidates) {
    for (const auto& result : candidate.results) {
      if (result && failed(*result)) return kFailed;
    }
  }
  return kDone;
}

/// Judgements: how many there are, and how many there will be.
class JudgingBar {
 public:
  explicit JudgingBar(const std::vector<int>& keep, std::size_t judges)
      : keep_(keep), judges_(judges) {}

  void expect(std::size_t files) {
    files_ += files;
    total_ = keep_.empty() ? files_ * judges_ : files_;
    for (const int kept : keep_) total_ += std::min(files_, static_cast<std::size_t>(kept));
  }
  void judged(const std::string& name) {
    ++done_;
    progress_.update(done_, std::max(total_, done_), name);
  }
  void clear() { progress_.clear(); }

 private:
  const std::vector<int> keep_;
  const std::size_t judges_;
  std::size_t files_ = 0, total_ = 0, done_ = 0;
  Progress progress_{"judging"};
};

}  // namespace

int drive(const RunConfig& config, const std::string& directory, Engine& engine,
          const std::vector<JudgePtr>& judges, const Interrupt& interrupt, DriveOptions options) {
  const bool files = engine.capabilities().steps == 0;
  JudgingBar bar(app::cascade_of(config, judges.size()), judges.size());
  bar.expect(options.files.size());
  app::RunHooks hooks;
  bool first = true;
  hooks.ended = [&](const Outcome& outcome) {
    bar.clear();
    if (!options.more || !outcome.view.candidates.empty())
      print(config, directory, outcome, options);
    if (options.more && std::exchange(first, false))
      std::cerr << "watching for new videos, Ctrl-C ends\n";
  };
  if (files) hooks.judged = [&](const std::string& name) { bar.judged(name); };
  if (options.more) {
    hooks.more = [&] {
      std::vector<Arrived> arrived = options.more();
      bar.expect(arrived.size());
      return arrived;
    };
  }
  return exit_code(app::run(config, directory, engine, judges, interrupt.token(),
                            std::exchange(options.files, {}), hooks));
}

}  // namespace bestreel::cli
