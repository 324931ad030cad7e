// One checkpoint, loaded: config, weights in place, tokenizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/nn/checkpoint.h"
#include "core/nn/tokenizer.h"
#include "reward/videoscore2/config.h"
#include "reward/videoscore2/language.h"
#include "reward/videoscore2/positions.h"
#include "reward/videoscore2/vision.h"

namespace bestreel::videoscore2 {

/// What a prompt leaves behind; the samples of one video share it.
struct Prompt {
  std::shared_ptr<const KvCache> cache;
  std::int64_t position = 0;  ///< rotary position of the next token, in all three axes
  at::Tensor hidden;  ///< normalised hidden states: (1, hidden) of the last token, or of all
};

/// A reading of a prompt: the cache behind it, and how its tokens are turned.
struct Sequence {
  KvCache cache;
  std::int64_t begin = 0;  ///< tokens of the prompt
  Rope rope;               ///< (capacity, 1, head/2), of the tokens after the prompt
};

/// A token to run after those that `sequence` holds.
struct NextToken {
  Sequence* sequence;
  std::int64_t id;
};

class Model {
 public:
  /// `activations`: kFloat or kBFloat16. Errors of read_checkpoint_config, Checkpoint::open,
  /// Tokenizer::from_file and Weights.
  /// `int8`: the decoder's matrices in int8 (int8_weights.h).
  static std::shared_ptr<const Model> load(const std::string& folder, at::ScalarType activations,
                                           bool int8 = false, at::Device device = at::kCPU);

  const CheckpointConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const VisionModel& vision() const { return vision_; }
  const LanguageModel& language() const { return language_; }
  /// Ids that end an answer.
  const std::vector<std::int64_t>& ends() const { return ends_; }
  /// sha256 over the config files, the weights' headers and samples of every tensor's bytes: tells
  /// checkpoints apart without reading 16 GB.
  const std::string& digest() const { return digest_; }

  /// Runs the prompt, video tokens replaced by the tower's embeddings of `patches`. With
  /// `last_only`, only the last hidden state is computed.
  Prompt prefill(const std::vector<std::int64_t>& prompt, const at::Tensor& patches,
                 const Grid& grid, double seconds_per_grid, bool last_only = true,
                 const std::function<void()>& check = {}) const;

  /// A new reading, of at most `capacity` tokens.
  Sequence fork(const Prompt& prompt, std::int64_t capacity) const;

  /// Runs tokens of several sequences in one step; those of one sequence stand in order. Returns
  /// hidden states (rows, hidden). For the CPU: devices have CapturedDecodeStep.
  at::Tensor step(std::span<const NextToken> rows) const;

 private:
  Model(CheckpointConfig config, Tokenizer tokenizer, const Weights& weights, std::string digest,
        at::Device device);

  CheckpointConfig config_;
  Tokenizer tokenizer_;
  VisionModel vision_;
  LanguageModel language_;
  std::vector<std::int64_t> ends_;
  std::string digest_;
  at::ScalarType activations_;
  at::Device device_;
};

}  // namespace bestreel::videoscore2
