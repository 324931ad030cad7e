// What is decided at openings and barriers: who goes on by the strategy, and by the budget.
//
// Note [Budget]. max-forwards is decided for all candidates at once, where a wave opens and where a
// barrier takes effect, in the order of their ids, from what is recorded and the upper price of the
// way to the next decision. So neither the order of arrival nor an earlier kill changes it, and the
// decision is part of the event that it belongs to. max-seconds looks at the clock, and so it may
// stop a candidate after any step.
#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/fail.h"
#include "plugin/session/impl.h"

namespace bestreel {

using session::key_of;
using Status = Trajectory::Status;

// ---- Budget
// --------------------------------------------------------------------------------------

bool Session::Impl::anyone_finished() const {
  return std::any_of(trajectories.begin(), trajectories.end(), [](const auto& each) {
    return each.second.status == Status::kFinished && !each.second.draft;
  });
}

/// The live candidate that would be shown if all ended now: by the last barrier, then by id.
CandidateId Session::Impl::leader() const {
  const Trajectory* best = nullptr;
  CandidateId leader = -1;
  for (const auto& [id, t] : trajectories) {
    if (t.status != Status::kLive || t.draft) continue;
    if (best == nullptr || t.preview_reward > best->preview_reward) {
      best = &t;
      leader = id;
    }
  }
  return leader;
}

/// The most that the way from step to step can cost, with what its previews look ahead.
double Session::Impl::price(int from, int to) const {
  double steps = to - from;
  for (const int barrier : wave->ask.barriers) {
    if (barrier > from && barrier <= to) steps += wave->ask.preview.request.lookahead;
  }
  return steps * engine.forwards_per_step;
}

/// What it takes to come to its end.
double Session::Impl::left(const Trajectory& t) const { return price(t.step, engine.steps); }

/// The limit that forbids the way; empty: none does. What the leader needs to come to its end is
/// kept back as long as nobody is finished.
std::string Session::Impl::over_budget(CandidateId id, int from, int to,
                                       const std::map<CandidateId, double>& promised) const {
  if (options.max_forwards > 0) {
    double spent = journal.ledger().forwards + price(from, to);
    for (const auto& [other, forwards] : promised) spent += forwards;
    if (!anyone_finished()) {
      const CandidateId first = leader();
      if (first == id) {
        spent += price(to, engine.steps);
      } else if (first >= 0) {
        const auto have = promised.find(first);
        spent += left(trajectories.at(first)) - (have == promised.end() ? 0 : have->second);
      }
    }
    // The counts may be fractions: the last bit must not cost a candidate.
    if (spent > options.max_forwards * (1 + 1e-12)) return "max-forwards";
  }
  return out_of_time(id) ? "max-seconds" : "";
}

bool Session::Impl::out_of_time(CandidateId id) const {
  if (options.max_seconds <= 0) return false;
  const double elapsed = std::chrono::duration<double>(Trace::Clock::now() - begin).count();
  return elapsed > options.max_seconds && (anyone_finished() || leader() != id);
}

/// Whom of `ids`, ascending, the budget stops at `step`.
std::vector<events::Stop> Session::Impl::spend(int step, const std::vector<CandidateId>& ids) {
  std::vector<events::Stop> stopped;
  std::map<CandidateId, double> promised;
  const int to = next_effective(step);
  for (const CandidateId id : ids) {
    const std::string limit = over_budget(id, step, to, promised);
    if (limit.empty()) {
      promised[id] = price(step, to);
      continue;
    }
    stopped.push_back({candidate_name(id), limit});
    trajectories.at(id).status = Status::kStopped;  // else it would still be the leader
  }
  return stopped;
}

void Session::Impl::stop(const events::Stop& stop, int step) {
  const CandidateId id = ids.at(stop.candidate);
  Trajectory& t = trajectories.at(id);
  t.status = Status::kStopped;
  t.failure = stopped_failure(stop.candidate, step, stop.limit);
  if (wave) wave->carried.erase(id);
  exhausted = true;
}

// ---- Barriers
// ------------------------------------------------------------------------------------

bool Session::Impl::is_effective(int step) const {
  return std::find(wave->ask.barriers.begin(), wave->ask.barriers.end(), step - wave->ask.lag) !=
         wave->ask.barriers.end();
}

/// The next step after `step` at which it is decided who goes on; the end where none is left.
int Session::Impl::next_effective(int step) const {
  for (const int barrier : wave->ask.barriers) {
    if (barrier + wave->ask.lag > step) return barrier + wave->ask.lag;
  }
  return engine.steps;
}

/// Waits for the previews of `ids`; nullopt: interrupted.
std::optional<Barrier> Session::Impl::barrier_of(Lock& lock, int step,
                                                 const std::vector<CandidateId>& ids) {
  Barrier barrier{wave->index, step, {}};
  for (const CandidateId id : ids) {
    // A preview that was judged and not written would never be made again.
    wait_for_writer(lock, id);
    auto result =
        judging.wait(lock, journal, key<events::PreviewJudged>(id, step, wave->preview_judge));
    if (stopping()) return std::nullopt;
    if (!result) {
      fail("engine_broken", "session",
           "{} must show a preview of {} at step {}, but did not: report it to the engine's author",
           engine.name, candidate_name(id), step);
    }
    barrier.candidates.push_back({id, std::move(*result)});
  }
  return barrier;
}

/// As an Answer must be: each id once, from those that were asked about; copies only where they
/// diverge.
void Session::Impl::check_answer(const Barrier& barrier, int effective,
                                 const std::vector<Assignment>& assignments) const {
  const auto at_barrier = [&](CandidateId id) {
    return std::any_of(barrier.candidates.begin(), barrier.candidates.end(),
                       [&](const Barrier::Entry& each) { return each.id == id; });
  };
  std::set<std::string> copies;
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const auto& [id, parent, key] = assignments[i];
    const bool twice = i > 0 && assignments[i - 1].id == id;
    const bool known = at_barrier(id), fresh = id >= 0 && !trajectories.contains(id);
    if (twice || !at_barrier(parent) || (!known && !fresh)) {
      fail_usage("session",
                 "{} must answer step {} with assignments of the candidates there, each once, but "
                 "got {} from {}: report it to its author",
                 strategy->id(), barrier.step, candidate_name(id), candidate_name(parent));
    }
    if (id == parent) continue;
    if (!engine.branching) {
      fail_usage("session",
                 "{} must not copy {} to {} at step {}, since {} cannot copy trajectories: report "
                 "it to its author",
                 strategy->id(), candidate_name(parent), candidate_name(id), effective,
                 engine.name);
    }
    if (effective >= engine.stochastic_until) {
      fail_usage("session",
                 "{} must not copy {} to {} at step {}, since {} draws no noise from step {} on "
                 "and both would become one video: prune instead, or pass --stochastic flow-sde",
                 strategy->id(), candidate_name(parent), candidate_name(id), effective, engine.name,
                 engine.stochastic_until);
    }
    const State copy = State::fork(State::at(trajectories.at(parent).state, effective), key);
    if (!copies.insert(copy.text()).second || has_twin(copy, trajectories.at(parent).draft)) {
      fail_usage("session",
                 "{} must not make one trajectory twice, but copies {} to {} at step {} by the key "
                 "{} again: report it to its author",
                 strategy->id(), candidate_name(parent), candidate_name(id), effective, key);
    }
  }
}

