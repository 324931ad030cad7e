// What the engine tells the session, and what it is told.
#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/session/impl.h"

namespace bestreel {
namespace {

using session::EventKey;
using session::open_file;
using session::own_handle;
using Status = Trajectory::Status;

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

}  // namespace

Trajectory& Session::Impl::trajectory(CandidateId id) {
  const auto found = trajectories.find(id);
  if (found == trajectories.end() || !wave || !wave->carried.contains(id)) {
    fail("engine_broken", "session",
         "{} must report candidates of the wave that are not at their end, but reports {}: report "
         "it to the engine's author",
         engine.name, candidate_name(id));
  }
  return found->second;
}

std::vector<CandidateId> Session::Impl::live() const {
  std::vector<CandidateId> alive;
  for (const auto& [id, t] : trajectories) {
    if (t.wave == wave->index && t.status == Status::kLive) alive.push_back(id);
  }
  return alive;
}

void Session::Impl::trace_span(CandidateId id, const char* what, double seconds) const {
  if (options.trace == nullptr) return;
  const Trace::Clock::time_point end = Trace::Clock::now();
  options.trace->span("engine", fmt::format("{} {}", what, candidate_name(id)),
                      end - std::chrono::duration_cast<Trace::Clock::duration>(
                                std::chrono::duration<double>(seconds)),
                      end);
}

/// Has the writer do `work`, once more where the machine gave out, and records what it returns.
/// Blocks, without the lock, while the writer is far behind.
void Session::Impl::write(Lock& lock, CandidateId id, int step,
                          std::function<std::vector<RunEvent>()> work) {
  writing.emplace(id, step);
  lock.unlock();
  writer.push([this, id, step, work = std::move(work)] {
    std::exception_ptr error;
    std::vector<RunEvent> events;
    for (int attempt = 0; attempt < 2; ++attempt) {
      try {
        events = work();
        error = nullptr;
        break;
      } catch (const Error& failure) {
        error = std::current_exception();
        if (!is_machine_failure(failure.code())) break;
      } catch (...) {
        error = std::current_exception();
        break;
      }
    }
    const Lock recording(mutex);
    try {
      if (!error) journal.record(events);
    } catch (...) {
      error = std::current_exception();
    }
    writing.erase({id, step});
    if (error) break_off(error);
    changed.notify_all();
  });
  lock.lock();
}

// ---- Steps
// ---------------------------------------------------------------------------------------

int Session::next_stop(int step) const {
  const Impl::Lock lock(impl_->mutex);
  int next = impl_->engine.steps;
  if (!impl_->wave) return next;
  for (const int barrier : impl_->wave->ask.barriers) {
    for (const int stop : {barrier, barrier + impl_->wave->ask.lag}) {
      if (stop > step) next = std::min(next, stop);
    }
  }
  return next;
}

void Session::restored(CandidateId id, const Cost& spent) {
  Impl::Lock lock(impl_->mutex);
  impl_->enter(lock);
  impl_->trajectory(id);
  impl_->trace_span(id, "restore", spent.seconds);
  impl_->redone_forwards += spent.forwards;
}

bool Session::request_steps(CandidateId id, int, int to) {
  Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.enter(lock);
  if (s.stopping()) {
    s.interrupted = true;
    return false;
  }
  if (s.wave && s.wave->retry.contains(id)) return false;
  const Trajectory& t = s.trajectory(id);
  // What an earlier process had recorded was granted then.
  if (to <= t.step || !s.out_of_time(id)) return true;
  // What is on its way is recorded first: after the stop nobody would make it again.
  s.judging.wait_for_candidate(lock, s.journal, candidate_name(id));
  s.wait_for_writer(lock, id);
  if (s.stopping()) {
    s.interrupted = true;
    return false;
  }
  s.journal.record({s.event(id, t.step, events::Stopped{{}, "max-seconds"})});
  s.stop({candidate_name(id), "max-seconds"}, t.step);
  s.changed.notify_all();
  return false;
}

bool Session::stepped(CandidateId id, int step) {
  const Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  if (s.broken || s.stopping()) return false;
  Trajectory& t = s.trajectory(id);
  if (step <= t.step || !s.out_of_time(id)) return true;
  t.stopping = "max-seconds";
  return false;
}

void Session::on_steps_done(CandidateId id, int step, const Cost& spent) {
  Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.enter(lock);
  Trajectory& t = s.trajectory(id);
  s.trace_span(id, "denoise", spent.seconds);
  if (step <= t.step) {
    s.redone_forwards += spent.forwards;
    return;
  }
  if (!t.stopping.empty()) {
    s.judging.wait_for_candidate(lock, s.journal, candidate_name(id));
    s.wait_for_writer(lock, id);
    s.journal.record({s.event(id, step, events::Stopped{spent, t.stopping})});
    t.step = step;
    s.stop({candidate_name(id), t.stopping}, step);
    s.changed.notify_all();
    return;
  }
  const auto& barriers = s.wave->ask.barriers;
  if (step != s.engine.steps && !contains(barriers, step) && !s.is_effective(step)) {
    // Left in the middle at Ctrl-C: what is not recorded did not happen.
    if (s.stopping()) return;
    fail("engine_broken", "session",
         "{} must stop where next_stop() says, but stops {} at step {}: report it to the engine's "
         "author",
         s.engine.name, candidate_name(id), step);
  }
  s.journal.record({s.event(id, step, events::StepsDone{spent})});
  t.step = step;
}

bool Session::keep_state(CandidateId, int step) const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->wave && contains(impl_->wave->ask.keep_states, step);
}

