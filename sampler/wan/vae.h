// The video autoencoder: causal in time, so a video is decoded one latent frame at a time with the
// last two frames of every convolution's input kept. Private.
//
// Frames come first here, (T, C, H, W): a convolution over three frames of C channels is then one
// over a single frame of 3C channels on the same memory, which the library does faster for few
// frames and no slower for many.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sampler/wan/config.h"
#include "sampler/wan/layers.h"

namespace bestreel::wan {

/// What the convolutions remember between two chunks of one video.
struct VaeState {
  std::vector<at::Tensor> past;  ///< per convolution: up to two frames
  bool first = true;             ///< no chunk has passed yet
};

/// A convolution that sees kernel_t - 1 frames of the past; frames before the first are zeros.
class CausalConv {
 public:
  CausalConv() = default;
  CausalConv(const Weights& weights, const std::string& name, std::int64_t out, std::int64_t in,
             std::int64_t kernel_t, std::int64_t kernel, int slot);
  at::Tensor operator()(const at::Tensor& x, VaeState& state) const;
  /// Over at most kernel_t frames (contiguous), the earlier ones zeros: one frame.
  at::Tensor window(const at::Tensor& frames) const;

 private:
  at::Tensor weight_, bias_;  // (out, kernel_t * in, kernel, kernel)
  std::int64_t kernel_t_ = 1, padding_ = 0;
  int slot_ = -1;
};

/// Hands out the places in a VaeState.
struct Slots {
  int count = 0;
  int next() { return count++; }
};

struct ChannelNorm {
  at::Tensor gamma;  ///< (1, C, 1, 1), times sqrt(C)
  at::Tensor operator()(const at::Tensor& x) const;
};

struct ResidualBlock {
  ResidualBlock(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out,
                Slots& slots);
  at::Tensor operator()(const at::Tensor& x, VaeState& state) const;

  ChannelNorm norm1, norm2;
  CausalConv conv1, conv2;
  std::optional<CausalConv> shortcut;
};

/// Residual, attention within each frame, residual.
struct MidBlock {
  MidBlock(const Weights& weights, const std::string& name, std::int64_t dim, Slots& slots);
  at::Tensor operator()(const at::Tensor& x, VaeState& state) const;

  ResidualBlock before, after;
  ChannelNorm norm;
  at::Tensor qkv_weight, qkv_bias, proj_weight, proj_bias;
};

class VaeDecoder {
 public:
  VaeDecoder(const Weights& weights, const VaeConfig& config);

  /// Called with each chunk of frames (t, 3, H, W) in [-1, 1], in order: 1 frame, then
  /// scale_temporal at a time.
  using Sink = std::function<void(const at::Tensor& frames)>;

  /// latents (1, C, T, H, W) as the denoiser leaves them (normalised).
  void decode(const at::Tensor& latents, const Sink& sink) const;

 private:
  struct Up {
    std::vector<ResidualBlock> blocks;
    at::Tensor weight, bias;  // after doubling height and width; undefined at the last level
    std::optional<CausalConv> time;
    std::int64_t shortcut_channels = 0;  // of the residual layout; 0 = none
  };

  at::Tensor chunk(const at::Tensor& z, VaeState& state) const;
  at::Tensor up(const Up& level, const at::Tensor& input, VaeState& state) const;

  VaeConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  Slots slots_;
  at::Tensor mean_, inverse_std_;
  CausalConv quant_, conv_in_, conv_out_;
  std::optional<MidBlock> mid_;
  std::vector<Up> ups_;
  ChannelNorm norm_out_;
};

class VaeEncoder {
 public:
  VaeEncoder(const Weights& weights, const VaeConfig& config);

  /// frames (F, 3, H, W) in [-1, 1], F = scale_temporal k + 1, to normalised latents
  /// (1, C, T, H, W), float32: the mean of the posterior.
  at::Tensor encode(const at::Tensor& frames) const;

 private:
  struct Down {
    std::vector<ResidualBlock> blocks;
    at::Tensor weight, bias;  // stride 2; undefined at the last level
    std::optional<CausalConv> time;
    int time_slot = -1;
    bool residual = false;
    std::int64_t out = 0;
  };

  at::Tensor chunk(const at::Tensor& x, VaeState& state) const;
  at::Tensor down(const Down& level, const at::Tensor& input, VaeState& state) const;

  VaeConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  Slots slots_;
  at::Tensor mean_, inverse_std_;
  CausalConv quant_, conv_in_, conv_out_;
  std::optional<MidBlock> mid_;
  std::vector<Down> downs_;
  ChannelNorm norm_out_;
};

ChannelNorm channel_norm(const Weights& weights, const std::string& name, std::int64_t dim,
                         bool images = false);

}  // namespace bestreel::wan