/// Records the answer to `barrier`, and what becomes of the candidates at step `effective`.
void Session::Impl::apply(const Barrier& barrier, int effective, const Answer& answer) {
  std::vector<Assignment> assignments = answer.assignments;
  std::sort(assignments.begin(), assignments.end(),
            [](const Assignment& a, const Assignment& b) { return a.id < b.id; });
  check_answer(barrier, effective, assignments);
  const std::map<CandidateId, Trajectory> before = trajectories;
  std::map<CandidateId, std::optional<double>> rewards;
  events::BarrierDecided body{
      .barrier = barrier.step, .candidates = {}, .assignments = {}, .stopped = {}};
  for (const Barrier::Entry& each : barrier.candidates) {
    body.candidates.push_back(candidate_name(each.id));
    rewards[each.id] = reward_of(each.result);
    Trajectory& t = trajectories.at(each.id);
    if (t.status == Status::kLive) t.status = Status::kDropped;
  }
  std::vector<CandidateId> going;
  for (const auto& [id, parent, seed] : assignments) {
    Trajectory& t = trajectories[id];
    const Trajectory& from = before.at(parent);
    ids[candidate_name(id)] = id;
    if (!before.contains(id)) {
      t.wave = wave->index;
      t.draft = from.draft;
      t.start = from.start;
      t.step = effective;
      restore(id, t);
    } else {
      t.status = before.at(id).status;
    }
    if (parent != id) {
      if (before.contains(id) && !t.draft) {
        int& step = left_behind[t.state.text()];
        step = std::max(step, effective);
      }
      t.state = State::fork(State::at(from.state, effective), seed);
      t.identity = identity(t.state, t.draft);
    }
    t.preview_reward = rewards.at(parent);
    body.assignments.push_back({candidate_name(id), candidate_name(parent), seed, t.state.text()});
    going.push_back(id);
  }
  const auto place = key_of<events::BarrierDecided>(wave->index, "", effective);
  const auto* then = journal.find<events::BarrierDecided>(place);
  // Who was finished since needs no budget, and what is recorded was decided.
  body.stopped = then != nullptr ? then->stopped : spend(effective, going);
  journal.record({{wave->index, effective, "", body, 0}});
  for (const events::Stop& each : body.stopped) stop(each, effective);
  std::erase_if(assignments, [&](const Assignment& each) {
    return std::any_of(body.stopped.begin(), body.stopped.end(), [&](const events::Stop& stopped) {
      return stopped.candidate == candidate_name(each.id);
    });
  });
  wave->decided[effective] = std::move(assignments);
}

