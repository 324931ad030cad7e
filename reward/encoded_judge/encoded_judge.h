// Judges the file that a viewer will get rather than the frames in memory.
#pragma once

#include "core/base/export.h"
#include "plugin/judge.h"

namespace bestreel {

/// A judge that writes each video as H.264 (VideoWriter's defaults, constant rate), reads it back
/// and hands that to `inner`: what the codec does to a score is then in the score. Its id is the
/// inner id + "+h264". Frame indices are those of the original. A video of more than 4096 frames is
/// a Failure "video_too_long". Same thread rules as the inner judge.
BESTREEL_API JudgePtr encoded_judge(JudgePtr inner);

}  // namespace bestreel
