// A small, lossy decoder for previews, in the file layout of TAEHV (such as taew2_1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/export.h"

namespace bestreel::wan {

/// Immutable after opening: any thread may use it.
/// Source: the layout of github.com/madebyollin/taehv; channels, time and patch are read from the
/// shapes. Not tried with published weights.
class BESTREEL_API TinyDecoder {
 public:
  /// `file` is a .safetensors file. Errors as Checkpoint, and "checkpoint_unsupported" where its
  /// latents do not have `channels`.
  static TinyDecoder open(const std::string& file, std::int64_t channels,
                          at::Device device = at::kCPU);

  /// Normalised latents (1, C, T, H, W) to frames (F, 3, 8 H, 8 W) uint8 (16 H where the file
  /// packs 2 x 2 pixels), F = time (T - 1) + 1. One latent frame at a time.
  at::Tensor frames(const at::Tensor& latents) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bestreel::wan
