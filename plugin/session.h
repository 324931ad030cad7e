// Runs a strategy against an engine and judges, and keeps everything in the run's directory.
//
// Ours: Session session(...); session.run(engine). A host that owns its loop:
//
//   Session session(directory, capabilities, strategy, judges, options);
//   for (auto wave = session.next_wave(); !wave.empty(); wave = session.next_wave()) {
//     ... the protocol of SamplerCallback, over `wave` ...
//   }
//   Outcome outcome = session.finish();
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/condition.h"
#include "plugin/cost.h"
#include "plugin/engine.h"
#include "plugin/judge.h"
#include "plugin/runs/report.h"
#include "plugin/runs/run_view.h"
#include "plugin/strategy.h"
#include "plugin/trace.h"

namespace bestreel {

/// Writes `video` into the run's directory under `name` ("c003", "previews/c003-step008") and
/// returns the path of the file, which has appeared whole. May be called from several threads, with
/// different names. Equal videos must give equal bytes. See mp4_sink().
using VideoSink = std::function<std::string(const std::string& name, const VideoPtr& video)>;

struct SessionOptions {
  /// What has to be equal for a resume; the session itself fills in prompts, judge ids, engine,
  /// strategy and limits and, where they are empty, command (the engine's name) and judges
  /// (theirs).
  RunSettings settings;
  Condition condition;
  VideoSink keep;                 ///< required, but for finished files
  VideoSink lossless_sink;        ///< keeps each finished video a second time; may be empty
  std::size_t preview_judge = 0;  ///< which judge looks at previews
  std::size_t queue_capacity =
      2;                ///< videos waiting per judge before the engine waits; 0 = no limit
  bool overlap = true;  ///< false: the engine waits for each judgement
  /// 0 = no limit, else at least one whole trajectory. Decided where waves open and at barriers, in
  /// the order of ids, by upper prices; as long as nobody is finished, what the leader needs to
  /// come to its end is kept back for it.
  double max_forwards = 0;
  /// Of this process; 0 = no limit. No step begins later, but the leader is finished if nobody is.
  double max_seconds = 0;
  /// After each judgement of a finished video that was made now: candidate_name(), or its label.
  /// Called under the session's lock: it must not call the session.
  std::function<void(const std::string& candidate)> judged;
  std::stop_token stop;    ///< Ctrl-C: the run stops at the next call and can be resumed
  Trace* trace = nullptr;  ///< outlives the session
};

struct Outcome {
  RunView view;
  bool complete =
      false;  ///< false: interrupted, the ranking is of what was judged; the same command goes on
};

/// Tells are delivered in (wave, step, candidate) order, whatever the order results arrive in; a
/// barrier waits for all its candidates. What is known is recorded before anything is built on it:
/// killed at any instant and made again with equal arguments on the same directory, a run ends with
/// the same winner, files and events, except under max_seconds. Judgements made before the kill are
/// not repeated; trajectories that were not finished are made again from their State.
///
/// A finished video goes to its judges first and to a thread that writes it at the same time;
/// nobody waits for either under the session's lock. Where the machine gives out
/// (is_machine_failure) a video is judged, written or made once more; if that fails too the error
/// is thrown, and the run can be resumed. What one thread meets, every later call throws.
///
/// Thread rules: SamplerCallback's methods as SamplerCallback says; all others from one thread,
/// while no engine runs. Errors: "run_mismatch" (the directory holds a run with other settings, or
/// something made again differs), "engine_broken" (an engine that does not keep to the protocol),
/// UsageError (the engine or the judges lack what the strategy needs; a strategy's ask or answer
/// that cannot be meant), those of RunStore, of `keep` and of the judges.
class BESTREEL_API Session final : public SamplerCallback {
 public:
  /// Begins a run, or goes on with the one in `directory`. Nothing is written where the strategy
  /// and the engine do not match.
  Session(const std::string& directory, EngineCapabilities engine, StrategyPtr strategy,
          std::vector<JudgePtr> judges, SessionOptions options);
  ~Session() override;

  /// The trajectories to be made next, ascending by id; empty: no more. Those that a resumed run
  /// does not need again are not among them. The wave before must have come to its end.
  std::vector<Start> next_wave();

  /// Selects the winner, writes best.<ext> (its file, byte for byte), records both.
  Outcome finish();

  /// next_wave() and `engine` until there is no more, then finish(). UsageError where the engine is
  /// not the one of the constructor.
  Outcome run(Engine& engine);

  /// The same with several engines of one kind, a thread each: they share every wave, and a copy
  /// is made where its parent is. The events are those of one engine.
  Outcome run(std::span<Engine* const> engines);

  /// Finished files for an engine of such (EngineCapabilities::steps = 0). Each is recorded and
  /// told to the strategy by a later next_wave(), where that has nothing else to do; one that is
  /// recorded already, unchanged, is passed over. After an empty next_wave() more may arrive: then
  /// next_wave() goes on.
  void arrived(std::vector<Arrived> files);

  const CostTotals& ledger() const;

  int next_stop(int step) const override;
  void restored(CandidateId id, const Cost& spent) override;
  bool request_steps(CandidateId id, int from, int to) override;
  bool stepped(CandidateId id, int step) override;
  void on_steps_done(CandidateId id, int step, const Cost& spent) override;
  bool keep_state(CandidateId id, int step) const override;
  std::optional<PreviewRequest> wants_preview(CandidateId id, int step) const override;
  void preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) override;
  std::vector<Assignment> resample_at(int step) override;
  std::vector<Assignment> arrive(std::span<const CandidateId> ids, int step) override;
  void finished(CandidateId id, FinishedVideo video, const Cost& spent) override;
  void failed(CandidateId id, int step, Failure failure, const Cost& spent) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
