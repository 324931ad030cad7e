// Private to the session: its state. session.cpp ends the run, waves.cpp opens waves, barriers.cpp
// decides at them and spends the budget, callback.cpp is what the engine calls.
//
// Note [Locks]. One mutex guards all of this. Who waits for a judge, for the writer or for the
// other engine threads gives it up (Note [Nobody waits under the lock]). What ends the run is kept
// in `broken`, and every later call throws it.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <utility>
#include <vector>

#include "plugin/session.h"
#include "plugin/session/journal.h"
#include "plugin/session/judging.h"
#include "plugin/session/writer.h"

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
  State state = Noise::seed(0);  ///< its trajectory: where it began, and the copies since
  State start = Noise::seed(0);  ///< where the engine begins in this wave
  bool draft = false;
  std::string label;
  std::string identity;  ///< see Impl::identity()
  Status status = Status::kLive;
  int step = 0;                          ///< how far it has come, as recorded
  std::string stopping;                  ///< the limit that stops it in the middle of its steps
  std::optional<double> preview_reward;  ///< of the last barrier
  std::optional<Failure> failure;
  std::vector<session::EventKey> judgements;  ///< of the finished video
  VideoPtr video;                             ///< kept for judgements that are asked for
  std::optional<FileReference> file;          ///< of a finished file
  int machine_failures = 0;                   ///< in this process
  bool told = false;
};

struct Wave {
  std::int64_t index = 0;
  Ask ask;
  int begin = 0;  ///< the step of its starts
  std::size_t preview_judge = 0;
  std::vector<std::size_t> judges;  ///< of its finished candidates
  /// Decisions by the step where they take effect; where a wave is made again, of those only that
  /// are needed.
  std::map<int, std::vector<Assignment>> decided;
  std::map<int, std::set<CandidateId>> arrived;
  std::map<int, std::vector<Assignment>> passed;  ///< of `decided`, whom the engines go on with
  bool deciding = false;
  std::set<CandidateId> carried;           ///< those that the engines have in hand
  std::set<CandidateId> remakes;           ///< finished before, made again for a judge
  std::vector<std::vector<Start>> groups;  ///< of remakes, that the engine has not got yet
  std::map<CandidateId, Failure> retry;    ///< the machine gave out while they were made
  std::set<std::size_t> submitted;         ///< of ask.judgements
};

struct Session::Impl {
  /// Finished videos that wait for the writer before the engine waits.
  static constexpr std::size_t kWriterCapacity = 2;
  using Lock = session::Lock;

  Impl(session::Journal journal, EngineCapabilities engine, StrategyPtr strategy,
       const std::vector<JudgePtr>& judges, SessionOptions options);
  ~Impl();

  // session.cpp
  void enter(Lock& lock);
  bool stopping() const { return interrupted || options.stop.stop_requested(); }
  void break_off(std::exception_ptr error);
  bool tell_ended(Lock& lock);
  bool tell_arrivals();
  Outcome finish(Lock& lock);
  void wait_for_writer(Lock& lock, std::optional<CandidateId> id = {});

  // waves.cpp
  void check(const Ask& ask) const;
  void check_start(const NewTrajectory& start) const;
  void check_judgements(const Ask& ask) const;
  bool reached(const State& state) const;
  std::string identity(const State& state, bool draft) const;
  bool has_twin(const State& state, bool draft) const;
  std::vector<Start> open_wave(Lock& lock, const Ask& ask);
  std::vector<Start> reopen();
  std::vector<Start> next_group();
  void restore(CandidateId id, Trajectory& trajectory);
  void replay_tells();
  void submit_judgements(Lock& lock);
  void require_wave_is_over() const;
  Start start_of(CandidateId id) const;

  // barriers.cpp
  bool is_effective(int step) const;
  int next_effective(int step) const;
  double price(int from, int to) const;
  double left(const Trajectory& trajectory) const;
  std::string over_budget(CandidateId id, int from, int to,
                          const std::map<CandidateId, double>& promised) const;
  bool out_of_time(CandidateId id) const;
  CandidateId leader() const;
  bool anyone_finished() const;
  std::vector<events::Stop> spend(int step, const std::vector<CandidateId>& ids);
  void stop(const events::Stop& stop, int step);
  std::optional<Barrier> barrier_of(Lock& lock, int step, const std::vector<CandidateId>& ids);
  void apply(const Barrier& barrier, int effective, const Answer& answer);
  void check_answer(const Barrier& barrier, int effective,
                    const std::vector<Assignment>& assignments) const;
  void pass(int step);
  bool decide(Lock& lock, int step);
  std::vector<Assignment> arrive(Lock& lock, const std::vector<CandidateId>& ids, int step);

  // callback.cpp
  Trajectory& trajectory(CandidateId id);
  std::vector<CandidateId> live() const;
  bool wanted(CandidateId id, int step) const;
  void write(Lock& lock, CandidateId id, int step, std::function<std::vector<RunEvent>()> work);
  void again(Lock& lock, CandidateId id, Failure failure, const Cost& spent);
  void trace_span(CandidateId id, const char* what, double seconds) const;
  RunEvent event(CandidateId id, std::int64_t step, events::Body body) const {
    return {trajectories.at(id).wave, step, candidate_name(id), std::move(body), 0};
  }
  template <typename T>
  session::EventKey key(CandidateId id, int step, std::size_t judge = 0) const {
    return session::key_of<T>(trajectories.at(id).wave, candidate_name(id), step, judge);
  }

  const EngineCapabilities engine;
  const StrategyPtr strategy;
  const SessionOptions options;
  const std::vector<JudgePtr> judges;
  mutable std::mutex mutex;  ///< guards all that follows
  std::condition_variable_any changed;
  session::Journal journal;
  session::Judging judging;
  std::map<CandidateId, Trajectory> trajectories;
  std::map<std::string, int> left_behind;  ///< states that their ids have left for another's
  std::map<std::string, CandidateId> ids;  ///< by candidate_name()
  std::optional<Wave> wave;
  std::int64_t waves = 0;
  std::int64_t asks = 0;
  bool idle = false;              ///< the last ask was empty, and nothing was told since
  bool exhausted = false;         ///< the budget has stopped somebody: nobody new begins
  bool interrupted = false;       ///< by SessionOptions::stop
  std::vector<Arrived> arrivals;  ///< not told yet
  std::map<std::string, FileReference> files;  ///< that were told, by label: the newest
  std::vector<Judged> asked;                   ///< not told yet
  std::set<std::pair<CandidateId, int>> writing;
  std::exception_ptr broken;
  double redone_forwards = 0;
  double noted_seconds = 0;  ///< of waiting
  const Trace::Clock::time_point begin = Trace::Clock::now();
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  session::Writer writer;  ///< last: its jobs use all the others
};

}  // namespace bestreel