// ---- Previews
// ------------------------------------------------------------------------------------

/// Until it is both judged and written: who was judged and not written would never be shown again.
bool Session::Impl::wanted(CandidateId id, int step) const {
  const auto found = trajectories.find(id);
  if (!wave || found == trajectories.end() || found->second.status != Status::kLive) return false;
  return contains(wave->ask.barriers, step) &&
         !(journal.has(key<events::PreviewJudged>(id, step, wave->preview_judge)) &&
           journal.has(key<events::Previewed>(id, step)));
}

std::optional<PreviewRequest> Session::wants_preview(CandidateId id, int step) const {
  const Impl::Lock lock(impl_->mutex);
  if (!impl_->wanted(id, step)) return std::nullopt;
  return impl_->wave->ask.preview.request;
}

void Session::preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) {
  Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.enter(lock);
  if (!s.wanted(id, step)) return;  // known already
  s.trajectory(id);
  s.trace_span(id, "preview", spent.seconds);
  const EventKey key = s.key<events::PreviewJudged>(id, step, s.wave->preview_judge);
  if (const auto* failure = std::get_if<Failure>(&shown)) {
    if (is_machine_failure(failure->code)) return s.again(lock, id, *failure, spent);
    s.journal.record({s.event(id, step, events::Previewed{"", "", spent}),
                      s.event(id, step, events::PreviewJudged{key.judge, *failure})});
    return;
  }
  const VideoPtr video = std::get<VideoPtr>(std::move(shown));
  s.judging.submit(lock, s.journal, {key}, {{video, s.options.condition}});
  RunEvent event = s.event(id, step, events::Previewed{"", "", spent});
  s.write(lock, id, step, [&s, video, event] {
    RunEvent made = event;
    auto& body = std::get<events::Previewed>(made.body);
    body.path = s.options.keep(fmt::format("previews/{}-step{:03}", event.candidate, event.step),
                               own_handle(video));
    body.sha256 = sha256_file(body.path);
    return std::vector{made};
  });
  if (!s.options.overlap) s.judging.wait(lock, s.journal, key);
}

// ---- Ends
// ----------------------------------------------------------------------------------------

