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

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/judge_queue.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/same_run.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

/// Videos that are open and wait for a judge while it has its slots full: enough to keep it busy, few
/// enough for the system's limit on open files.
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
  } catch (const Error&) {
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
      ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts",
      ".m2ts", ".mts", ".wmv", ".flv", ".ogv", ".ogg", ".3gp", ".3g2", ".y4m", ".apng", ".mxf", ".vob"};
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
  return ranking;
}

void Ranking::append(const std::vector<Event>& events) {
  if (!events.empty()) store_.append(events);
  events_ = store_.events();
  view_ = project(events_);
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

bool Ranking::judge_pending(std::stop_token stop, const RankingProgress& progress) {
  struct Job {
    std::string id;
    std::string path;
    std::size_t judge;
    std::string sha256;
  };
  std::vector<Job> jobs;
  std::size_t total = 0;
  for (const Candidate& candidate : view_.candidates) {
    for (std::size_t j = 0; j < judges_.size(); ++j) {
      ++total;
      if (!candidate.results[j]) jobs.push_back({candidate.id, candidate.path, j, candidate.sha256});
    }
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return std::pair(a.id, a.judge) < std::pair(b.id, b.judge);
  });

  std::vector<std::unique_ptr<JudgeQueue>> queues;
  for (const JudgePtr& judge : judges_) queues.push_back(std::make_unique<JudgeQueue>(judge));
  std::stop_callback cancel(stop, [&] {
    for (const auto& queue : queues) queue->cancel_all();
  });

  const Condition condition{view_.settings.prompt, ""};
  const auto begin = [&](const Job& job) -> std::future<Result> {
    try {
      if (!job.sha256.empty() && sha256_file(job.path) != job.sha256) {
        fail("video_changed", "rank", "{} has changed since the run took it in: start a new run "
             "with another --out", job.path);
      }
      // A video of its own for each judge: Video::read is for one thread at a time.
      return queues[job.judge]->submit({open_video(job.path), condition}).result;
    } catch (const Error& error) {
      std::promise<Result> failed;
      failed.set_value(Failure{error.code(), error.what()});
      return failed.get_future();
    }
  };

  std::size_t at_hand = 0;
  for (const JudgePtr& judge : judges_) at_hand += judge->info().slots + kAhead;
  std::deque<std::pair<const Job*, std::future<Result>>> running;
  std::size_t done = total - jobs.size();
  for (std::size_t next = 0; next < jobs.size() || !running.empty();) {
    while (next < jobs.size() && running.size() < at_hand && !stop.stop_requested()) {
      running.emplace_back(&jobs[next], begin(jobs[next]));
      ++next;
    }
    if (running.empty()) break;
    const Job& job = *running.front().first;
    if (progress) progress(done, total, job.id);
    const Result result = running.front().second.get();
    running.pop_front();
    const Failure* failure = std::get_if<Failure>(&result);
    if (failure != nullptr && failure->code == "cancelled") continue;
    store_.append(judged_event(job.id, job.judge, result));
    ++done;
  }
  append({});
  return done == total;
}

const RunView& Ranking::finish(const ReportOptions& report) {
  write_best(store_.directory(), view_);
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
    for (std::size_t i = all.size() - std::min(parts, all.size()); i < all.size(); ++i) out /= all[i];
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
