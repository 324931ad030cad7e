// The run: begun or gone on with, told what has ended, ended itself.
#include "plugin/session.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "core/base/fail.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/same_run.h"
#include "plugin/session/impl.h"

namespace bestreel {

using session::EventKey;
using session::Journal;
using session::key_of;
using Status = Trajectory::Status;

namespace {

void check_options(const SessionOptions& options, const EngineCapabilities& engine,
                   std::size_t judges) {
  if (!options.keep && engine.steps > 0)
    fail_usage("session", "keep must be given: use mp4_sink()");
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

/// One of several engines of a wave: its candidates meet those of the others at barriers.
class Share final : public SamplerCallback {
 public:
  Share(SamplerCallback& session, std::span<const Start> starts) : session_(session) {
    for (const Start& start : starts) mine_.push_back(start.id);
  }

  int next_stop(int step) const override { return session_.next_stop(step); }
  void restored(CandidateId id, const Cost& spent) override { session_.restored(id, spent); }
  bool request_steps(CandidateId id, int from, int to) override {
    return session_.request_steps(id, from, to);
  }
  bool stepped(CandidateId id, int step) override { return session_.stepped(id, step); }
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    session_.on_steps_done(id, step, spent);
  }
  bool keep_state(CandidateId id, int step) const override { return session_.keep_state(id, step); }
  std::optional<PreviewRequest> wants_preview(CandidateId id, int step) const override {
    return session_.wants_preview(id, step);
  }
  void preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) override {
    session_.preview(id, step, std::move(shown), spent);
  }
  std::vector<Assignment> resample_at(int step) override { return arrive(mine_, step); }
  std::vector<Assignment> arrive(std::span<const CandidateId> ids, int step) override {
    std::vector<Assignment> on = session_.arrive(ids, step);
    mine_.clear();
    for (const Assignment& each : on) mine_.push_back(each.id);
    return on;
  }
  void finished(CandidateId id, FinishedVideo video, const Cost& spent) override {
    session_.finished(id, std::move(video), spent);
  }
  void failed(CandidateId id, int step, Failure failure, const Cost& spent) override {
    session_.failed(id, step, std::move(failure), spent);
  }

 private:
  SamplerCallback& session_;
  std::vector<CandidateId> mine_;
};

}  // namespace

Session::Impl::Impl(Journal journal_, EngineCapabilities engine_, StrategyPtr strategy_,
                    const std::vector<JudgePtr>& judges_, SessionOptions options_)
    : engine(std::move(engine_)),
      strategy(std::move(strategy_)),
      options(std::move(options_)),
      judges(judges_),
      journal(std::move(journal_)),
      judging(judges, {.capacity = options.queue_capacity,
                       .trace = options.trace,
                       .judged =
                           [this](const EventKey& key) {
                             if (!options.judged) return;
                             const std::string& label =
                                 trajectories.at(ids.at(key.candidate)).label;
                             options.judged(label.empty() ? key.candidate : label);
                           }}),
      writer(kWriterCapacity) {
  on_stop.emplace(options.stop, std::function<void()>([this] { judging.stop(); }));
}

Session::Impl::~Impl() = default;

Session::Session(const std::string& directory, EngineCapabilities engine, StrategyPtr strategy,
                 std::vector<JudgePtr> judges, SessionOptions options) {
  if (!strategy) fail_usage("session", "strategy must not be null");
  require_match(*strategy, engine, judges);
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
  Journal journal(known ? RunStore::open(directory) : RunStore::create(directory));
  if (known) {
    require_same_run(directory, project(journal.events()).settings, settings);
  } else {
    journal.record({RunEvent{.body = settings}});
  }
  impl_ = std::make_unique<Impl>(std::move(journal), std::move(engine), std::move(strategy), judges,
                                 std::move(options));
}

Session::~Session() = default;

const CostTotals& Session::ledger() const { return impl_->journal.ledger(); }

