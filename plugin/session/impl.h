// Private to the session: its state. session.cpp opens waves and ends the run, callback.cpp is what
// the engine calls.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "plugin/session.h"
#include "plugin/session/journal.h"
#include "plugin/session/judging.h"

namespace bestreel {

/// What has become of one candidate.
struct Trajectory {
  enum class Status {
    kLive,
    kDropped,  ///< by the strategy, at a barrier
    kStopped,  ///< by the budget
    kFailed,
    kFinished,
  };

  std::int64_t wave = 0;
  Start start;
  Status status = Status::kLive;
  int step = 0;            ///< how far it has come, as recorded; made again it may be behind
  double granted = 0;      ///< forwards allowed and not yet reported
  bool resampled = false;  ///< it has gone on from another's state
  std::optional<double> preview_reward;  ///< of the last barrier
  std::optional<Failure> failure;
  std::vector<session::EventKey> judgements;  ///< of the finished video, where they are recorded
  VideoPtr video;                             ///< kept for reviews
  std::int64_t tell_wave = 0;                 ///< when its end, or its last review, is due
  bool told = false;
};

struct Wave {
  std::int64_t index = 0;
  std::vector<int> barriers;
  int lag = 0;
  /// Recorded decisions by the step where they take effect, as far as this process needs them.
  std::map<int, std::vector<Assignment>> recorded;
  std::map<CandidateId, session::EventKey> remakes;  ///< finished before, made again for a review
  std::set<CandidateId> carried;                     ///< those that the engine has in hand
  PreviewRequest preview;
  std::vector<std::size_t> judges;  ///< of its finished candidates
  std::vector<JudgementAsk> asked;  ///< and not told yet
};

struct Session::Impl {
  Impl(session::Journal journal, EngineCapabilities engine, StrategyPtr strategy,
       const std::vector<JudgePtr>& judges, SessionOptions options);

  // session.cpp
  void check(const Ask& ask) const;
  std::vector<Start> open_wave(const Ask& ask);
  void restore(CandidateId id, Trajectory& trajectory);
  std::set<CandidateId> replay_tells();
  void require_wave_is_over() const;
  bool tell_finished();

  // callback.cpp
  Trajectory& trajectory(CandidateId id);
  std::vector<CandidateId> live() const;
  session::EventKey key(const char* kind, CandidateId id, int step, std::size_t judge = 0) const;
  std::vector<Assignment> apply(const Barrier& barrier, int effective, const Answer& answer);
  std::optional<Barrier> barrier_of(int step, const std::vector<CandidateId>& ids);
  std::string over_budget(CandidateId id, int to, double price) const;
  double reserve_for_others(CandidateId id, int to) const;
  CandidateId leader() const;
  bool anyone_finished() const;
  void trace_span(CandidateId id, const char* what, double seconds) const;

  session::Journal journal;
  const EngineCapabilities engine;
  const StrategyPtr strategy;
  const SessionOptions options;
  const std::size_t judge_count;
  session::Judging judging;
  mutable std::mutex mutex;  ///< guards all that follows, and journal, strategy and judging
  std::map<CandidateId, Trajectory> trajectories;
  std::optional<Wave> wave;
  std::int64_t waves = 0;
  bool exhausted = false;    ///< the budget has stopped somebody: nobody new begins
  bool interrupted = false;  ///< by SessionOptions::stop
  double redone_forwards = 0;
  const Trace::Clock::time_point begin = Trace::Clock::now();
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
};

}  // namespace bestreel
