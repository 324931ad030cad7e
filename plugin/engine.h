// What makes the candidates: the interface of an engine, and of the one who watches it.
//
// Our own sampler implements Engine and is run. A host that owns its loop implements nothing: it
// asks the Session (a SamplerCallback) for the next wave and calls the same methods from its loop.
//
// Steps count what has been done: step k means after k denoising steps, 0 is the initial noise,
// EngineCapabilities::steps is the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/condition.h"
#include "plugin/noise.h"
#include "plugin/result.h"
#include "plugin/state.h"

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

/// What an engine can do. A strategy's Needs are compared with it before anything runs, and its
/// asks as they come: an engine is never asked for what it does not claim.
struct EngineCapabilities {
  std::string id;    ///< engine, checkpoint and all that changes a pixel; equal ids, equal videos
  std::string name;  ///< for sentences, such as "diffusers"
  Scheduling scheduling = Scheduling::kSequential;
  bool previews = false;   ///< can show the x0 estimate in the middle of a trajectory
  bool lookahead = false;  ///< can show where k deterministic steps on a copy lead
  /// Can copy states: begins at a State with at() and fork(), and takes assignments from another's
  /// state and of new ids.
  bool branching = false;
  bool renoise = false;  ///< begins at a State with renoise()
  bool drafts = false;   ///< can make a cheaper trajectory of the same State (Start::draft)
  /// Obeys keep_state(): what begins at a kept state need not be computed again.
  bool keeps_states = false;
  /// Steps with an index below it may draw fresh noise, none from there on does: copies that are
  /// made at a step below it diverge, others denoise identically. 0: deterministic. An SDE whose
  /// last step is free of noise has steps - 1.
  int stochastic_until = 0;
  int steps = 0;                 ///< denoising steps of a whole trajectory; 0: finished files
  double forwards_per_step = 1;  ///< denoiser forwards; each guidance branch counts one

  bool stochastic() const { return stochastic_until > 0; }
};

/// A finished video that is a file already: it is judged where it lies, and nothing is copied.
struct FileReference {
  std::string path;    ///< absolute
  std::string sha256;  ///< what it was when it arrived, hexadecimal; empty: it was unreadable
};

struct Start {
  CandidateId id = 0;
  Condition condition;
  State state = Noise::seed(0);  ///< where it begins: evaluate() makes it; unused by finished files
  bool draft = false;            ///< the cheaper trajectory; its `forwards` say how much cheaper
  std::string label;             ///< of a finished file: Arrived::label; else empty
  FileReference file;            ///< the file that it is, of an engine of such
};

/// After a barrier at `step`: trajectory `id` goes on from `parent`'s state. parent == id: simply
/// on. Another's: id becomes fork(at(the parent's state, step), key). `id` may be new: then it
/// begins here. Who has no assignment stops.
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

enum class PreviewDecoder {
  kPreview,  ///< the engine's decoder for previews, where it has one
  kFull,     ///< the one that decodes finished videos
};

/// How a candidate is to be shown at a barrier.
struct PreviewRequest {
  /// 0: the x0 estimate of the last step. k: where k deterministic steps on a copy lead, at most
  /// `steps` - step; the copy is shown and forgotten, its forwards are part of preview()'s cost.
  int lookahead = 0;
  PreviewDecoder decoder = PreviewDecoder::kPreview;
  friend bool operator==(const PreviewRequest&, const PreviewRequest&) = default;
};

/// A video, or why there is none: what could not be decoded is that candidate's Failure.
using DecodedFrames = std::variant<VideoPtr, Failure>;

using FinishedVideo = std::variant<VideoPtr, FileReference>;

