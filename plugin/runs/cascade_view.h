// What a cascade of judges did in a run: who was dropped by whom and why, what each judge cost and
// saved.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/runs/run_view.h"

namespace bestreel {

/// One judge of a cascade. What it saved is its mean cost per judgement times the candidates that
/// it did not have to see; 0 where it has judged nobody.
struct CascadeStage {
  std::size_t judge = 0;
  std::int64_t saw = 0;     ///< candidates, failures included
  std::int64_t kept = 0;    ///< of these, how many the next judge saw
  double seconds = 0;       ///< of judging
  std::int64_t tokens = 0;  ///< prompt and answer, of language-model judges
  double saved_seconds = 0;
  double saved_tokens = 0;
};

/// One entry per judge; empty where the run is no cascade.
BESTREEL_API std::vector<CascadeStage> cascade_stages(const RunView& view);

/// {"cascade": [{judge, saw, kept, seconds, tokens, saved_seconds, saved_tokens}, ...]} on one
/// line.
BESTREEL_API std::string cascade_json(const RunView& view);

/// "judge 2 (small)": its place, and the last part of its SPEC.
BESTREEL_API std::string judge_label(const RunSettings& settings, std::size_t judge);

/// Ranks the candidates of a cascade, unless a strategy has, and says of each who judged it last
/// and why nobody went on with it. Part of project().
void rank_cascade(RunView& view, bool selected);

}  // namespace bestreel
