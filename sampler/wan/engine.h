// Wan as an Engine: what our own sampler gives to a Session.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/engine.h"
#include "sampler/wan/pipeline.h"

namespace bestreel::wan {

struct EngineOptions {
  Settings settings;
  Rational fps{16, 1};  ///< of the videos; Wan's own is 16
  int threads = 1;      ///< CPU threads of the denoiser and the decoder
  /// A small decoder for previews, a .safetensors file in TAEHV's layout; empty: the model's own.
  std::string preview_decoder;
  /// Of states that are kept for later Starts; what is not kept is denoised again.
  std::int64_t keep_bytes = std::int64_t{512} << 20;
};

/// Pausable, with previews, lookahead, copies and renoise: each trajectory is a value. Copies
/// diverge on the stochastic solvers, before their last step, which is free of noise. No drafts.
/// Candidates are denoised one at a time, so neither their number nor the company changes a pixel.
/// The text encoder is loaded for prompts that the wave before did not have, and freed before the
/// first step. A preview is the x0 estimate through the video decoder, or through a small one.
/// Frames stay on the device: a judge there reads them without a copy, and only what goes to a
/// file, or to a judge of the CPU, is copied. Where memory runs out, what is kept for later is
/// given up and the step is tried once more.
///
/// Errors of run(): those of Pipeline; what concerns one candidate is reported by failed().
BESTREEL_API std::unique_ptr<Engine> make_engine(std::shared_ptr<Pipeline> pipeline,
                                                 EngineOptions options);

}  // namespace bestreel::wan
