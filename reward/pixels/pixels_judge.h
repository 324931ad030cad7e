// A judge without weights: classical no-reference measures of the pixels. Torch-free.
#pragma once

#include "core/base/export.h"
#include "plugin/judge.h"

namespace bestreel {

/// Dimensions: visual_quality (sharpness, detail, noise, blockiness, exposure) and
/// temporal_consistency (flicker, motion smoothness, repeated frames, dynamic degree). It does not
/// read the prompt and says nothing of text or physics. The measures, their sources and ranges are
/// in measures.h, how they become 1..5 in pixels_judge.cpp. Deterministic, whatever the company.
BESTREEL_API JudgePtr make_pixels_judge();

}  // namespace bestreel
