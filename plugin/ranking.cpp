#include "plugin/ranking.h"

#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/base/errno_code.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/cascade.h"
#include "plugin/judge_queue.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/same_run.h"
#include "plugin/strategy.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

/// Videos that are open and wait for a judge while it has its slots full: enough to keep it busy,
/// few enough for the system's limit on open files.
constexpr std::size_t kAhead = 1;

std::string absolute(const std::string& path) {
  return fs::absolute(path).lexically_normal().string();
}

/// What is known of a file before anyone judges it. A file that cannot be read or opened has no
/// hash or no frames; the judges' Failure will say why.
Candidate candidate_of(const std::string& path, const std::string& id) {
  Candidate candidate;
  candidate.id = id;
  candidate.path = path;
  try {
    candidate.sha256 = sha256_file(path);
    candidate.video = open_video(path)->info();
    candidate.video.times.clear();
  } catch (const Error& error) {
    // What the machine lacks now it may have later: that is not to become the video's failure.
    if (is_machine_failure(error.code())) throw;
  }
  return candidate;
}

std::vector<Event> candidate_events(const std::vector<std::string>& files) {
  const std::vector<std::string> ids = shortest_tails(files);
  std::vector<Event> events;
  for (std::size_t i = 0; i < files.size(); ++i) {
    events.push_back(candidate_event(candidate_of(files[i], ids[i])));
  }
  return events;
}

bool is_video_name(const fs::path& path) {
  static const std::set<std::string> extensions{
      ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts",  ".m2ts",
      ".mts", ".wmv", ".flv", ".ogv", ".ogg",  ".3gp", ".3g2", ".y4m", ".apng", ".mxf", ".vob"};
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extensions.count(extension) != 0 && path.filename().string().front() != '.';
}

}  // namespace

Ranking::Ranking(RunStore store, std::vector<JudgePtr> judges)
    : store_(std::move(store)), judges_(std::move(judges)) {}

Ranking Ranking::start(const std::string& directory, const RunSettings& settings,
                       const std::vector<std::string>& files, std::vector<JudgePtr> judges) {
  if (!RunStore::exists(directory)) {
    std::vector<std::string> extensions;
    for (const std::string& file : files) extensions.push_back(fs::path(file).extension().string());
    refuse_outputs_of_others(directory, files, extensions, /*makes=*/false);
  }
  Ranking ranking(RunStore::create(directory), std::move(judges));
  std::vector<Event> events{run_event(settings)};
  for (Event& event : candidate_events(files)) events.push_back(std::move(event));
  ranking.append(events);
  return ranking;
}

Ranking Ranking::resume(const std::string& directory, const RunSettings& settings,
                        std::vector<JudgePtr> judges) {
  Ranking ranking(RunStore::open(directory), std::move(judges));
  ranking.append({});
  require_same_run(directory, ranking.view_.settings, settings);
  for (const Candidate& candidate : ranking.view_.candidates) {
    if (candidate.sha256.empty() || is_intact(candidate.path, candidate.sha256)) continue;
    ranking.changed_.push_back(candidate.path);
  }
  return ranking;
}

void Ranking::append(const std::vector<Event>& events) {
  if (!events.empty()) store_.append(events);
  events_ = store_.events();
  view_ = project(events_, (fs::path(store_.directory()) / "run.sqlite").string());
}

std::size_t Ranking::take_in(const std::vector<std::string>& files) {
  std::map<std::string, const Candidate*> known;
  std::vector<std::string> paths;
  for (const Candidate& candidate : view_.candidates) {
    known[candidate.path] = &candidate;
    paths.push_back(candidate.path);
  }
  std::vector<Event> events;
  for (const std::string& path : files) {
    const auto old = known.find(path);
    if (old != known.end()) {
      Candidate again = candidate_of(path, old->second->id);
      if (again.sha256 != old->second->sha256) events.push_back(candidate_event(again));
      continue;
    }
    // Ids never change once given, so a newcomer's tail grows until nobody has it.
    paths.push_back(path);
    events.push_back(candidate_event(candidate_of(path, shortest_tails(paths).back())));
  }
  append(events);
  return events.size();
}

struct Ranking::Job {
  std::string id;
  std::string path;
  std::size_t judge;
  std::string sha256;
};

/// What judges first_judge..last_judge have still to judge, by candidate, then judge. In a cascade
/// of one judge at a time: whom the judge before hands on.
std::vector<Ranking::Job> Ranking::pending(std::size_t first_judge, std::size_t last_judge) const {
  std::vector<const Candidate*> due;
  for (const Candidate& candidate : view_.candidates) due.push_back(&candidate);
  std::sort(due.begin(), due.end(),
            [](const Candidate* a, const Candidate* b) { return a->id < b->id; });
  if (!view_.settings.keep.empty() && first_judge > 0) {
    CascadeRewards rewards(judges_.size());
    for (const Candidate* candidate : due) {
      const auto& result = candidate->results[first_judge - 1];
      rewards[first_judge - 1].push_back(result ? reward_of(*result) : std::nullopt);
    }
    std::vector<std::size_t> survivors =
        cascade_survivors(rewards, view_.settings.keep, first_judge);
    std::sort(survivors.begin(), survivors.end());
    std::vector<const Candidate*> kept;
    for (const std::size_t c : survivors) kept.push_back(due[c]);
    due = std::move(kept);
  }
  std::vector<Job> jobs;
  for (const Candidate* candidate : due) {
    for (std::size_t j = first_judge; j <= last_judge; ++j) {
      if (candidate->results[j]) continue;
      jobs.push_back({candidate->id, candidate->path, j, candidate->sha256});
    }
  }
  return jobs;
}