/// All have arrived at `step`: those that go on are in the engines' hands now.
void Session::Impl::pass(int step) {
  const std::set<CandidateId> from = std::exchange(wave->carried, {});
  std::vector<Assignment>& on = wave->passed[step];
  for (const Assignment& each : wave->decided.at(step)) {
    // Who failed while it was made again is gone.
    if (!from.contains(each.parent)) continue;
    wave->carried.insert(each.id);
    on.push_back(each);
  }
  changed.notify_all();
}

std::vector<Assignment> Session::Impl::arrive(Lock& lock, const std::vector<CandidateId>& ids,
                                              int step) {
  enter(lock);
  const auto halted = [&] {
    interrupted = interrupted || stopping();
    return interrupted || !wave || !wave->retry.empty();  // or the wave is made again
  };
  if (halted()) return {};
  if (!is_effective(step)) {
    std::vector<Assignment> all;
    for (const CandidateId id : ids) all.push_back({.id = id, .parent = id});
    return all;
  }
  const auto everyone = [&] {
    return std::all_of(wave->carried.begin(), wave->carried.end(),
                       [&](CandidateId id) { return wave->arrived[step].contains(id); });
  };
  wave->arrived[step].insert(ids.begin(), ids.end());
  changed.notify_all();
  changed.wait(lock, options.stop, [&] {
    return broken || wave->passed.contains(step) || !wave->retry.empty() || interrupted ||
           (!wave->deciding && everyone());
  });
  if (broken) std::rethrow_exception(broken);
  if (!wave->passed.contains(step)) {
    if (halted() || wave->carried.empty()) return {};
    try {
      if (!wave->decided.contains(step) && !decide(lock, step)) return {};
      pass(step);
    } catch (...) {
      break_off(std::current_exception());
      throw;
    }
  }
  std::vector<Assignment> mine;
  for (const Assignment& each : wave->passed.at(step)) {
    if (std::find(ids.begin(), ids.end(), each.parent) != ids.end()) mine.push_back(each);
  }
  return mine;
}

/// Has the strategy answer for all that have arrived. False: interrupted.
bool Session::Impl::decide(Lock& lock, int step) {
  wave->deciding = true;
  const std::vector<CandidateId> all(wave->carried.begin(), wave->carried.end());
  const auto barrier = barrier_of(lock, step - wave->ask.lag, all);
  wave->deciding = false;
  if (!barrier) {
    interrupted = true;
    changed.notify_all();
    return false;
  }
  apply(*barrier, step, strategy->tell(*barrier));
  return true;
}

std::vector<Assignment> Session::resample_at(int step) {
  Impl::Lock lock(impl_->mutex);
  const auto& wave = impl_->wave;
  if (!wave) return {};
  return impl_->arrive(lock, {wave->carried.begin(), wave->carried.end()}, step);
}

std::vector<Assignment> Session::arrive(std::span<const CandidateId> ids, int step) {
  Impl::Lock lock(impl_->mutex);
  std::vector<CandidateId> mine;
  for (const CandidateId id : ids) {
    if (impl_->wave && impl_->wave->carried.contains(id)) mine.push_back(id);
  }
  return impl_->arrive(lock, mine, step);
}

}  // namespace bestreel
