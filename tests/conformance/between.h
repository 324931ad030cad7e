// A callback that passes everything on, for tests that change one call. Private.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "plugin/engine.h"

namespace bestreel::conformance {

class Between : public SamplerCallback {
 public:
  explicit Between(SamplerCallback& to) : to_(to) {}
  int next_stop(int step) const override { return to_.next_stop(step); }
  void restored(CandidateId id, const Cost& spent) override { to_.restored(id, spent); }
  bool request_steps(CandidateId id, int from, int to) override {
    return to_.request_steps(id, from, to);
  }
  bool stepped(CandidateId id, int step) override { return to_.stepped(id, step); }
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    to_.on_steps_done(id, step, spent);
  }
  bool keep_state(CandidateId id, int step) const override { return to_.keep_state(id, step); }
  std::optional<PreviewRequest> wants_preview(CandidateId id, int step) const override {
    return to_.wants_preview(id, step);
  }
  void preview(CandidateId id, int step, DecodedFrames shown, const Cost& spent) override {
    to_.preview(id, step, std::move(shown), spent);
  }
  std::vector<Assignment> resample_at(int step) override { return to_.resample_at(step); }
  std::vector<Assignment> arrive(std::span<const CandidateId> ids, int step) override {
    return to_.arrive(ids, step);
  }
  void finished(CandidateId id, FinishedVideo video, const Cost& spent) override {
    to_.finished(id, std::move(video), spent);
  }
  void failed(CandidateId id, int step, Failure failure, const Cost& spent) override {
    to_.failed(id, step, std::move(failure), spent);
  }

 protected:
  SamplerCallback& to_;
};

}  // namespace bestreel::conformance