bool Ranking::judge_pending(std::stop_token stop, const RankingProgress& progress) {
  put_off_.clear();
  const std::size_t n = view_.candidates.size(), last = judges_.size() - 1;
  const bool cascade = !view_.settings.keep.empty();
  std::size_t done = 0, total = 0;
  for (const Candidate& candidate : view_.candidates) {
    for (const auto& result : candidate.results) done += result ? 1 : 0;
  }
  for (std::size_t j = 0; j <= last; ++j) {
    total +=
        cascade && j > 0 ? std::min(n, static_cast<std::size_t>(view_.settings.keep[j - 1])) : n;
  }
  const auto begun = [&](const std::string& id) {
    if (progress) progress(done, std::max(total, done + 1), id);
    ++done;
  };
  if (!cascade) return run_jobs(pending(0, last), stop, begun);
  for (std::size_t j = 0; j <= last; ++j) {
    if (!run_jobs(pending(j, j), stop, begun)) return false;
  }
  return true;
}

/// False when `stop` was requested before all were judged.
bool Ranking::run_jobs(const std::vector<Job>& jobs, std::stop_token stop,
                       const std::function<void(const std::string&)>& begun) {
  std::map<std::size_t, std::unique_ptr<JudgeQueue>> queues;
  for (const Job& job : jobs) {
    auto& queue = queues[job.judge];
    if (!queue) queue = std::make_unique<JudgeQueue>(judges_[job.judge]);
  }
  std::stop_callback cancel(stop, [&] {
    for (const auto& [judge, queue] : queues) queue->cancel_all();
  });

  const Condition condition{view_.settings.prompt, ""};
  const auto begin = [&](const Job& job) -> std::future<Result> {
    try {
      if (!job.sha256.empty() && sha256_file(job.path) != job.sha256) {
        fail("video_changed", "rank",
             "{} has changed since the run took it in: start a new run "
             "with another --out",
             job.path);
      }
      std::error_code error;
      if (job.sha256.empty() && fs::is_regular_file(job.path, error)) {
        fail("video_changed", "rank",
             "{} could not be read when the run took it in: start a new run with another --out",
             job.path);
      }
      // A video of its own for each judge: Video::read is for one thread at a time.
      return queues.at(job.judge)->submit({open_video(job.path), condition}).result;
    } catch (const Error& error) {
      std::promise<Result> failed;
      failed.set_value(Failure{error.code(), error.what()});
      return failed.get_future();
    }
  };

  std::size_t at_hand = 0;
  for (const auto& [judge, queue] : queues) at_hand += judges_[judge]->info().slots + kAhead;
  std::deque<std::pair<const Job*, std::future<Result>>> running;
  std::size_t done = 0;
  for (std::size_t next = 0; next < jobs.size() || !running.empty();) {
    while (next < jobs.size() && running.size() < at_hand && !stop.stop_requested()) {
      running.emplace_back(&jobs[next], begin(jobs[next]));
      ++next;
    }
    if (running.empty()) break;
    const Job& job = *running.front().first;
    begun(job.id);
    const Result result = running.front().second.get();
    running.pop_front();
    const Failure* failure = std::get_if<Failure>(&result);
    if (failure != nullptr && failure->code == "cancelled") continue;
    if (failure != nullptr && is_machine_failure(failure->code)) {
      put_off_.push_back({job.id, failure->sentence});
      continue;
    }
    store_.append(judged_event(job.id, job.judge, result));
    ++done;
  }
  append({});
  return done == jobs.size();
}

const RunView& Ranking::finish(const ReportOptions& report) {
  write_best(store_.directory(), view_, [&](Event event) { store_.append(std::move(event)); });
  append({finished_event(view_.winner)});
  write_report(store_.directory(), view_, report);
  return view_;
}

std::vector<std::string> expand_videos(std::span<const std::string> paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) fail_usage("rank", "{} does not exist: check the path", path);
    if (!fs::is_directory(status)) {
      files.push_back(absolute(path));
      continue;
    }
    std::vector<std::string> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
      if (entry.is_regular_file() && is_video_name(entry.path())) {
        inside.push_back(absolute(entry.path().string()));
      }
    }
    if (error) fail_usage("rank", "{} cannot be listed: check its permissions", path);
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  std::vector<std::string> unique;
  std::set<std::string> seen;
  for (std::string& file : files) {
    if (seen.insert(file).second) unique.push_back(std::move(file));
  }
  return unique;
}

std::vector<std::string> shortest_tails(std::span<const std::string> paths) {
  const auto tail = [](const std::string& path, std::size_t parts) {
    std::vector<fs::path> all;
    for (const fs::path& part : fs::path(path).relative_path()) all.push_back(part);
    fs::path out;
    for (std::size_t i = all.size() - std::min(parts, all.size()); i < all.size(); ++i)
      out /= all[i];
    return out.string();
  };
  const std::set<std::string> distinct(paths.begin(), paths.end());
  std::map<std::string, std::string> tails;
  for (std::size_t parts = 1; tails.size() < distinct.size(); ++parts) {
    std::map<std::string, std::vector<const std::string*>> owners;
    for (const std::string& path : distinct) owners[tail(path, parts)].push_back(&path);
    for (const auto& [text, who] : owners) {
      if (who.size() == 1) tails.emplace(*who.front(), text);  // keeps a shorter one
    }
  }
  std::vector<std::string> result;
  for (const std::string& path : paths) result.push_back(tails.at(path));
  return result;
}

}  // namespace bestreel
