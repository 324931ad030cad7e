// A ranking in the terminal.
#pragma once

#include <string>

#include "plugin/runs/run_view.h"

namespace bestreel::cli {

/// Best first, failures last with their sentences; at most `top` ranked rows (0 = all).
std::string ranking_table(const RunView& view, int top);

/// "bikes.mp4 wins by 0.31 over carphone.mp4: visual_quality +0.52, temporal_consistency +0.10."
std::string winner_sentence(const RunView& view);

/// What each judge of a cascade saw, cost and saved, and who was dropped by whom (as far as `top`
/// shows them; 0: all); empty for other runs.
std::string cascade_table(const RunView& view, int top);

}  // namespace bestreel::cli
