#include "tests/conformance/watcher.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <variant>

#include <fmt/format.h>

#include "core/base/error.h"

namespace bestreel::conformance {
namespace {

/// Rate, shape and every pixel.
std::string all_of(const Video& video) {
  const VideoInfo info = video.info();
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < info.frame_count; ++i) indices.push_back(i);
  const TensorView frames = video.read_host(indices);
  std::string out = fmt::format("{}/{} {}x{}x{}x{} ", info.fps.num, info.fps.den, frames.dim(0),
                                frames.dim(1), frames.dim(2), frames.dim(3));
  const auto* from = static_cast<const char*>(frames.data);
  for (std::int64_t t = 0; t < frames.dim(0); ++t) {
    for (std::int64_t c = 0; c < frames.dim(1); ++c) {
      for (std::int64_t y = 0; y < frames.dim(2); ++y) {
        for (std::int64_t x = 0; x < frames.dim(3); ++x) {
          out += from[t * frames.strides[0] + c * frames.strides[1] + y * frames.strides[2] +
                      x * frames.strides[3]];
        }
      }
    }
  }
  return out;
}

}  // namespace

Watcher::Watcher(const EngineCapabilities& engine, std::span<const Start> starts, Plan plan)
    : engine_(engine), plan_(std::move(plan)) {
  for (const Start& start : starts) {
    Candidate candidate{.state = start.state, .draft = start.draft};
    candidate.step = candidate.reported = start.state.step();
    candidates_.emplace(start.id, candidate);
    states.emplace(start.id, start.state);
  }
}

void Watcher::violation(std::string sentence) { violations.push_back(std::move(sentence)); }

Watcher::Candidate* Watcher::known(CandidateId id, const char* call) {
  const auto found = candidates_.find(id);
  if (found == candidates_.end() || found->second.where == Where::kOver) {
    violation(fmt::format("{} must be called for candidates that are on their way, but was for {}",
                          call, id));
    return nullptr;
  }
  return &found->second;
}

void Watcher::check_cost(CandidateId id, const Candidate& candidate, int steps, const Cost& spent,
                         const char* call) {
  const double most = steps * engine_.forwards_per_step;
  const bool sound = std::isfinite(spent.forwards) && std::isfinite(spent.seconds) &&
                     spent.seconds >= 0 && spent.peak_bytes >= 0;
  if (!sound || spent.forwards > most || (steps > 0 && spent.forwards <= 0) ||
      (!candidate.draft && steps == 0 && spent.forwards != 0)) {
    violation(
        fmt::format("{} of {} must report what {} steps cost, at most {} forwards and no "
                    "negative seconds, but reports {} forwards, {} s",
                    call, id, steps, most, spent.forwards, spent.seconds));
  }
}

void Watcher::over(Candidate& candidate) {
  candidate.where = Where::kOver;
  moved_.notify_all();
}

void Watcher::require_end() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, candidate] : candidates_) {
    if (candidate.where != Where::kOver && !interrupted_) {
      violation(fmt::format("run() must bring {} to an end, but leaves it at step {}", id,
                            candidate.step));
    }
  }
}

int Watcher::next_stop(int step) const {
  for (const int stop : plan_.stops) {
    if (stop > step) return stop;
  }
  return engine_.steps;
}

void Watcher::restored(CandidateId id, const Cost& spent) {
  const std::scoped_lock lock(mutex_);
  Candidate* candidate = known(id, "restored()");
  if (candidate == nullptr) return;
  redone[id] += spent.forwards;
  if (std::exchange(candidate->restored, true) || candidate->to != 0) {
    violation(fmt::format(
        "restored() must be called once, before the first step of {}, but comes later", id));
  }
}

