// A look at a video in the making that costs next to nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/base/export.h"
#include "sampler/wan/pipeline.h"

namespace bestreel::wan {

/// Latents to colours by one linear map per latent pixel: 1 / scale_spatial of the size, one frame
/// per latent frame. Enough for colour, place and gross failure, not for detail.
class BESTREEL_API LinearPreview {
 public:
  /// The map that comes nearest, in least squares, to this model's own decoder on these latents
  /// (1, C, T, H, W): finished ones of the same model. One full decode.
  /// UsageError where they have too few pixels to fit C + 1 numbers per colour.
  static LinearPreview fit(const Pipeline& pipeline, const at::Tensor& latents);

  /// (T, 3, H, W) uint8, in the latent's own size.
  at::Tensor frames(const at::Tensor& latents) const;

 private:
  at::Tensor weight_, bias_;  // (C, 3), (3), to [-1, 1]
};

}  // namespace bestreel::wan
