// The other side of the protocol: plays a session by a plan, and writes down what an engine does
// that it must not. Private.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/engine.h"

namespace bestreel::conformance {

/// What is thrown into an engine, which must let it pass.
struct Interruption {};

/// What the session is to say.
struct Plan {
  std::vector<int> stops;  ///< ascending, before the end
  /// Of those that have arrived; none given: all go on.
  std::function<std::vector<Assignment>(int step, const std::vector<CandidateId>&)> answer;
  std::optional<PreviewRequest> preview;            ///< of everybody at each stop
  std::set<std::pair<CandidateId, int>> leave;      ///< stepped() says no
  std::set<std::pair<CandidateId, int>> refuse;     ///< request_steps() from there says no
  std::set<int> keep;                               ///< keep_state() says yes
  std::set<std::pair<CandidateId, int>> interrupt;  ///< on_steps_done() throws
};

/// What came of it.
struct Seen {
  std::vector<std::string> violations;
  std::map<CandidateId, std::string> videos;  ///< of the finished: all that can be seen of them
  std::map<std::pair<CandidateId, int>, std::string> previews;
  std::map<CandidateId, State> states;  ///< of all that there were, as they began
  std::map<CandidateId, double> forwards, redone;
};

class Watcher final : public SamplerCallback, public Seen {
 public:
  Watcher(const EngineCapabilities& engine, std::span<const Start> starts, Plan plan);

  /// To be called when run() has returned: whether all have come to an end.
  void require_end();

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
  enum class Where {
    kWaiting,   ///< at a stop, or not begun
    kRunning,   ///< on its way to `to`
    kLeaving,   ///< was told to stop: what ran is still to be reported
    kDecoding,  ///< at the end, its video is due
    kOver,
  };
  struct Candidate {
    State state;
    bool draft = false;
    Where where = Where::kWaiting;
    int step = 0, to = 0, reported = 0;
    bool arrived = false, restored = false;
  };

  Candidate* known(CandidateId id, const char* call);
  void violation(std::string sentence);
  void check_cost(CandidateId id, const Candidate& candidate, int steps, const Cost& spent,
                  const char* call);
  void over(Candidate& candidate);
  bool all_arrived() const;
  std::vector<Assignment> answer_at(int step);

  const EngineCapabilities engine_;
  const Plan plan_;
  mutable std::mutex mutex_;
  std::condition_variable moved_;
  std::map<CandidateId, Candidate> candidates_;
  std::map<int, std::vector<Assignment>> answers_;
  bool interrupted_ = false;
};

}  // namespace bestreel::conformance
