// Waves are checked, opened, made again.
#include <algorithm>
#include <utility>

#include "core/base/fail.h"
#include "plugin/session/impl.h"

namespace bestreel {

using session::EventKey;
using session::key_of;
using Status = Trajectory::Status;

namespace {

[[noreturn]] void fail_ask(const Strategy& strategy, const std::string& what) {
  fail_usage("session", "{} must ask for what can be done, but {}: report it to its author",
             strategy.id(), what);
}

/// Whether the expression holds a form of this kind.
template <typename Form>
bool contains(const State& state) {
  if (std::holds_alternative<Form>(state.form())) return true;
  return std::visit(
      [](const auto& form) {
        if constexpr (requires { form.of; }) {
          return contains<Form>(*form.of);
        } else {
          return false;
        }
      },
      state.form());
}

}  // namespace

// ---- What may be asked
// ---------------------------------------------------------------------------

/// Whether a candidate has come to every point that the state goes back to: then all of it was paid
/// for when it was first made.
bool Session::Impl::reached(const State& state) const {
  return std::visit(
      [&](const auto& form) {
        using Form = std::decay_t<decltype(form)>;
        if constexpr (std::is_same_v<Form, Noise>) {
          return true;
        } else {
          if constexpr (std::is_same_v<Form, State::At>) {
            const bool there =
                std::any_of(trajectories.begin(), trajectories.end(), [&](const auto& each) {
                  return each.second.step >= form.step && !each.second.draft &&
                         each.second.state == *form.of;
                });
            const auto left = left_behind.find(form.of->text());
            if (!there && (left == left_behind.end() || left->second < form.step)) return false;
          }
          return reached(*form.of);
        }
      },
      state.form());
}

/// Equal ones become one video.
std::string Session::Impl::identity(const State& state, bool draft) const {
  return state.trajectory_of(engine.stochastic_until).text() + (draft ? " as a draft" : "");
}

/// Whether somebody has become, or would become, the same video.
bool Session::Impl::has_twin(const State& state, bool draft) const {
  const std::string wanted = identity(state, draft);
  return std::any_of(trajectories.begin(), trajectories.end(), [&](const auto& each) {
    const Trajectory& t = each.second;
    const bool over = t.status == Status::kDropped || t.status == Status::kStopped;
    return !over && t.identity == wanted;
  });
}

void Session::Impl::check_start(const NewTrajectory& start) const {
  const std::string name = candidate_name(start.id), text = start.state.text();
  if (start.draft && !engine.drafts) fail_ask(*strategy, engine.name + " makes no drafts");
  if (engine.steps == 0) {
    if (!files.contains(start.label)) {
      fail_ask(*strategy, fmt::format("{} is no file that has arrived", name));
    }
    return;
  }
  if (start.state.step() >= engine.steps) {
    fail_ask(*strategy, fmt::format("{} begins at the end, {}", name, text));
  }
  if (contains<State::Renoise>(start.state) && !engine.renoise) {
    fail_ask(*strategy,
             fmt::format("{} takes no candidate back as {} would, {}", engine.name, name, text));
  }
  if (start.state.noise() == nullptr && !engine.branching) {
    fail_ask(*strategy,
             fmt::format("{} cannot copy trajectories as {} would, {}", engine.name, name, text));
  }
  if (!reached(start.state)) {
    fail_ask(*strategy, fmt::format("{} begins where no candidate has come to, {}", name, text));
  }
  if (has_twin(start.state, start.draft)) {
    fail_ask(*strategy, fmt::format("{} would be a second {}, one video twice", name,
                                    identity(start.state, start.draft)));
  }
}

void Session::Impl::check_judgements(const Ask& ask) const {
  if (!ask.judgements.empty() && (!ask.barriers.empty() || !strategy->needs().judgements)) {
    fail_ask(*strategy, "judgements must be among its needs, and in a wave without barriers");
  }
  for (const JudgementAsk& each : ask.judgements) {
    const bool group = each.judge < judges.size() && judges[each.judge]->info().groupwise;
    if (each.judge >= judges.size() || each.ids.size() < (group ? 2u : 1u)) {
      fail_ask(*strategy, fmt::format("{} candidates cannot be judged by judge {}", each.ids.size(),
                                      each.judge + 1));
    }
    std::set<CandidateId> seen;
    for (const CandidateId id : each.ids) {
      const auto found = trajectories.find(id);
      const bool there = found != trajectories.end() && found->second.told &&
                         (found->second.status == Status::kFinished || group);
      if (!there || !seen.insert(id).second) {
        fail_ask(*strategy, fmt::format("{} cannot be judged by judge {}", candidate_name(id),
                                        each.judge + 1));
      }
    }
  }
}

/// A strategy's mistake would surface as a lost candidate or a wait without end.
void Session::Impl::check(const Ask& ask) const {
  std::set<CandidateId> fresh;
  std::set<std::string> fresh_states;
  for (const NewTrajectory& start : ask.starts) {
    if (start.id < 0 || trajectories.contains(start.id) || !fresh.insert(start.id).second) {
      fail_ask(*strategy, fmt::format("{} is not a new candidate", candidate_name(start.id)));
    }
    if (start.state.step() != ask.starts.front().state.step()) {
      fail_ask(*strategy, "the candidates of a wave begin at several steps");
    }
    check_start(start);
    const std::string trajectory =
        engine.steps == 0 ? start.label : identity(start.state, start.draft);
    if (!fresh_states.insert(trajectory).second) {
      fail_ask(*strategy, fmt::format("{} would be a second {}, one video twice",
                                      candidate_name(start.id), trajectory));
    }
  }
  int after = ask.starts.empty() ? 0 : ask.starts.front().state.step();
  for (const int barrier : ask.barriers) {
    if (barrier <= after || ask.lag < 0 || barrier + ask.lag >= engine.steps) {
      fail_ask(*strategy, fmt::format("barriers {} with lag {} do not fit into {} steps",
                                      fmt::join(ask.barriers, ","), ask.lag, engine.steps));
    }
    after = barrier + ask.lag;
  }
  if (!ask.barriers.empty() && !engine.previews) fail_ask(*strategy, "nobody shows previews");
  const int lookahead = ask.preview.request.lookahead;
  if (lookahead < 0 || (lookahead > 0 && !engine.lookahead) ||
      (!ask.barriers.empty() && ask.barriers.back() + lookahead > engine.steps)) {
    fail_ask(*strategy, fmt::format("previews cannot look {} steps ahead", lookahead));
  }
  const std::size_t preview_judge = ask.preview.judge.value_or(options.preview_judge);
  if (!ask.barriers.empty() &&
      (preview_judge >= judges.size() || judges[preview_judge]->info().groupwise)) {
    fail_ask(*strategy, fmt::format("judge {} judges no previews", preview_judge + 1));
  }
  // On an engine that runs them one after the other they would never meet.
  if (!ask.barriers.empty() && ask.starts.size() > 1 &&
      strategy->needs().scheduling == Scheduling::kSequential) {
    fail_ask(*strategy, "candidates that meet at a barrier need an engine in lockstep");
  }
  for (const std::size_t judge : ask.judges.value_or(std::vector<std::size_t>{})) {
    if (judge >= judges.size() || judges[judge]->info().groupwise) {
      fail_ask(*strategy, fmt::format("judge {} judges no single videos", judge + 1));
    }
  }
  check_judgements(ask);
}

// ---- Opening
// -------------------------------------------------------------------------------------

/// What a process before this one has recorded of its end.
void Session::Impl::restore(CandidateId id, Trajectory& t) {
  const std::string name = candidate_name(id);
  if (const RunEvent* last = journal.last<events::StepsDone>(t.wave, id)) {
    t.step = std::max(t.step, static_cast<int>(last->step));
  }
  if (const RunEvent* last = journal.last<events::Failed>(t.wave, id)) {
    t.status = Status::kFailed;
    t.failure = std::get<events::Failed>(last->body).failure;
  } else if (const RunEvent* stopped = journal.last<events::Stopped>(t.wave, id)) {
    stop({name, std::get<events::Stopped>(stopped->body).limit}, static_cast<int>(stopped->step));
  } else if (journal.has(key<events::Candidate>(id, engine.steps))) {
    for (const std::size_t j : wave->judges) {
      t.judgements.push_back(key<events::Judged>(id, engine.steps, j));
    }
    const bool judged = std::all_of(t.judgements.begin(), t.judgements.end(),
                                    [&](const EventKey& k) { return journal.has(k); });
    // A judge sees what the engine made and not what a file kept of it: it is made again.
    if (judged) {
      t.status = Status::kFinished;
    } else {
      t.judgements.clear();
    }
  }
}

/// Tells the recorded barriers of this wave again.
void Session::Impl::replay_tells() {
  for (const int step : wave->ask.barriers) {
    const int effective = step + wave->ask.lag;
    const auto* told = journal.find<events::BarrierDecided>(
        key_of<events::BarrierDecided>(wave->index, "", effective));
    if (told == nullptr) return;
    Barrier barrier{wave->index, step, {}};
    for (const std::string& name : told->candidates) {
      const auto result = recorded_result(
          journal, key_of<events::PreviewJudged>(wave->index, name, step, wave->preview_judge));
      if (result && ids.contains(name)) barrier.candidates.push_back({ids.at(name), *result});
    }
    apply(barrier, effective, strategy->tell(barrier));
  }
}

Start Session::Impl::start_of(CandidateId id) const {
  const Trajectory& t = trajectories.at(id);
  return {id, options.condition, t.start, t.draft, t.label, t.file.value_or(FileReference{})};
}

/// Who has to be made (again) from the wave's beginning: the live ones, and those whose states they
/// go on from.
std::vector<Start> Session::Impl::reopen() {
  Wave& w = *wave;
  w.retry.clear();
  w.arrived.clear();
  w.passed.clear();
  w.deciding = false;
  std::set<CandidateId> needed;
  for (const CandidateId id : live()) needed.insert(id);
  for (auto each = w.decided.rbegin(); each != w.decided.rend(); ++each) {
    std::erase_if(each->second, [&](const Assignment& a) { return !needed.contains(a.id); });
    needed.clear();
    for (const Assignment& assignment : each->second) needed.insert(assignment.parent);
  }
  std::vector<Start> starts;
  for (const CandidateId id : needed) starts.push_back(start_of(id));
  w.carried = std::move(needed);
  // Those of a judgement's wave are made again by themselves.
  std::map<int, std::vector<Start>> groups;
  for (const CandidateId id : w.remakes) {
    const Trajectory& t = trajectories.at(id);
    groups[t.state.step()].push_back({id, options.condition, t.state, t.draft, t.label, {}});
  }
  w.groups.clear();
  for (auto& [step, group] : groups) w.groups.push_back(std::move(group));
  return starts.empty() ? next_group() : starts;
}

std::vector<Start> Session::Impl::next_group() {
  if (wave->groups.empty()) return {};
  std::vector<Start> group = std::move(wave->groups.back());
  wave->groups.pop_back();
  for (const Start& start : group) wave->carried.insert(start.id);
  return group;
}

std::vector<Start> Session::Impl::open_wave(Lock& lock, const Ask& ask) {
  check(ask);
  wave.emplace();
  Wave& w = *wave;
  w.index = waves++;
  w.ask = ask;
  w.begin = ask.starts.empty() ? 0 : ask.starts.front().state.step();
  w.preview_judge = ask.preview.judge.value_or(options.preview_judge);
  for (std::size_t j = 0; j < judges.size() && !ask.judges; ++j) {
    if (!judges[j]->info().groupwise) w.judges.push_back(j);
  }
  if (ask.judges) w.judges = *ask.judges;

  events::WaveStarted body{.starts = {},
                           .barriers = ask.barriers,
                           .lag = ask.lag,
                           .preview = ask.preview.request,
                           .preview_judge = w.preview_judge,
                           .keep_states = ask.keep_states,
                           .judges = w.judges,
                           .judgements = {},
                           .stopped = {}};
  std::vector<CandidateId> fresh;
  for (const NewTrajectory& start : ask.starts) {
    const std::string name = candidate_name(start.id);
    const std::string text = engine.steps == 0 ? "" : start.state.text();
    body.starts.push_back({name, text, start.label, start.draft});
    ids[name] = start.id;
    Trajectory& t = trajectories[start.id];
    t.wave = w.index;
    t.start = start.state;
    t.state = start.state.without_at();
    t.draft = start.draft;
    t.label = start.label;
    if (engine.steps == 0) t.file = files.at(start.label);
    if (engine.steps > 0) t.identity = identity(t.state, t.draft);
    t.step = w.begin;
    fresh.push_back(start.id);
  }
  for (const JudgementAsk& each : ask.judgements) {
    auto& judgements = body.judgements.emplace_back();
    judgements.judge = each.judge;
    for (const CandidateId id : each.ids) judgements.candidates.push_back(candidate_name(id));
    asked.push_back({w.index, body.judgements.size() - 1, each.judge, each.ids, {}});
  }
  const auto place = key_of<events::WaveStarted>(w.index, "", 0);
  const auto* then = journal.find<events::WaveStarted>(place);
  std::sort(fresh.begin(), fresh.end());
  body.stopped = then != nullptr ? then->stopped : spend(w.begin, fresh);
  journal.record({{w.index, 0, "", body, 0}});
  for (const CandidateId id : fresh) restore(id, trajectories.at(id));
  for (const events::Stop& each : body.stopped) stop(each, w.begin);
  replay_tells();
  for (std::size_t i = 0; i < ask.judgements.size(); ++i) {
    for (const CandidateId id : ask.judgements[i].ids) {
      const Trajectory& t = trajectories.at(id);
      const bool known = journal.has(key_of<events::Judged>(
          w.index, candidate_name(id), engine.steps, ask.judgements[i].judge, i + 1));
      const bool at_hand = t.video || t.file || t.status != Status::kFinished;
      if (!known && !at_hand) w.remakes.insert(id);
    }
  }
  // A group is judged as a whole.
  for (std::size_t i = 0; i < ask.judgements.size(); ++i) {
    const JudgementAsk& each = ask.judgements[i];
    if (!judges[each.judge]->info().groupwise) continue;
    const bool known = std::all_of(each.ids.begin(), each.ids.end(), [&](CandidateId id) {
      return journal.has(
          key_of<events::Judged>(w.index, candidate_name(id), engine.steps, each.judge, i + 1));
    });
    for (const CandidateId id : each.ids) {
      const Trajectory& t = trajectories.at(id);
      if (!known && !t.video && !t.file && t.status == Status::kFinished) w.remakes.insert(id);
    }
  }
  submit_judgements(lock);
  return reopen();
}

/// Hands the asks whose videos are all at hand to their judges.
void Session::Impl::submit_judgements(Lock& lock) {
  const auto opened = [&](const FileReference& file) {
    lock.unlock();
    DecodedFrames shown = session::open_file(file);
    lock.lock();
    return shown;
  };
  for (std::size_t i = 0; wave && i < wave->ask.judgements.size(); ++i) {
    const JudgementAsk ask = wave->ask.judgements[i];
    const bool group = judges[ask.judge]->info().groupwise;
    std::vector<EventKey> keys;
    std::vector<Request> requests;
    bool complete = true;
    for (const CandidateId id : ask.ids) {
      const Trajectory& t = trajectories.at(id);
      complete = complete && !wave->remakes.contains(id);
      keys.push_back(
          key_of<events::Judged>(wave->index, candidate_name(id), engine.steps, ask.judge, i + 1));
      requests.push_back({t.video, options.condition});
      if (!t.file || !group) continue;
      const DecodedFrames shown = opened(*t.file);
      if (const auto* video = std::get_if<VideoPtr>(&shown)) requests.back().video = *video;
    }
    if (group) {
      if (complete && wave->submitted.insert(i).second) {
        judging.submit(lock, journal, std::move(keys), std::move(requests));
      }
      continue;
    }
    for (std::size_t k = 0; k < keys.size(); ++k) {
      // One after the other: the system limits how many files are open.
      if (const auto& file = trajectories.at(ask.ids[k]).file; file && !journal.has(keys[k])) {
        const DecodedFrames shown = opened(*file);
        if (const auto* failure = std::get_if<Failure>(&shown)) {
          if (is_machine_failure(failure->code)) {
            throw Error(failure->code, "session", failure->sentence);
          }
          journal.record({{wave->index, engine.steps, candidate_name(ask.ids[k]),
                           events::Judged{ask.judge, i + 1, *failure}, 0}});
          continue;
        }
        requests[k].video = std::get<VideoPtr>(shown);
      }
      if (!requests[k].video) continue;
      judging.submit(lock, journal, {keys[k]}, {requests[k]});
      if (!options.overlap) judging.wait(lock, journal, keys[k]);
    }
  }
}

void Session::Impl::require_wave_is_over() const {
  if (!wave || stopping()) return;
  std::vector<std::string> lost;
  for (const CandidateId id : live()) lost.push_back(candidate_name(id));
  for (const CandidateId id : wave->remakes) lost.push_back(candidate_name(id));
  if (lost.empty()) return;
  fail("engine_broken", "session",
       "{} must bring every candidate to its end or report its failure, but left {} behind: report "
       "it to the engine's author",
       engine.name, fmt::join(lost, ", "));
}

}  // namespace bestreel
