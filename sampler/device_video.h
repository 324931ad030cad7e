// A finished video that stays where it was decoded.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/base/export.h"
#include "core/media/video.h"

namespace bestreel {

/// frames (F, 3, H, W) uint8 on any device, being computed on the calling thread's current stream.
/// read() hands them over without a copy where the indices are evenly spaced: the reader's current
/// stream waits for the maker's by an event, the host does not. read_host() copies what is asked
/// for.
BESTREEL_API VideoPtr make_device_video(at::Tensor frames, Rational fps);

}  // namespace bestreel