bool Watcher::request_steps(CandidateId id, int from, int to) {
  const std::scoped_lock lock(mutex_);
  Candidate* candidate = known(id, "request_steps()");
  if (candidate == nullptr) return false;
  if (candidate->where != Where::kWaiting || from != candidate->step || to != next_stop(from)) {
    violation(
        fmt::format("request_steps({}) must go from where it is, {}, to the next stop, but "
                    "asks from {} to {}",
                    id, candidate->step, from, to));
  }
  if (plan_.refuse.contains({id, from})) {
    over(*candidate);
    return false;
  }
  candidate->where = Where::kRunning;
  candidate->arrived = false;
  candidate->to = to;
  return true;
}

bool Watcher::stepped(CandidateId id, int step) {
  const std::scoped_lock lock(mutex_);
  Candidate* candidate = known(id, "stepped()");
  if (candidate == nullptr) return false;
  if (candidate->where != Where::kRunning || step != candidate->step + 1 || step >= candidate->to) {
    violation(
        fmt::format("stepped({}) must follow each step before the stop {}, but after {} "
                    "comes {}",
                    id, candidate->to, candidate->step, step));
  }
  candidate->step = step;
  if (!plan_.leave.contains({id, step})) return true;
  candidate->where = Where::kLeaving;
  return false;
}

void Watcher::on_steps_done(CandidateId id, int step, const Cost& spent) {
  const std::scoped_lock lock(mutex_);
  if (plan_.interrupt.contains({id, step}) || interrupted_) {
    interrupted_ = true;
    moved_.notify_all();
    throw Interruption{};
  }
  Candidate* candidate = known(id, "on_steps_done()");
  if (candidate == nullptr) return;
  const bool leaves = candidate->where == Where::kLeaving;
  const bool right = leaves ? step == candidate->step
                            : candidate->where == Where::kRunning && step == candidate->to &&
                                  candidate->step == step - 1;
  if (!right) {
    violation(
        fmt::format("on_steps_done({}) must follow the last step, and stepped() those "
                    "before; the last known is {}, the stop {}, but it says {}",
                    id, candidate->step, candidate->to, step));
  }
  check_cost(id, *candidate, step - candidate->reported, spent, "on_steps_done()");
  forwards[id] += spent.forwards;
  candidate->step = candidate->reported = step;
  candidate->where = step == engine_.steps ? Where::kDecoding : Where::kWaiting;
  if (leaves) over(*candidate);
}

bool Watcher::keep_state(CandidateId, int step) const { return plan_.keep.contains(step); }

std::optional<PreviewRequest> Watcher::wants_preview(CandidateId, int step) const {
  if (std::find(plan_.stops.begin(), plan_.stops.end(), step) == plan_.stops.end()) return {};
  return plan_.preview;
}

void Watcher::preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) {
  const std::scoped_lock lock(mutex_);
  Candidate* candidate = known(id, "preview()");
  if (candidate == nullptr) return;
  if (!plan_.preview || candidate->where != Where::kWaiting || step != candidate->step) {
    violation(fmt::format("preview({}) must answer wants_preview() at the same step, but shows {}",
                          id, step));
    return;
  }
  check_cost(id, *candidate, plan_.preview->lookahead, spent, "preview()");
  const auto* video = std::get_if<VideoPtr>(&shown);
  if (video == nullptr || !*video) {
    violation(fmt::format("preview({}) must show a video, but says: {}", id,
                          video ? "nothing" : std::get<Failure>(shown).sentence));
  } else if (!previews.emplace(std::pair{id, step}, all_of(**video)).second) {
    violation(fmt::format("preview({}) must be called once at step {}, but was twice", id, step));
  }
}

bool Watcher::all_arrived() const {
  return std::all_of(candidates_.begin(), candidates_.end(), [](const auto& each) {
    return each.second.arrived || each.second.where == Where::kOver;
  });
}

