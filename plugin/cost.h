// What a run has cost, in the same units for every strategy. Public header.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/runs/events.h"

namespace bestreel {

/// What one judge has cost, previews included.
struct JudgeCost {
  std::int64_t judgements = 0;  ///< failures included
  std::int64_t prefill_tokens = 0, decode_tokens = 0;
  double seconds = 0;
};

/// A projection of a run's events. What a process that was killed had done without recording it is
/// in no column; what had to be done again is in `redone_forwards` only, so that a resumed run is
/// charged like one that was never interrupted.
struct CostTotals {
  double forwards = 0;  ///< of the denoiser; each guidance branch counts one, skipped parts do not
  std::int64_t previews = 0;        ///< decoded x0 estimates
  std::int64_t decodes = 0;         ///< decoded whole candidates
  std::int64_t judgements = 0;      ///< by all judges, previews included
  std::int64_t prefill_tokens = 0;  ///< of language-model judges
  std::int64_t decode_tokens = 0;
  double denoise_seconds = 0;
  double preview_seconds = 0;
  double decode_seconds = 0;
  double judge_seconds = 0;
  double waited_seconds = 0;      ///< of the engine, for judges
  std::int64_t peak_bytes = 0;    ///< largest the engine has reported; 0 = not known
  double redone_forwards = 0;     ///< after interruptions
  std::vector<JudgeCost> judges;  ///< by place; shorter where the later ones have judged nobody

  /// The share of judging time behind which the engine did not have to wait, 0..1; 0 without
  /// judging.
  BESTREEL_API double hidden_share() const;
};

/// Adds one event; kinds that cost nothing are passed over.
BESTREEL_API void add(CostTotals& ledger, const RunEvent& event);

BESTREEL_API CostTotals project_costs(const std::vector<RunEvent>& events);

}  // namespace bestreel
