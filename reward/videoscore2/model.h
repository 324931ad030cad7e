// One checkpoint, loaded: config, weights in place, tokenizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/checkpoint.h"
#include "core/nn/tokenizer.h"
#include "reward/videoscore2/config.h"
#include "reward/videoscore2/language.h"
#include "reward/videoscore2/positions.h"
#include "reward/videoscore2/vision.h"

namespace bestreel::videoscore2 {

/// A sequence that is being read: the cache, and where the next token stands.
struct Sequence {
  KvCache cache;
  std::int64_t position = 0;  ///< rotary position of the next token, in all three axes
};

class Model {
 public:
  /// `activations`: kFloat or kBFloat16. Errors of read_checkpoint_config, Checkpoint::open,
  /// Tokenizer::from_file and Weights.
  static std::shared_ptr<const Model> load(const std::string& folder, at::ScalarType activations,
                                           at::Device device = at::kCPU);

  const CheckpointConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const VisionModel& vision() const { return vision_; }
  const LanguageModel& language() const { return language_; }
  /// Ids that end an answer.
  const std::vector<std::int64_t>& ends() const { return ends_; }
  /// sha256 over the config files, the weights' headers and samples of every tensor's bytes: tells
  /// checkpoints apart without reading 16 GB.
  const std::string& digest() const { return digest_; }

  Sequence sequence(std::int64_t capacity) const;

  /// Runs the prompt, video tokens replaced by the tower's embeddings of `patches`. Returns the
  /// last hidden state (1, hidden) or all of them.
  at::Tensor prefill(const std::vector<std::int64_t>& prompt, const at::Tensor& patches,
                     const Grid& grid, double seconds_per_grid, Sequence& sequence,
                     bool last_only = true, const std::function<void()>& check = {}) const;

  /// Appends tokens; returns the last hidden state (1, hidden).
  at::Tensor append(const at::Tensor& ids, Sequence& sequence) const;

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