/// Once a stop, when all that go on have arrived.
std::vector<Assignment> Watcher::answer_at(int step) {
  const auto known = answers_.find(step);
  if (known != answers_.end()) return known->second;
  std::vector<CandidateId> ids;
  for (const auto& [id, candidate] : candidates_) {
    if (candidate.where == Where::kOver) continue;
    ids.push_back(id);
    if (plan_.preview && !previews.contains({id, step})) {
      violation(fmt::format("{} must be shown at step {}, as wants_preview() said, but was not", id,
                            step));
    }
  }
  std::vector<Assignment> answer;
  if (plan_.answer) {
    answer = plan_.answer(step, ids);
  } else {
    for (const CandidateId id : ids) answer.push_back({id, id, 0});
  }
  std::map<CandidateId, Candidate> next;
  for (auto& [id, candidate] : candidates_) {
    if (candidate.where == Where::kOver) next.emplace(id, candidate);
  }
  for (const Assignment& assignment : answer) {
    Candidate candidate = candidates_.at(assignment.parent);
    candidate.arrived = false;
    if (assignment.id != assignment.parent) {
      candidate.state = State::fork(State::at(candidate.state, step), assignment.key);
      states.insert_or_assign(assignment.id, candidate.state);
    }
    next.insert_or_assign(assignment.id, candidate);
  }
  candidates_ = std::move(next);
  return answers_[step] = std::move(answer);
}

std::vector<Assignment> Watcher::resample_at(int step) {
  const std::scoped_lock lock(mutex_);
  for (auto& [id, candidate] : candidates_) {
    if (candidate.where == Where::kOver) continue;
    if (candidate.where != Where::kWaiting || candidate.step != step) {
      violation(
          fmt::format("resample_at({}) must be called when all have arrived there, but {} "
                      "is at {}",
                      step, id, candidate.step));
    }
  }
  if (std::find(plan_.stops.begin(), plan_.stops.end(), step) == plan_.stops.end() ||
      answers_.contains(step)) {
    violation(fmt::format("resample_at() must be called once a stop, but was at {}", step));
  }
  return answer_at(step);
}

std::vector<Assignment> Watcher::arrive(std::span<const CandidateId> ids, int step) {
  std::unique_lock lock(mutex_);
  for (const CandidateId id : ids) {
    Candidate* candidate = known(id, "arrive()");
    if (candidate == nullptr) continue;
    if (candidate->where != Where::kWaiting || candidate->step != step || candidate->arrived) {
      violation(fmt::format("arrive({}) must bring {} there, but it is at {}", step, id,
                            candidate->step));
    }
    candidate->arrived = true;
  }
  moved_.notify_all();
  const bool answered = moved_.wait_for(lock, std::chrono::seconds(60), [&] {
    return interrupted_ || answers_.contains(step) || all_arrived();
  });
  if (interrupted_) throw Interruption{};
  if (!answered) {
    violation(
        fmt::format("arrive({}) must be called for all that go on, but some never came", step));
    return {};
  }
  std::vector<Assignment> all = answer_at(step);
  std::erase_if(all, [&](const Assignment& each) {
    return std::find(ids.begin(), ids.end(), each.parent) == ids.end();
  });
  moved_.notify_all();
  return all;
}

void Watcher::finished(CandidateId id, FinishedVideo video, const Cost& spent) {
  const std::scoped_lock lock(mutex_);
  Candidate* candidate = known(id, "finished()");
  if (candidate == nullptr) return;
  if (candidate->where != Where::kDecoding) {
    violation(fmt::format("finished({}) must follow on_steps_done() at step {}, but it is at {}",
                          id, engine_.steps, candidate->step));
  }
  check_cost(id, *candidate, 0, spent, "finished()");
  over(*candidate);
  const auto* shown = std::get_if<VideoPtr>(&video);
  if (shown == nullptr || !*shown) {
    violation(fmt::format("finished({}) must hand over a video, but gave none", id));
    return;
  }
  videos[id] = all_of(**shown);
}

void Watcher::failed(CandidateId id, int step, Failure failure, const Cost&) {
  const std::scoped_lock lock(mutex_);
  violation(fmt::format("{} must be made, but failed at step {}: {}", id, step, failure.sentence));
  if (Candidate* candidate = known(id, "failed()")) over(*candidate);
}

}  // namespace bestreel::conformance
