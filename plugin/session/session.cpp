// Waves are opened here, and the run is ended.
#include "plugin/session.h"

#include <algorithm>
#include <utility>

#include "core/base/fail.h"
#include "plugin/json_fields.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/same_run.h"
#include "plugin/session/impl.h"

namespace bestreel {
namespace {

using session::EventKey;
using session::Journal;
using session::Json;
using State = Trajectory::State;

Event wave_started_event(std::int64_t wave, const Ask& ask) {
  Json body{{"starts", Json::array()},
            {"barriers", ask.barriers},
            {"lag", ask.lag},
            {"reviews", Json::array()}};
  for (const NewTrajectory& start : ask.starts) {
    body["starts"].push_back(
        {{"candidate", candidate_name(start.id)}, {"noise", start.noise.text()}});
  }
  for (const Review& review : ask.reviews) {
    body["reviews"].push_back({{"candidate", candidate_name(review.id)}, {"judge", review.judge}});
  }
  return {.wave = wave, .kind = "wave_started", .body = body.dump()};
}

Event winner_selected_event(const std::vector<Ranked>& ranking) {
  Json order = Json::array();
  for (const Ranked& each : ranking) {
    Json entry{{"candidate", candidate_name(each.id)}, {"reward", each.reward}};
    if (each.judge) entry["judge"] = *each.judge;
    order.push_back(std::move(entry));
  }
  return {.kind = "winner_selected", .body = Json{{"order", order}}.dump()};
}

void check_options(const SessionOptions& options, const EngineCapabilities& engine,
                   std::size_t judges) {
  if (!options.keep) fail_usage("session", "keep must be given: use mp4_sink()");
  if (options.preview_judge >= judges) {
    fail_usage("session", "the preview judge must be one of {} judges, but got number {}", judges,
               options.preview_judge + 1);
  }
  const double one = engine.steps * engine.forwards_per_step;
  if (options.max_forwards != 0 && !(options.max_forwards >= one)) {
    fail_usage("session",
               "max-forwards must pay for one candidate ({} steps of {} forwards = {}), but got "
               "{}: raise it, or lower the steps",
               engine.steps, engine.forwards_per_step, one, options.max_forwards);
  }
  if (!(options.max_seconds >= 0)) {
    fail_usage("session", "max-seconds must not be negative, but got {}", options.max_seconds);
  }
}

std::string limits_text(const SessionOptions& options) {
  std::vector<std::string> limits;
  if (options.max_forwards > 0) {
    limits.push_back(fmt::format("max-forwards={}", options.max_forwards));
  }
  if (options.max_seconds > 0) limits.push_back(fmt::format("max-seconds={}", options.max_seconds));
  return fmt::format("{}", fmt::join(limits, ","));
}

[[noreturn]] void fail_ask(const Strategy& strategy, const std::string& what) {
  fail_usage("session", "{} must ask for what can be done, but {}: report it to its author",
             strategy.id(), what);
}

}  // namespace

Session::Impl::Impl(Journal journal_, EngineCapabilities engine_, StrategyPtr strategy_,
                    const std::vector<JudgePtr>& judges, SessionOptions options_)
    : journal(std::move(journal_)),
      engine(std::move(engine_)),
      strategy(std::move(strategy_)),
      options(std::move(options_)),
      judge_count(judges.size()),
      judging(judges, {.capacity = options.queue_capacity,
                       .overlap = options.overlap,
                       .trace = options.trace}) {
  on_stop.emplace(options.stop, std::function<void()>([this] { judging.stop(); }));
}

Session::Session(const std::string& directory, EngineCapabilities engine, StrategyPtr strategy,
                 std::vector<JudgePtr> judges, SessionOptions options) {
  if (!strategy) fail_usage("session", "strategy must not be null");
  require_match(*strategy, engine, judges.size());
  check_options(options, engine, judges.size());
  RunSettings& settings = options.settings;
  if (settings.command.empty()) settings.command = engine.name;
  if (settings.judges.empty()) {
    for (const JudgePtr& judge : judges) settings.judges.push_back(judge->info().name);
  }
  settings.judge_ids.clear();
  for (const JudgePtr& judge : judges) settings.judge_ids.push_back(judge->info().id);
  settings.prompt = options.condition.prompt;
  settings.negative = options.condition.negative;
  settings.engine = engine.id;
  settings.strategy = strategy->id();
  settings.limits = limits_text(options);
  settings.lossless = static_cast<bool>(options.lossless_sink);

  const bool known = RunStore::exists(directory);
  if (!known) refuse_outputs_of_others(directory, {}, {".mp4", ".mkv"}, /*makes=*/true);
  Journal journal(known ? RunStore::open(directory) : RunStore::create(directory));
  if (known) {
    require_same_run(directory, project(journal.events()).settings, settings);
  } else {
    journal.record({run_event(settings)});
  }
  impl_ = std::make_unique<Impl>(std::move(journal), std::move(engine), std::move(strategy), judges,
                                 std::move(options));
}

Session::~Session() = default;

const CostTotals& Session::ledger() const { return impl_->journal.ledger(); }

/// A strategy's mistake would surface as a lost candidate or a wait without end.
void Session::Impl::check(const Ask& ask) const {
  std::set<CandidateId> fresh;
  for (const NewTrajectory& start : ask.starts) {
    if (start.id < 0 || trajectories.contains(start.id) || !fresh.insert(start.id).second) {
      fail_ask(*strategy, fmt::format("{} is not a new candidate", candidate_name(start.id)));
    }
  }
  int after = 0;
  for (const int barrier : ask.barriers) {
    if (barrier <= after || ask.lag < 0 || barrier + ask.lag >= engine.steps) {
      fail_ask(*strategy, fmt::format("barriers {} with lag {} do not fit into {} steps",
                                      fmt::join(ask.barriers, ","), ask.lag, engine.steps));
    }
    after = barrier + ask.lag;
  }
  if (!ask.barriers.empty() && !engine.previews) fail_ask(*strategy, "nobody shows previews");
  // On an engine that runs them one after the other they would never meet.
  if (!ask.barriers.empty() && ask.starts.size() > 1 &&
      strategy->needs().scheduling == Scheduling::kSequential) {
    fail_ask(*strategy, "candidates that meet at a barrier need an engine in lockstep");
  }
  if (!ask.reviews.empty() && (!ask.barriers.empty() || !strategy->needs().reviews)) {
    fail_ask(*strategy, "reviews must be among its needs, and in a wave without barriers");
  }
  for (const Review& review : ask.reviews) {
    const auto found = trajectories.find(review.id);
    if (found == trajectories.end() || found->second.state != State::kFinished ||
        found->second.resampled || review.judge >= judge_count) {
      fail_ask(*strategy, fmt::format("{} cannot be reviewed by judge {}",
                                      candidate_name(review.id), review.judge + 1));
    }
  }
}

/// Whether the files of a candidate are there and as they were recorded: if not it is made again.
static bool is_kept(const Json& candidate) {
  const auto text = [&](const char* name) { return strictly_at<std::string>(candidate, name); };
  if (!candidate.at("path").is_string()) return true;  // bytes that JSON has no word for
  return is_intact(text("path"), text("sha256")) &&
         (!candidate.contains("lossless") || !candidate["lossless"].is_string() ||
          is_intact(text("lossless"), text("lossless_sha256")));
}

/// What a process before this one has recorded of its end.
void Session::Impl::restore(CandidateId id, Trajectory& t) {
  const std::string name = candidate_name(id);
  if (const EventKey* last = journal.last("steps_done", t.wave, id)) {
    t.step = static_cast<int>(last->step);
  }
  if (const EventKey* last = journal.last("failed", t.wave, id)) {
    const Json& body = *journal.find(*last);
    t.state = State::kFailed;
    t.failure =
        Failure{strictly_at<std::string>(body, "code"), strictly_at<std::string>(body, "sentence")};
  } else if (const EventKey* stopped = journal.last("stopped", t.wave, id)) {
    t.state = State::kStopped;
    t.failure = Failure{"budget", strictly_at<std::string>(*journal.find(*stopped), "sentence")};
    exhausted = true;
  } else if (const Json* file = journal.find(key("candidate", id, engine.steps));
             file != nullptr && is_kept(*file)) {
    const std::size_t judges = strategy->needs().reviews ? 1 : judge_count;
    for (std::size_t j = 0; j < judges; ++j) {
      t.judgements.push_back(key("judged", id, engine.steps, j));
    }
    const bool judged = std::all_of(t.judgements.begin(), t.judgements.end(),
                                    [&](const EventKey& p) { return journal.find(p) != nullptr; });
    // A judge sees what the engine made and not what a file kept of it: it is made again.
    if (judged) {
      t.state = State::kFinished;
    } else {
      t.judgements.clear();
    }
  }
}

/// Tells the recorded barriers of this wave again. Returns those whose beginning is needed: the
/// live ones and whom they descend from.
std::set<CandidateId> Session::Impl::replay_tells() {
  for (const int step : wave->barriers) {
    const int effective = step + wave->lag;
    const Json* told = journal.find({"barrier_decided", wave->index, "", effective});
    if (told == nullptr) break;
    Barrier barrier{wave->index, step, {}};
    for (const Json& each : told->at("candidates")) {
      const EventKey seen{"preview_judged", wave->index, strictly<std::string>(each, "candidate"),
                          step, options.preview_judge};
      for (const auto& [id, t] : trajectories) {
        if (candidate_name(id) != seen.candidate) continue;
        if (const auto result = recorded_result(journal, seen)) {
          barrier.candidates.push_back({id, *result});
        }
      }
    }
    wave->recorded[effective] = apply(barrier, effective, strategy->tell(barrier));
  }
  std::set<CandidateId> needed;
  for (const CandidateId id : live()) needed.insert(id);
  for (auto each = wave->recorded.rbegin(); each != wave->recorded.rend(); ++each) {
    std::erase_if(each->second,
                  [&](const Assignment& assignment) { return !needed.contains(assignment.id); });
    needed.clear();
    for (const Assignment& assignment : each->second) needed.insert(assignment.parent);
  }
  return needed;
}

std::vector<Start> Session::Impl::open_wave(const Ask& ask) {
  check(ask);
  wave = Wave{waves++, ask.barriers, ask.lag, {}, {}, {}};
  journal.record({wave_started_event(wave->index, ask)});
  for (const NewTrajectory& start : ask.starts) {
    Trajectory& t = trajectories[start.id];
    t.wave = t.tell_wave = wave->index;
    t.start = {start.id, options.condition, start.noise};
    restore(start.id, t);
  }
  std::set<CandidateId> needed = replay_tells();
  for (const Review& review : ask.reviews) {
    Trajectory& t = trajectories.at(review.id);
    const EventKey due{"judged", wave->index, candidate_name(review.id), engine.steps,
                       review.judge};
    t.judgements.push_back(due);
    t.tell_wave = wave->index;
    t.told = false;
    if (journal.find(due) != nullptr) continue;
    if (t.video) {
      judging.submit(journal, due, t.video, options.condition);
    } else {
      wave->remakes[review.id] = due;
      needed.insert(review.id);
    }
  }
  std::vector<Start> starts;
  for (const CandidateId id : needed) starts.push_back(trajectories.at(id).start);
  wave->carried = std::move(needed);
  return starts;
}

void Session::Impl::require_wave_is_over() const {
  if (!wave || interrupted) return;
  std::vector<std::string> lost;
  for (const CandidateId id : live()) lost.push_back(candidate_name(id));
  for (const auto& [id, key] : wave->remakes) lost.push_back(candidate_name(id));
  if (lost.empty()) return;
  fail("engine_broken", "session",
       "{} must bring every candidate to its end or report its failure, but left {} behind: report "
       "it to the engine's author",
       engine.name, fmt::join(lost, ", "));
}

/// All ends that are due, in order. False where there were none, or the user interrupted.
bool Session::Impl::tell_finished() {
  std::vector<std::pair<std::int64_t, CandidateId>> due;
  for (const auto& [id, t] : trajectories) {
    const bool ended =
        t.state == State::kFinished || t.state == State::kFailed || t.state == State::kStopped;
    if (ended && !t.told) due.emplace_back(t.tell_wave, id);
  }
  std::sort(due.begin(), due.end());
  std::vector<Finished> tells;
  for (const auto& [tell_wave, id] : due) {
    Trajectory& t = trajectories.at(id);
    Finished finished{id, {}, t.failure};
    finished.results.resize(judge_count);
    for (const EventKey& key : t.judgements) {
      finished.results.at(key.judge) = judging.wait(journal, key);
      if (!finished.results.at(key.judge)) {
        interrupted = true;
        return false;
      }
    }
    tells.push_back(std::move(finished));
  }
  for (const Finished& finished : tells) {
    strategy->tell(finished);
    trajectories.at(finished.id).told = true;
  }
  return !tells.empty();
}

std::vector<Start> Session::next_wave() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_wave_is_over();
  for (;;) {
    impl_->interrupted = impl_->interrupted || impl_->options.stop.stop_requested();
    if (impl_->interrupted) return {};
    impl_->judging.collect(impl_->journal);
    const Ask ask = impl_->strategy->ask();
    if (ask.empty() || (impl_->exhausted && !ask.starts.empty())) {
      if (!impl_->tell_finished() || !ask.empty()) return {};
      continue;
    }
    std::vector<Start> starts = impl_->open_wave(ask);
    if (!starts.empty()) return starts;
  }
}

Outcome Session::finish() {
  const std::scoped_lock lock(impl_->mutex);
  Journal& journal = impl_->journal;
  const bool complete = !impl_->interrupted;
  const auto note = [&](const char* kind, const char* unit, double amount) {
    if (amount > 0) journal.note({.kind = kind, .body = Json{{unit, amount}}.dump()});
  };
  note("waited", "seconds", impl_->judging.waited_seconds());
  note("redone", "forwards", std::exchange(impl_->redone_forwards, 0));
  if (!complete) return {project(journal.events()), false};
  journal.record({winner_selected_event(impl_->strategy->ranking())});
  const RunView view = project(journal.events());
  write_best(journal.directory(), view, [&](Event event) { journal.note(std::move(event)); });
  journal.record({finished_event(view.winner)});
  return {project(journal.events()), true};
}

Outcome Session::run(Engine& engine) {
  if (engine.capabilities().id != impl_->engine.id) {
    fail_usage("session", "engine must be {}, as the session was made for, but got {}",
               impl_->engine.id, engine.capabilities().id);
  }
  for (;;) {
    const std::vector<Start> wave = next_wave();
    if (wave.empty()) return finish();
    engine.run(wave, *this);
  }
}

}  // namespace bestreel