void Session::finished(CandidateId id, FinishedVideo made, const Cost& spent) {
  Impl& s = *impl_;
  const auto* file = std::get_if<FileReference>(&made);
  const DecodedFrames shown =
      file != nullptr ? open_file(*file) : DecodedFrames(std::get<VideoPtr>(made));
  const auto* there = std::get_if<VideoPtr>(&shown);
  const VideoPtr video = there != nullptr ? *there : nullptr;
  Impl::Lock lock(s.mutex);
  s.enter(lock);
  const std::string name = candidate_name(id);
  if (!video && file == nullptr) {
    fail("engine_broken", "session",
         "{} must hand over a video of {}, but gave none: report it to the engine's author",
         s.engine.name, name);
  }
  Trajectory& t = s.trajectory(id);
  const auto* failure = std::get_if<Failure>(&shown);
  if (failure != nullptr && is_machine_failure(failure->code)) {
    return s.again(lock, id, *failure, spent);
  }
  s.trace_span(id, "decode", spent.seconds);
  if (t.step != s.engine.steps) {
    fail("engine_broken", "session",
         "{} must bring {} to step {} before its end, but it is at {}: report it to the engine's "
         "author",
         s.engine.name, name, s.engine.steps, t.step);
  }
  s.wave->carried.erase(id);
  const bool remake = s.wave->remakes.erase(id) > 0;
  if (file != nullptr) {
    t.file = *file;
  } else if (s.strategy->needs().judgements) {
    t.video = video;
  }
  std::vector<EventKey> keys;
  if (!remake) {
    t.status = Status::kFinished;
    for (const std::size_t j : s.wave->judges) {
      keys.push_back(s.key<events::Judged>(id, s.engine.steps, j));
    }
    t.judgements = keys;
  }
  s.changed.notify_all();
  events::Candidate candidate{.id = name, .label = t.label, .draft = t.draft};
  // A file that was recorded and has changed since is its judges' Failure, and no other candidate.
  if (file != nullptr && !s.journal.has(s.key<events::Candidate>(id, s.engine.steps))) {
    candidate.path = file->path;
    candidate.sha256 = file->sha256;
    if (video) {
      candidate.video = video->info();
      candidate.video.times.clear();
    }
    s.journal.record({s.event(id, s.engine.steps, candidate)});
  }
  // The judge first: it takes longer than the writer, which works at the same time.
  for (const EventKey& key : keys) {
    if (video) {
      s.judging.submit(lock, s.journal, {key}, {{video, s.options.condition}});
    } else {
      s.journal.record({s.event(id, s.engine.steps, events::Judged{key.judge, 0, *failure})});
    }
  }
  if (file == nullptr) {
    RunEvent decoded = s.event(id, s.engine.steps, events::Decoded{spent.seconds});
    RunEvent kept = s.event(id, s.engine.steps, std::move(candidate));
    s.write(lock, id, s.engine.steps, [&s, video, decoded, kept] {
      RunEvent event = kept;
      auto& body = std::get<events::Candidate>(event.body);
      body.path = s.options.keep(body.id, own_handle(video));
      body.sha256 = sha256_file(body.path);
      body.video = info_of(body.path, *video);
      if (s.options.lossless_sink) {
        body.lossless = s.options.lossless_sink(body.id, own_handle(video));
        body.lossless_sha256 = sha256_file(body.lossless);
      }
      return std::vector{decoded, event};
    });
  }
  if (remake) s.submit_judgements(lock);
  for (const EventKey& key : keys) {
    if (!s.options.overlap) s.judging.wait(lock, s.journal, key);
  }
}

/// The machine gave out, not the candidate: it is made again, once.
void Session::Impl::again(Lock&, CandidateId id, Failure failure, const Cost& spent) {
  redone_forwards += spent.forwards;
  wave->carried.erase(id);
  if (trajectories.at(id).machine_failures++ > 0) {
    const Error error(failure.code, "session",
                      fmt::format("{} could not be made, twice ({}): nothing is lost, free what is "
                                  "short and repeat the command",
                                  candidate_name(id), failure.sentence));
    break_off(std::make_exception_ptr(error));
    throw error;
  }
  wave->retry.emplace(id, std::move(failure));
  changed.notify_all();
}

void Session::failed(CandidateId id, int step, Failure failure, const Cost& spent) {
  Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  s.enter(lock);
  Trajectory& t = s.trajectory(id);
  if (is_machine_failure(failure.code)) return s.again(lock, id, std::move(failure), spent);
  if (t.status != Status::kLive) {
    fail("run_mismatch", "resume",
         "{} was made before and fails now ({}): nothing is lost, free some memory and repeat the "
         "command",
         candidate_name(id), failure.sentence);
  }
  s.judging.wait_for_candidate(lock, s.journal, candidate_name(id));
  s.wait_for_writer(lock, id);
  if (s.stopping()) {
    s.interrupted = true;
    return;
  }
  s.journal.record({s.event(id, step, events::Failed{spent, failure})});
  t.status = Status::kFailed;
  t.failure = std::move(failure);
  s.wave->carried.erase(id);
  s.changed.notify_all();
}

}  // namespace bestreel
