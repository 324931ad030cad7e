// The denoiser: a diffusion transformer over patches of a video's latent. Private.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "sampler/wan/config.h"
#include "sampler/wan/layers.h"

namespace bestreel::wan {

/// A prompt as one transformer's cross-attention sees it: keys and values of every layer. They do
/// not depend on the step or the noise, so they are computed once per prompt.
///
/// The reference attends to 512 positions, most of them zeros after the text. Those are all alike,
/// so on the CPU one of them stands for all, with the log of their number added to its score.
struct TextContext {
  std::vector<at::Tensor> keys, values;  ///< per layer (1, heads, rows, head_dim)
  at::Tensor bias;                       ///< (rows), float32; undefined = none
};

/// Immutable after loading: any thread may use it.
class Transformer {
 public:
  Transformer(const Weights& weights, const TransformerConfig& config);

  const TransformerConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }

  /// text (rows, text_dim): the encoder's output up to the true length; `padded` (512) says how
  /// many positions the model attends to.
  TextContext context(const at::Tensor& text, std::int64_t padded) const;

  /// The velocity at x (1, C, T, H, W), of any float dtype, for the model's timestep (0 to 1000):
  /// the same shape, in the model's dtype. H and W must be multiples of the patch.
  at::Tensor velocity(const at::Tensor& x, double timestep, const TextContext& context) const;

 private:
  struct Attention {
    Linear q, k, v, out;
    at::Tensor norm_q, norm_k;
  };
  struct Block {
    Attention self, cross;
    at::Tensor norm2_weight, norm2_bias;  // float32; undefined without cross_attn_norm
    Linear ffn_in, ffn_out;
    at::Tensor modulation;  // (6, dim) float32
  };

  at::Tensor make_rotation(std::int64_t frames, std::int64_t height, std::int64_t width) const;
  at::Tensor rotation(std::int64_t frames, std::int64_t height, std::int64_t width) const;
  at::Tensor heads(const at::Tensor& x) const;
  at::Tensor self_attention(const Attention& a, const at::Tensor& x,
                            const at::Tensor& rotation) const;
  at::Tensor cross_attention(const Attention& a, const at::Tensor& x, const TextContext& context,
                             std::size_t layer) const;
  void block(const Block& b, at::Tensor& x, const at::Tensor& modulation,
             const at::Tensor& rotation, const TextContext& context, std::size_t layer) const;

  TransformerConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  Linear patch_, time_in_, time_out_, time_project_, text_in_, text_out_, project_;
  std::vector<Block> blocks_;
  at::Tensor final_modulation_;  // (2, dim) float32
  at::Tensor frequency_;         // (freq_dim / 2) float32, of the timestep's sinusoids
  struct Turns;
  std::shared_ptr<Turns> turns_;  // the rotation of the last size
};

}  // namespace bestreel::wan
