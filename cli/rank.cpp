// `bestreel rank`, `bestreel resume`, `bestreel export`: one run, begun, continued, written out.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/command.h"
#ifdef BESTREEL_WITH_TORCH
#include "cli/generation.h"
#endif
#include "cli/interrupt.h"
#include "cli/judges.h"
#include "cli/output.h"
#include "cli/planning.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/ranking.h"
#include "plugin/runs/cascade_view.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRankDetails =
    "DIR receives best.<ext> (the winner's file, byte for byte), report.html and run.sqlite. The\n"
    "same command on the same DIR goes on where it was interrupted.\n\n"
    "Several --judge without --keep all judge everything and are combined. With --keep 8,3 they "
    "are a\n"
    "cascade, the cheapest first: the second judge sees the best 8 of the first, the third the "
    "best 3 of\n"
    "the second. Who was judged further comes first; rewards of different judges are never "
    "compared.\n"
    "With --json a last line {\"cascade\": [...]} says what each judge saw, cost and saved.\n\n"
    "Exit status: 0 all judged, 1 some video failed (the others are still ranked), 2 usage,\n"
    "130 interrupted (what was judged is ranked and kept).\n\n"
    "Examples:\n"
    "  bestreel rank clips/ --prompt \"a red ball bounces\" --judge pixels --out run1\n"
    "  bestreel rank a.mp4 b.mkv -p \"a cat\" -j pixels -j VideoScore2/ --combine rank-mean --out "
    "run2\n"
    "  bestreel rank clips/ -p \"a cat\" -j pixels -j small/ -j VideoScore2/ --keep 8,3 --out "
    "run3\n"
    "  bestreel rank clips/ -p \"a cat\" -j pixels --out run4 --watch\n";
constexpr const char* kResumeDetails =
    "Takes prompt, judges and videos from the run. Refused where the thread count, the versions "
    "or\n"
    "a judge differ from the run's, since scores could then differ too.\n\n"
    "Example:\n"
    "  bestreel resume run1\n";
constexpr const char* kExportDetails =
    "Canonical: no clocks, sorted by video; equal runs export equal bytes. To stdout.\n\n"
    "Example:\n"
    "  bestreel export run1 --format csv > run1.csv\n";

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
    for (const auto& [candidate, sentence] : ranking.put_off()) {
      std::cerr << fmt::format(
          "[rank] {} was not judged, the next `bestreel resume` tries again: {}\n",
          printable(candidate), bounded(sentence));
    }
    return complete;
  };
  std::vector<std::string> known;
  for (const Candidate& candidate : ranking.view().candidates) known.push_back(candidate.path);
  Arrivals arrivals(known);

  for (const std::string& path : ranking.changed()) {
    std::cerr << fmt::format(
        "[rank] {} is missing, or is not the file that the run took in: its scores stay those of "
        "then\n",
        printable(path));
  }
  bool complete = known.empty() || judge();
  if (!watch.empty()) std::cerr << "watching for new videos, Ctrl-C ends\n";
  while (!watch.empty() && !interrupt.wait(0.5)) {
    const std::vector<std::string> arrived = arrivals.look(expand_videos(watch));
    if (!arrived.empty() && ranking.take_in(arrived) > 0) complete = judge();
  }
  // A watch has no other end than Ctrl-C: it is then no interruption.
  if (!ranking.put_off().empty() || !ranking.changed().empty()) return kFailed;
  return exit_code(ranking.view(), complete);
}

