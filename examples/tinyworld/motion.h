// What a trail of points says: which motion of the grammar it is, and what the motion leaves
// unexplained.
#pragma once

#include "examples/tinyworld/tracks.h"

namespace bestreel::tinyworld {

/// Fills object.motion, jump, wobble and travel from frames, x and y.
///
/// Straight and bouncing motion are fitted by least squares, each with and without one sudden step
/// (a regressor that is 1 from some frame on); the simplest that explains the trail is taken.
void describe_motion(Track& track);

}  // namespace bestreel::tinyworld