/// Every call begins so: what ended the run meanwhile is thrown, what judges said is recorded.
void Session::Impl::enter(Lock& lock) {
  if (broken) std::rethrow_exception(broken);
  try {
    judging.collect(lock, journal);
  } catch (...) {
    break_off(std::current_exception());
    throw;
  }
  if (broken) std::rethrow_exception(broken);
}

void Session::Impl::break_off(std::exception_ptr error) {
  if (!broken) broken = std::move(error);
  changed.notify_all();
}

/// All of this candidate's videos, or of all candidates, are written and recorded.
void Session::Impl::wait_for_writer(Lock& lock, std::optional<CandidateId> id) {
  changed.wait(lock, [&] {
    return broken || std::none_of(writing.begin(), writing.end(),
                                  [&](const auto& each) { return !id || each.first == *id; });
  });
  if (broken) std::rethrow_exception(broken);
}

// ---- Tells
// ---------------------------------------------------------------------------------------

/// All ends and judgements that are due, in order. False where there were none, or the user
/// interrupted.
bool Session::Impl::tell_ended(Lock& lock) {
  std::map<std::pair<std::int64_t, CandidateId>, Finished> ends;
  for (const auto& [id, t] : trajectories) {
    const bool ended = t.status == Status::kFinished || t.status == Status::kFailed ||
                       t.status == Status::kStopped;
    if (ended && !t.told) ends[{t.wave, id}] = Finished{id, {}, t.failure};
  }
  for (auto& [place, finished] : ends) {
    finished.results.resize(judges.size());
    wait_for_writer(lock, finished.id);
    for (const EventKey& key : trajectories.at(finished.id).judgements) {
      finished.results.at(key.judge) = judging.wait(lock, journal, key);
      if (!finished.results.at(key.judge)) {
        interrupted = true;
        return false;
      }
    }
  }
  for (Judged& judged : asked) {
    judged.results.clear();
    for (const CandidateId id : judged.ids) {
      auto result =
          judging.wait(lock, journal,
                       key_of<events::Judged>(judged.wave, candidate_name(id), engine.steps,
                                              judged.judge, judged.index + 1));
      if (!result) {
        interrupted = true;
        return false;
      }
      judged.results.push_back(*std::move(result));
    }
  }
  auto next = asked.begin();
  for (const auto& [place, finished] : ends) {
    for (; next != asked.end() && next->wave < place.first; ++next) strategy->tell(*next);
    strategy->tell(finished);
    trajectories.at(finished.id).told = true;
  }
  for (; next != asked.end(); ++next) strategy->tell(*next);
  const bool told = !ends.empty() || !asked.empty();
  asked.clear();
  return told;
}

/// Files are told where the strategy has nothing else to do, before a certain ask: there a resumed
/// run tells them again.
bool Session::Impl::tell_arrivals() {
  std::map<std::string, Arrived> newest;
  std::vector<Arrived> due;
  std::int64_t count = 0;
  for (const events::Arrived* each : journal.all<events::Arrived>()) {
    ++count;
    newest[each->label] = {each->label, each->path, each->sha256};
    if (each->ask == asks) due.push_back(newest[each->label]);
  }
  if (due.empty()) {
    std::vector<RunEvent> events;
    for (const Arrived& file : std::exchange(arrivals, {})) {
      const auto then = newest.find(file.label);
      if (then != newest.end() && then->second == file) continue;
      newest[file.label] = file;
      due.push_back(file);
      events.push_back(
          {.step = count++, .body = events::Arrived{asks, file.label, file.path, file.sha256}});
    }
    journal.record(events);
  }
  for (const Arrived& file : due) {
    files[file.label] = {file.path, file.sha256};
    strategy->tell(file);
  }
  return !due.empty();
}

void Session::arrived(std::vector<Arrived> files) {
  const Impl::Lock lock(impl_->mutex);
  for (Arrived& file : files) impl_->arrivals.push_back(std::move(file));
}