/// Every method may be called from any thread, but each candidate's calls are in the order of its
/// steps. The protocol of one thread that drives a whole wave, all of whose candidates begin at one
/// step b:
///
///   each candidate: evaluate its State (kept, or computed again): restored(id, spent)
///   for step = b; step < steps; step = next:
///     next = next_stop(step)
///     each candidate that goes on:
///       request_steps(id, step, next), or leave it
///       each denoising step k before `next`: stepped(id, k), or report what ran and leave it
///       on_steps_done(id, next, spent)
///       if keep_state(id, next): keep it under at(its state, next)
///       if next < steps and request = wants_preview(id, next): preview(id, next, frames, spent)
///     if next < steps: only the assignments of resample_at(next) go on
///   each that has come to `steps`: finished(id, decode(x), spent)
///
/// A sequential host does it for one candidate at a time. A pausable one finishes each candidate
/// when it arrives, so that it is judged while the next is denoised. Where several threads share a
/// wave, each with candidates of its own, each calls arrive() instead of resample_at().
///
/// What goes wrong with one candidate is reported by failed(). What these methods throw ends the
/// run: engines let it pass.
class BESTREEL_API SamplerCallback {
 public:
  virtual ~SamplerCallback() = default;

  /// The next step after `step` at which all candidates of the wave stop; `steps` where none is
  /// left.
  virtual int next_stop(int step) const = 0;

  /// What it took to compute a Start's state, where the engine had not kept it. Not part of any
  /// budget: it was paid for when it was first made.
  virtual void restored(CandidateId, const Cost&) {}

  /// Whether the candidate may be taken from `from` to `to`. False: it is stopped (the budget is
  /// spent, or the user interrupts) and must be left where it is.
  virtual bool request_steps(CandidateId id, int from, int to) = 0;

  /// After every denoising step that is not the last before a stop: whether to go on. False: report
  /// what ran by on_steps_done(id, step, spent) and leave it. Cheap.
  virtual bool stepped(CandidateId, int /*step*/) { return true; }

  /// The candidate has come to `step`; `spent` since the last report.
  virtual void on_steps_done(CandidateId id, int step, const Cost& spent) = 0;

  /// Whether the state at `step` is likely to be continued by a later Start. A hint: an engine that
  /// does not keep it, or gives it up for want of memory, computes it again.
  virtual bool keep_state(CandidateId, int /*step*/) const { return false; }

  virtual std::optional<PreviewRequest> wants_preview(CandidateId id, int step) const = 0;
  /// RGB frames of the candidate at `step`, as the request said; `spent` with the forwards of a
  /// lookahead. Blocks while the judge is far behind.
  virtual void preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) = 0;

  /// All candidates of the wave have arrived at `step`, or ended before. Blocks until the answer is
  /// known. Those that go on, ascending by id; empty: the wave ends here.
  virtual std::vector<Assignment> resample_at(int step) = 0;

  /// The same for one of several threads that run one wave: `ids`, those of the calling thread that
  /// have come to `step`, all of them in one call. Blocks until those of all threads have arrived,
  /// failed or been stopped, and the answer is known. Those that go on from the state of one of
  /// `ids`, ascending by id: whoever holds a state makes its copies.
  virtual std::vector<Assignment> arrive(std::span<const CandidateId> ids, int step) {
    std::vector<Assignment> all = resample_at(step);
    std::erase_if(all, [&](const Assignment& each) {
      return std::find(ids.begin(), ids.end(), each.parent) == ids.end();
    });
    return all;
  }

  /// Blocks while judges and writer are far behind.
  virtual void finished(CandidateId id, FinishedVideo video, const Cost& spent) = 0;

  /// `step`: how far it had come. Where is_machine_failure(failure) it is no end: the session has
  /// the candidate made again once, and stops the run where that fails too.
  virtual void failed(CandidateId id, int step, Failure failure, const Cost& spent) = 0;
};

/// Thread rules: capabilities() from any thread; run() from one thread at a time.
class BESTREEL_API Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineCapabilities& capabilities() const = 0;

  /// Makes one wave by the protocol above. A candidate depends on the checkpoint, its condition,
  /// the settings and its State alone, never on the others. Throws what is wrong with the engine
  /// itself.
  virtual void run(std::span<const Start> starts, SamplerCallback& callback) = 0;
};

}  // namespace bestreel
