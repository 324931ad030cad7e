// What makes the candidates: the interface of an engine, and of the one who watches it.
//
// Our own sampler implements Engine and is run. A host that owns its loop implements nothing: it
// asks the Session (an SamplerCallback) for the next wave and calls the same methods from its loop.
//
// Steps count what has been done: step k means after k denoising steps, 0 is the initial noise,
// EngineCapabilities::steps is the end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/condition.h"
#include "plugin/noise.h"
#include "plugin/result.h"

namespace bestreel {

using CandidateId = std::int64_t;

/// "c003": as events, files and tables name it; ids order as their names do up to c999.
BESTREEL_API std::string candidate_name(CandidateId id);

/// Each can do what those before it can.
enum class Scheduling {
  kSequential,  ///< one trajectory from beginning to end, then the next
  kLockstep,    ///< all trajectories of a wave advance together
  kPausable,    ///< any trajectory can be put aside and taken up again
};

struct EngineCapabilities {
  std::string id;    ///< engine, checkpoint and all that changes a pixel; equal ids, equal videos
  std::string name;  ///< for sentences, such as "diffusers"
  Scheduling scheduling = Scheduling::kSequential;
  bool previews = false;   ///< can show the x0 estimate in the middle of a trajectory
  bool resamples = false;  ///< can copy one trajectory's state to another (Assignment::parent)
  int steps = 0;           ///< denoising steps of a whole trajectory, at least 1
  double forwards_per_step = 1;  ///< denoiser forwards; each guidance branch counts one
};

struct Start {
  CandidateId id = 0;
  Condition condition;
  Noise noise = Noise::seed(0);
};

/// After a barrier: trajectory `id` goes on from `parent`'s state. parent == id: simply on;
/// another: resampled, later noise keyed by `key`. Who has no assignment stops.
struct Assignment {
  CandidateId id = 0;
  CandidateId parent = 0;
  std::uint64_t key = 0;
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

/// What a piece of work cost. `forwards` counts what really ran: a skipped half counts as half.
struct Cost {
  double forwards = 0;
  double seconds = 0;
  std::int64_t peak_bytes = 0;  ///< of the engine's device; 0 = not known
};

/// A video, or why there is none: what could not be decoded is that candidate's Failure.
using DecodedFrames = std::variant<VideoPtr, Failure>;

/// Every method may be called from any thread, but each candidate's calls are in the order of its
/// steps, and resample_at() when all candidates of the wave have arrived. The protocol:
///
///   for step = 0; step < steps; step = next:
///     next = next_stop(step)
///     each candidate that goes on:
///       request_steps(id, step, next) or leave it; denoise; on_steps_done(id, next, spent)
///       if next < steps and wants_preview(id, next): preview(id, next, decode(x0_hat), spent)
///     if next < steps: only the assignments of resample_at(next) go on
///   each that arrived: finished(id, decode(x), spent)
///
/// A sequential host does it for one candidate at a time. A pausable one finishes each candidate
/// when it arrives, so that it is judged while the next is denoised. What goes wrong with one
/// candidate is reported by failed(). What these methods throw ends the run: engines let it pass.
class BESTREEL_API SamplerCallback {
 public:
  virtual ~SamplerCallback() = default;

  /// The next step after `step` at which all candidates of the wave stop; `steps` where none is
  /// left.
  virtual int next_stop(int step) const = 0;

  /// Whether the candidate may be taken from `from` to `to`. False: it is stopped (the budget is
  /// spent, or the user interrupts) and must be left where it is.
  virtual bool request_steps(CandidateId id, int from, int to) = 0;
  virtual void on_steps_done(CandidateId id, int step, const Cost& spent) = 0;

  virtual bool wants_preview(CandidateId id, int step) const = 0;
  /// RGB frames of the x0 estimate at `step`. Blocks while the judge is far behind.
  virtual void preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) = 0;

  /// Blocks until the answer is known. Those that go on, ascending by id.
  virtual std::vector<Assignment> resample_at(int step) = 0;

  virtual void finished(CandidateId id, VideoPtr video, const Cost& spent) = 0;
  /// `step`: how far it had come.
  virtual void failed(CandidateId id, int step, Failure failure, const Cost& spent) = 0;
};

/// Thread rules: capabilities() from any thread; run() from one thread at a time.
class BESTREEL_API Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineCapabilities& capabilities() const = 0;

  /// Makes one wave by the protocol above. A candidate depends on the checkpoint, its condition,
  /// the settings and its noise alone, never on the others. Throws what is wrong with the engine
  /// itself.
  virtual void run(std::span<const Start> starts, SamplerCallback& callback) = 0;
};

}  // namespace bestreel