// ---- Waves and the end
// ---------------------------------------------------------------------------

std::vector<Start> Session::next_wave() {
  Impl::Lock lock(impl_->mutex);
  Impl& s = *impl_;
  for (;;) {
    s.enter(lock);
    if (s.stopping()) {
      s.interrupted = true;
      return {};
    }
    if (s.wave) {
      std::vector<Start> starts = s.next_group();
      if (starts.empty() && !s.wave->retry.empty()) starts = s.reopen();
      if (!starts.empty()) return starts;
      s.require_wave_is_over();
    }
    if (s.asks == 0 || s.idle) {
      if (!s.tell_arrivals() && s.idle) return {};
      s.idle = false;
    }
    const Ask ask = s.strategy->ask();
    ++s.asks;
    const bool over = s.exhausted && !ask.starts.empty();
    if (!ask.empty() && !over) {
      std::vector<Start> starts = s.open_wave(lock, ask);
      if (!starts.empty()) return starts;
      continue;
    }
    const bool told = s.tell_ended(lock);
    if (over || s.interrupted) return {};
    s.idle = !told;
  }
}

Outcome Session::Impl::finish(Lock& lock) {
  enter(lock);
  wait_for_writer(lock);
  const bool complete = !stopping() && !interrupted;
  if (judging.waited_seconds() > noted_seconds) {
    journal.note({.body = events::Waited{judging.waited_seconds() - noted_seconds}});
    noted_seconds = judging.waited_seconds();
  }
  if (redone_forwards > 0) {
    journal.note({.body = events::Redone{std::exchange(redone_forwards, 0)}});
  }
  if (!complete) {
    RunView view = project(journal.events());
    write_best(journal.directory(), view);
    return {std::move(view), false};
  }
  events::WinnerSelected selected;
  for (const Ranked& each : strategy->ranking()) {
    const auto t = trajectories.find(each.id);
    if (t == trajectories.end() || t->second.status != Status::kFinished || t->second.draft) {
      fail_usage("session",
                 "{} must rank finished candidates and no drafts, but ranks {}: report it to its "
                 "author",
                 strategy->id(), candidate_name(each.id));
    }
    selected.order.push_back({candidate_name(each.id), each.reward, each.judge});
  }
  journal.record({{.wave = waves, .body = selected}});
  const RunView view = project(journal.events());
  write_best(journal.directory(), view);
  journal.record({{.wave = waves, .candidate = view.winner, .body = events::Finished{}}});
  return {project(journal.events()), true};
}

Outcome Session::finish() {
  Impl::Lock lock(impl_->mutex);
  return impl_->finish(lock);
}

Outcome Session::run(Engine& engine) {
  Engine* const one = &engine;
  return run({&one, 1});
}

Outcome Session::run(std::span<Engine* const> engines) {
  for (const Engine* engine : engines) {
    if (engine->capabilities().id == impl_->engine.id) continue;
    fail_usage("session", "engine must be {}, as the session was made for, but got {}",
               impl_->engine.id, engine->capabilities().id);
  }
  for (;;) {
    const std::vector<Start> wave = next_wave();
    if (wave.empty()) return finish();
    if (engines.size() == 1) {
      engines.front()->run(wave, *this);
      continue;
    }
    std::vector<std::vector<Start>> shares(engines.size());
    for (std::size_t i = 0; i < wave.size(); ++i) shares[i % shares.size()].push_back(wave[i]);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < shares.size() && !shares[i].empty(); ++i) {
      threads.emplace_back([this, engine = engines[i], &share = shares[i]] {
        Share callback(*this, share);
        try {
          engine->run(share, callback);
        } catch (...) {
          const Impl::Lock lock(impl_->mutex);
          impl_->break_off(std::current_exception());
        }
      });
    }
    threads.clear();  // joins
  }
}

}  // namespace bestreel
