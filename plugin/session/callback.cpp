// What the engine tells the session, and what it is told.
#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/json_fields.h"
#include "plugin/session/impl.h"

namespace bestreel {
namespace {

using session::EventKey;
using session::Json;
using Status = Trajectory::Status;

Json spent_json(const Cost& spent) {
  return {
      {"forwards", spent.forwards}, {"seconds", spent.seconds}, {"peak_bytes", spent.peak_bytes}};
}

Event event_at(const EventKey& key, const Json& body) {
  return {.wave = key.wave,
          .step = key.step,
          .candidate = key.candidate,
          .kind = key.kind,
          .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

bool contains(const std::vector<int>& steps, int step) {
  return std::find(steps.begin(), steps.end(), step) != steps.end();
}

/// What the file holds; where nobody can open it, what was put in.
VideoInfo info_of(const std::string& path, const Video& video) {
  VideoInfo info = video.info();
  try {
    info = open_video(path)->info();
  } catch (const Error&) {
    // `keep` may write what only it can read.
  }
  info.times.clear();
  return info;
}

/// As an Answer must be: each id once, from those that were asked about.
void check_answer(const Strategy& strategy, const EngineCapabilities& engine,
                  const Barrier& barrier, const std::vector<Assignment>& assignments) {
  const auto at_barrier = [&](CandidateId id) {
    return std::any_of(barrier.candidates.begin(), barrier.candidates.end(),
                       [&](const Barrier::Entry& each) { return each.id == id; });
  };
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const Assignment& assignment = assignments[i];
    const bool twice = i > 0 && assignments[i - 1].id == assignment.id;
    const bool copies = assignment.parent != assignment.id;
    if (!twice && at_barrier(assignment.id) && at_barrier(assignment.parent) &&
        (!copies || engine.branching)) {
      continue;
    }
    fail_usage(
        "session",
        "{} must answer step {} with assignments of the candidates there, each once, but got {} "
        "from {}: report it to its author",
        strategy.id(), barrier.step, candidate_name(assignment.id),
        candidate_name(assignment.parent));
  }
}

}  // namespace

Trajectory& Session::Impl::trajectory(CandidateId id) {
  const auto found = trajectories.find(id);
  if (found == trajectories.end() || !wave || !wave->carried.contains(id)) {
    fail("engine_broken", "session",
         "{} must report candidates of the wave that are not at their end, but reports {}: report "
         "it "
         "to the engine's author",
         engine.name, candidate_name(id));
  }
  return found->second;
}

std::vector<CandidateId> Session::Impl::live() const {
  std::vector<CandidateId> ids;
  for (const auto& [id, t] : trajectories) {
    if (t.wave == wave->index && t.status == Status::kLive) ids.push_back(id);
  }
  return ids;
}

EventKey Session::Impl::key(const char* kind, CandidateId id, int step, std::size_t judge) const {
  return {kind, trajectories.at(id).wave, candidate_name(id), step, judge};
}

void Session::Impl::trace_span(CandidateId id, const char* what, double seconds) const {
  if (options.trace == nullptr) return;
  const Trace::Clock::time_point end = Trace::Clock::now();
  options.trace->span("engine", fmt::format("{} {}", what, candidate_name(id)),
                      end - std::chrono::duration_cast<Trace::Clock::duration>(
                                std::chrono::duration<double>(seconds)),
                      end);
}

// ---- Budget ------------------------------------------------------------------------------------

bool Session::Impl::anyone_finished() const {
  return std::any_of(trajectories.begin(), trajectories.end(), [&](const auto& each) {
    return journal.find(key("candidate", each.first, engine.steps)) != nullptr;
  });
}

/// The live candidate that would be shown if all ended now: by the last barrier, then by id.
CandidateId Session::Impl::leader() const {
  const Trajectory* best = nullptr;
  CandidateId leader = -1;
  for (const auto& [id, t] : trajectories) {
    if (t.status != Status::kLive) continue;
    if (best == nullptr || t.preview_reward > best->preview_reward) {
      best = &t;
      leader = id;
    }
  }
  return leader;
}

/// What must be kept back so that one candidate comes to its end.
double Session::Impl::reserve_for_others(CandidateId id, int to) const {
  if (anyone_finished()) return 0;
  const CandidateId first = leader();
  const Trajectory& t = trajectories.at(first);
  if (first == id) return (engine.steps - to) * engine.forwards_per_step;
  return std::max(0.0, (engine.steps - t.step) * engine.forwards_per_step - t.granted);
}

/// The limit that forbids it; empty: none does.
std::string Session::Impl::over_budget(CandidateId id, int to, double price) const {
  if (options.max_forwards > 0) {
    double spent = journal.ledger().forwards;
    for (const auto& [other, t] : trajectories) spent += t.granted;
    // The counts may be fractions: the last bit must not cost a candidate.
    const double limit = options.max_forwards * (1 + 1e-12);
    if (spent + price + reserve_for_others(id, to) > limit) return "max-forwards";
  }
  if (options.max_seconds > 0) {
    const double elapsed = std::chrono::duration<double>(Trace::Clock::now() - begin).count();
    const bool needed = !anyone_finished() && leader() == id;
    if (elapsed > options.max_seconds && !needed) return "max-seconds";
  }
  return "";
}

// ---- SamplerCallback
// ----------------------------------------------------------------------------------

int Session::next_stop(int step) const {
  const std::scoped_lock lock(impl_->mutex);
  int next = impl_->engine.steps;
  if (!impl_->wave) return next;
  for (const int barrier : impl_->wave->barriers) {
    for (const int stop : {barrier, barrier + impl_->wave->lag}) {
      if (stop > step) next = std::min(next, stop);
    }
  }
  return next;
}

bool Session::request_steps(CandidateId id, int from, int to) {
  const std::scoped_lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.judging.collect(s.journal);
  s.interrupted = s.interrupted || s.options.stop.stop_requested();
  if (s.interrupted) return false;
  Trajectory& t = s.trajectory(id);
  if (to <= t.step) return true;  // paid for by the process that recorded it
  const double price = (to - std::max(from, t.step)) * s.engine.forwards_per_step;
  const std::string limit = s.over_budget(id, to, price);
  if (limit.empty()) {
    t.granted += price;
    return true;
  }
  // What is on its way is recorded first: after the stop nobody would make it again.
  s.judging.wait_for_candidate(s.journal, candidate_name(id));
  if (s.options.stop.stop_requested()) {
    s.interrupted = true;
    return false;
  }
  t.failure = Failure{"budget", fmt::format("[session] {} was stopped at step {} by {}",
                                            candidate_name(id), t.step, limit)};
  s.journal.record({event_at(s.key("stopped", id, t.step),
                             {{"limit", limit}, {"sentence", t.failure->sentence}})});
  t.status = Status::kStopped;
  s.wave->carried.erase(id);
  s.exhausted = true;
  return false;
}

void Session::on_steps_done(CandidateId id, int step, const Cost& spent) {
  const std::scoped_lock lock(impl_->mutex);
  Impl& s = *impl_;
  Trajectory& t = s.trajectory(id);
  s.trace_span(id, "denoise", spent.seconds);
  if (step <= t.step) {
    s.redone_forwards += spent.forwards;
    return;
  }
  s.journal.record({event_at(s.key("steps_done", id, step), spent_json(spent))});
  t.step = step;
  t.granted = 0;
}

std::optional<PreviewRequest> Session::wants_preview(CandidateId id, int step) const {
  const std::scoped_lock lock(impl_->mutex);
  const Impl& s = *impl_;
  const auto found = s.trajectories.find(id);
  if (found == s.trajectories.end() || found->second.status != Status::kLive) return std::nullopt;
  if (!contains(s.wave->barriers, step) ||
      s.journal.find(s.key("preview_judged", id, step, s.options.preview_judge)) != nullptr) {
    return std::nullopt;
  }
  return s.wave->preview;
}

void Session::preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) {
  if (!wants_preview(id, step)) return;  // known already
  Impl& s = *impl_;
  std::string path;
  const auto* video = std::get_if<VideoPtr>(&shown);
  if (video != nullptr) {
    path = s.options.keep(fmt::format("previews/{}-step{:03}", candidate_name(id), step), *video);
  }
  const std::scoped_lock lock(s.mutex);
  s.trajectory(id);
  s.trace_span(id, "preview", spent.seconds);
  const EventKey key = s.key("preview_judged", id, step, s.options.preview_judge);
  if (video == nullptr) {
    Event event = judged_event(key.candidate, key.judge, std::get<Failure>(shown));
    event.kind = key.kind;
    event.wave = key.wave;
    event.step = key.step;
    s.journal.record({std::move(event)});
    return;
  }
  s.journal.record(
      {event_at(s.key("previewed", id, step),
                {{"path", path}, {"sha256", sha256_file(path)}, {"seconds", spent.seconds}})});
  s.judging.submit(s.journal, key, *video, s.options.condition);
}

std::optional<Barrier> Session::Impl::barrier_of(int step, const std::vector<CandidateId>& ids) {
  Barrier barrier{wave->index, step, {}};
  for (const CandidateId id : ids) {
    auto result = judging.wait(journal, key("preview_judged", id, step, options.preview_judge));
    if (!result && options.stop.stop_requested()) return std::nullopt;
    if (!result) {
      fail("engine_broken", "session",
           "{} must show a preview of {} at step {}, but did not: report it to the engine's author",
           engine.name, candidate_name(id), step);
    }
    barrier.candidates.push_back({id, std::move(*result)});
  }
  return barrier;
}

/// Records the answer to `barrier`, and what becomes of the candidates at step `effective`.
std::vector<Assignment> Session::Impl::apply(const Barrier& barrier, int effective,
                                             const Answer& answer) {
  std::vector<Assignment> assignments = answer.assignments;
  std::sort(assignments.begin(), assignments.end(),
            [](const Assignment& a, const Assignment& b) { return a.id < b.id; });
  check_answer(*strategy, engine, barrier, assignments);
  Json body{
      {"barrier", barrier.step}, {"candidates", Json::array()}, {"assignments", Json::array()}};
  std::map<CandidateId, std::optional<double>> rewards;
  for (const Barrier::Entry& each : barrier.candidates) {
    body["candidates"].push_back(candidate_name(each.id));
    rewards[each.id] = reward_of(each.result);
  }
  for (const Assignment& assignment : assignments) {
    body["assignments"].push_back({{"candidate", candidate_name(assignment.id)},
                                   {"parent", candidate_name(assignment.parent)},
                                   {"key", assignment.key}});
  }
  journal.record({event_at({"barrier_decided", wave->index, "", effective}, body)});
  for (const auto& entry : rewards) {
    const CandidateId id = entry.first;
    Trajectory& t = trajectories.at(id);
    const auto assignment = std::find_if(assignments.begin(), assignments.end(),
                                         [&](const Assignment& each) { return each.id == id; });
    if (assignment == assignments.end()) {
      if (t.status == Status::kLive) t.status = Status::kDropped;
      wave->carried.erase(id);
    } else {
      t.preview_reward = rewards.at(assignment->parent);
      t.resampled = t.resampled || assignment->parent != id;
    }
  }
  return assignments;
}

std::vector<Assignment> Session::resample_at(int step) {
  const std::scoped_lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.judging.collect(s.journal);
  s.interrupted = s.interrupted || s.options.stop.stop_requested();
  if (s.interrupted || !s.wave) return {};
  Wave& wave = *s.wave;
  if (const auto known = wave.recorded.find(step); known != wave.recorded.end()) {
    // Who failed while it was made again is gone.
    std::vector<Assignment> assignments = known->second;
    std::erase_if(assignments, [&](const Assignment& assignment) {
      return !wave.carried.contains(assignment.parent);
    });
    wave.carried.clear();
    for (const Assignment& assignment : assignments) wave.carried.insert(assignment.id);
    return assignments;
  }
  if (!contains(wave.barriers, step - wave.lag)) {
    std::vector<Assignment> all;
    for (const CandidateId id : wave.carried) all.push_back({.id = id, .parent = id});
    return all;
  }
  const std::vector<CandidateId> ids(wave.carried.begin(), wave.carried.end());
  if (ids.empty()) return {};
  const std::optional<Barrier> barrier = s.barrier_of(step - wave.lag, ids);
  if (!barrier) {
    s.interrupted = true;
    return {};
  }
  return s.apply(*barrier, step, s.strategy->tell(*barrier));
}

void Session::finished(CandidateId id, FinishedVideo handed, const Cost& spent) {
  Impl& s = *impl_;
  const auto* given = std::get_if<VideoPtr>(&handed);
  VideoPtr video = given != nullptr ? *given : nullptr;
  if (!video) {
    fail("engine_broken", "session",
         "{} must hand over a video of {}, but gave none: report it to "
         "the engine's author",
         s.engine.name, candidate_name(id));
  }
  const std::string name = candidate_name(id);
  const std::string path = s.options.keep(name, video);
  Candidate candidate;
  candidate.id = name;
  candidate.path = path;
  candidate.sha256 = sha256_file(path);
  candidate.video = info_of(path, *video);
  if (s.options.lossless_sink) {
    candidate.lossless = s.options.lossless_sink(name, video);
    candidate.lossless_sha256 = sha256_file(candidate.lossless);
  }

  const std::scoped_lock lock(s.mutex);
  s.judging.collect(s.journal);
  Trajectory& t = s.trajectory(id);
  s.trace_span(id, "decode", spent.seconds);
  if (t.step != s.engine.steps) {
    fail("engine_broken", "session",
         "{} must bring {} to step {} before its end, but it is at {}: report it to the engine's "
         "author",
         s.engine.name, name, s.engine.steps, t.step);
  }
  Event made = candidate_event(candidate);
  made.wave = t.wave;
  made.step = s.engine.steps;
  s.journal.record({event_at(s.key("decoded", id, s.engine.steps), {{"seconds", spent.seconds}}),
                    std::move(made)});
  s.wave->carried.erase(id);
  if (s.strategy->needs().judgements) t.video = video;
  if (const auto remake = s.wave->remakes.find(id); remake != s.wave->remakes.end()) {
    s.judging.submit(s.journal, remake->second, std::move(video), s.options.condition);
    s.wave->remakes.erase(remake);
    return;
  }
  t.status = Status::kFinished;
  for (const std::size_t j : s.wave->judges) {
    t.judgements.push_back(s.key("judged", id, s.engine.steps, j));
    s.judging.submit(s.journal, t.judgements.back(), video, s.options.condition);
  }
}

void Session::failed(CandidateId id, int step, Failure failure, const Cost& spent) {
  const std::scoped_lock lock(impl_->mutex);
  Impl& s = *impl_;
  Trajectory& t = s.trajectory(id);
  if (t.status != Status::kLive) {
    fail("run_mismatch", "resume",
         "{} was made before and fails now ({}): nothing is lost, free some memory and repeat the "
         "command",
         candidate_name(id), failure.sentence);
  }
  s.judging.wait_for_candidate(s.journal, candidate_name(id));
  if (s.options.stop.stop_requested()) {
    s.interrupted = true;
    return;
  }
  Json body = spent_json(spent);
  body["code"] = failure.code;
  body["sentence"] = failure.sentence;
  s.journal.record({event_at(s.key("failed", id, step), body)});
  t.status = Status::kFailed;
  t.failure = std::move(failure);
  t.granted = 0;
  s.wave->carried.erase(id);
}

}  // namespace bestreel
