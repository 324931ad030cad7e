// The configuration of a part from the shapes of a single file. Torch-free. Private.
#pragma once

#include <string>

#include "sampler/wan/config.h"

namespace bestreel::wan {

/// `c` comes with what the shapes leave open (a folder's configuration, or the defaults) and goes
/// with what they say. Each returns the sentence that says it. Errors: those of
/// Checkpoint::open_file, "checkpoint_foreign" (not this part of a Wan model),
/// "checkpoint_unsupported" (another kind of Wan model, by name).
std::string infer_transformer(const std::string& file, TransformerConfig& c);
std::string infer_vae(const std::string& file, VaeConfig& c);
std::string infer_text(const std::string& file, TextConfig& c);

/// Sets the statistics of the published latents of this width, where they are known.
bool set_published_statistics(VaeConfig& c);

/// The tensor of a text encoder's file that holds its SentencePiece model, or "".
std::string sentencepiece_tensor(const std::string& file);

}  // namespace bestreel::wan
