// The oracle as a Judge: `--judge tinyworld-oracle`.
#pragma once

#include "plugin/judge.h"

namespace bestreel::tinyworld {

/// Dimensions as VideoScore2's; `expected` is the truth, the rationale the oracle's reasons. A
/// prompt that is not of the tiny world is the Failure "prompt_foreign"; a video of more than 256
/// frames or 512 x 512 pixels is "video_unsuitable".
JudgePtr make_oracle_judge();

}  // namespace bestreel::tinyworld