void refuse_out_inside(const Command& command, const std::string& out,
                       const std::vector<std::string>& inputs) {
  std::error_code error;
  for (const std::string& input : inputs) {
    if (fs::is_directory(input) && fs::equivalent(input, out, error)) {
      fail_usage(command.name,
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

Output output_of(const po::variables_map& given) {
  return {given.count("top") != 0 ? given["top"].as<int>() : 0,
          given.count("json") != 0,
          {.single_file = given.count("single-file") != 0}};
}

int run_rank(const po::variables_map& given) {
  const Command command = rank_command();
  required_text(given, command, "prompt", "TEXT");
  const std::string out = required_text(given, command, "out", "DIR");
  if (given.count("video") == 0) {
    fail_usage(command.name, "at least one folder or video must be given: pass FOLDER or VIDEO...");
  }
  const auto inputs = given["video"].as<std::vector<std::string>>();
  const bool watch = given.count("watch") != 0;
  refuse_out_inside(command, out, inputs);
  const std::vector<std::string> files = expand_videos(inputs);
  if (files.empty() && !watch) {
    fail_usage(command.name, "{} holds no video: pass a folder with videos, or video files",
               fmt::join(inputs, ", "));
  }
  std::vector<JudgePtr> judges =
      make_judges(obey_memory(given, command, largest_video(files),
                              watch ? std::max<std::size_t>(8, files.size()) : files.size()),
                  command);
  const RunSettings settings = make_settings(given, command, judges);

  if (!RunStore::exists(out)) {
    Ranking ranking = Ranking::start(out, settings, files, std::move(judges));
    return run_ranking(ranking, out, output_of(given), watch ? inputs : std::vector<std::string>{});
  }
  Ranking ranking = Ranking::resume(out, settings, std::move(judges));
  if (!watch && !same_videos(ranking.view(), files)) {
    fail("run_mismatch", "rank",
         "{} holds a run over other videos: choose another --out, or go on "
         "with it by `bestreel resume {}`",
         out, out);
  }
  if (watch) ranking.take_in(files);
  return run_ranking(ranking, out, output_of(given), watch ? inputs : std::vector<std::string>{});
}

int run_resume(const po::variables_map& given) {
  const Command command = resume_command();
  const std::string directory = required_text(given, command, "directory", "DIR");
  const RunView view = read_view(directory);
  const int threads = given.count("threads") != 0 ? given["threads"].as<int>() : 0;
#ifdef BESTREEL_WITH_TORCH
  if (view.settings.command == "generate") {
    return resume_generate(directory, view.settings, threads, given.count("json") != 0);
  }
#endif
  if (!view.settings.command.empty() && view.settings.command != "rank") {
    fail("run_foreign", "resume",
         "{} holds a run of {}: repeat what made it, on the same directory", directory,
         view.settings.command);
  }
  if (view.settings.command != "rank") {
    fail("run_empty", "resume",
         "{} holds a run that had not begun: repeat the command that made it", directory);
  }
  const Command rank = rank_command();
  const po::variables_map then = parse_again(rank, view.settings, threads);
  std::vector<std::string> files;
  for (const Candidate& candidate : view.candidates) files.push_back(candidate.path);
  std::vector<JudgePtr> judges =
      make_judges(obey_memory(then, rank, largest_video(files), files.size()), command);
  const RunSettings settings = make_settings(then, rank, judges);
  Ranking ranking = Ranking::resume(directory, settings, std::move(judges));
  Output output = output_of(then);
  output.json = given.count("json") != 0;
  return run_ranking(ranking, directory, output, {});
}

int run_export(const po::variables_map& given) {
  const Command command = export_command();
  const std::string directory = required_text(given, command, "directory", "DIR");
  const std::string format = given["format"].as<std::string>();
  if (format != "csv" && format != "jsonl") {
    fail_usage(command.name, "format must be csv or jsonl, but got {}", format);
  }
  const RunView view = read_view(directory);
  std::cout << export_run(view, format == "csv" ? ExportFormat::kCsv : ExportFormat::kJsonl);
  return kDone;
}

}  // namespace

Command rank_command() {
  return {"rank",
          "rank videos of one prompt, best first, with a report",
          "FOLDER|VIDEO... --prompt TEXT --judge SPEC... --out DIR [--top K] [--watch]",
          "video",
          kRankDetails,
          [] {
            po::options_description options("Options");
            add_judge_options(options);
            options.add_options()("out,o", po::value<std::string>()->value_name("DIR"),
                                  "the run's directory")("top", po::value<int>()->value_name("K"),
                                                         "show the K best in the table (all)")(
                "combine", po::value<std::string>()->value_name("HOW"),
                "with several judges: rank-mean (default) or weights")(
                "keep", po::value<std::string>()->value_name("K,..."),
                "a cascade: each judge sees the best K of the one before, the first sees all")(
                "watch", "keep ranking as files arrive in the folder; Ctrl-C ends")(
                "single-file", "put the videos into report.html")(
                "json", "one JSON object per video on stdout instead of the table")(
                "video", po::value<std::vector<std::string>>()->value_name("PATH"),
                "a folder or video; the word `--video` may be left out");
            return options;
          },
          run_rank};
}

Command resume_command() {
  return {"resume",
          "go on with an interrupted run",
          "DIR",
          "directory",
          kResumeDetails,
          [] {
            po::options_description options("Options");
            options.add_options()("threads", po::value<int>()->value_name("N"),
                                  "must equal the run's")(
                "json", "one JSON object per video on stdout instead of the table")(
                "directory", po::value<std::string>()->value_name("DIR"), "the run's directory");
            return options;
          },
          run_resume};
}

Command export_command() {
  return {"export",
          "write a run's scores as CSV or JSON lines",
          "DIR --format csv|jsonl",
          "directory",
          kExportDetails,
          [] {
            po::options_description options("Options");
            options.add_options()("format",
                                  po::value<std::string>()->value_name("F")->default_value("csv"),
                                  "csv or jsonl")(
                "directory", po::value<std::string>()->value_name("DIR"), "the run's directory");
            return options;
          },
          run_export};
}

}  // namespace bestreel::cli
