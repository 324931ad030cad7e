#include "sampler/wan/tiny_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"

namespace bestreel::wan {
namespace {

constexpr int kLevels = 3, kMemoryBlocks = 3;

struct Conv {
  at::Tensor weight, bias;  // bias undefined = none

  at::Tensor operator()(const at::Tensor& x) const {
    return at::conv2d(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, 1,
                      weight.size(3) / 2);
  }
};

// Sees each frame beside the one before it.
struct MemoryBlock {
  Conv in, middle, out;

  at::Tensor operator()(const at::Tensor& x, at::Tensor& last) const {
    const std::int64_t frames = x.size(0);
    const at::Tensor first = last.defined() ? last : at::zeros_like(x.narrow(0, 0, 1));
    const at::Tensor past = at::cat({first, x.narrow(0, 0, frames - 1)});
    last = x.narrow(0, frames - 1, 1).clone();
    return at::relu(out(at::relu(middle(at::relu(in(at::cat({x, past}, 1)))))) + x);
  }
};

struct Level {
  MemoryBlock memory[kMemoryBlocks];
  Conv grow;  // to `time` frames each, in the channels
  Conv narrow;
  std::int64_t time = 1;
};

}  // namespace

struct TinyDecoder::Impl {
  at::Device device = at::kCPU;
  Conv in, out;
  Level levels[kLevels];
  std::int64_t time = 1, patch = 1;
};

TinyDecoder TinyDecoder::open(const std::string& file, std::int64_t channels, at::Device device) {
  const std::filesystem::path path(file);
  const Checkpoint checkpoint =
      Checkpoint::open(path.has_parent_path() ? path.parent_path().string() : ".",
                       path.stem().string())
          .to(device);
  const auto conv = [&](const std::string& name, bool bias) {
    const auto load = [&](const std::string& part) {
      return checkpoint.tensor("decoder." + name + part).to(at::kFloat);
    };
    Conv c{load(".weight"), bias ? load(".bias") : at::Tensor()};
    if (c.weight.dim() != 4)
      fail("checkpoint_unsupported", "preview",
           "{}: decoder.{}.weight must be of a 2-D convolution: use a TAEHV decoder", file, name);
    return c;
  };
  auto impl = std::make_shared<Impl>();
  impl->device = device;
  int index = 1;
  impl->in = conv(std::to_string(index), true);
  index += 2;  // and its activation
  for (Level& level : impl->levels) {
    for (MemoryBlock& memory : level.memory) {
      const std::string name = std::to_string(index++) + ".conv.";
      memory = {conv(name + "0", true), conv(name + "2", true), conv(name + "4", true)};
    }
    ++index;  // doubles height and width
    level.grow = conv(std::to_string(index++) + ".conv", false);
    level.time = level.grow.weight.size(0) / level.grow.weight.size(1);
    level.narrow = conv(std::to_string(index++), false);
    impl->time *= level.time;
  }
  impl->out = conv(std::to_string(index + 1), true);
  const std::int64_t colours = impl->out.weight.size(0) / 3;
  impl->patch = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(colours))));
  if (impl->in.weight.size(1) != channels ||
      3 * impl->patch * impl->patch != impl->out.weight.size(0))
    fail("checkpoint_unsupported", "preview",
         "{} decodes latents of {} channels to {} but this model has {}: use the TAEHV made for it",
         file, impl->in.weight.size(1), impl->out.weight.size(0), channels);
  TinyDecoder decoder;
  decoder.impl_ = std::move(impl);
  return decoder;
}

at::Tensor TinyDecoder::frames(const at::Tensor& latents) const {
  const c10::InferenceMode no_grad;
  const Impl& impl = *impl_;
  at::Tensor last[kLevels][kMemoryBlocks];
  std::vector<at::Tensor> chunks;
  for (std::int64_t t = 0; t < latents.size(2); ++t) {
    at::Tensor x = latents.select(2, t).to(impl.device, at::kFloat);
    x = at::relu(impl.in(at::tanh(x / 3) * 3));
    for (int i = 0; i < kLevels; ++i) {
      const Level& level = impl.levels[i];
      for (int k = 0; k < kMemoryBlocks; ++k) x = level.memory[k](x, last[i][k]);
      x = at::upsample_nearest2d(x, at::IntArrayRef({2 * x.size(2), 2 * x.size(3)}));
      const std::int64_t channels = x.size(1);
      x = level.grow(x);
      x = level.narrow(x.view({-1, channels, x.size(2), x.size(3)}));
    }
    x = impl.out(at::relu(x));
    chunks.push_back(at::pixel_shuffle(x, impl.patch).clamp_(0, 1).mul_(255).to(at::kByte));
  }
  // The first latent frame stands for one frame, the last of those it gives.
  chunks.front() = chunks.front().narrow(0, impl.time - 1, 1);
  return at::cat(chunks);
}

}  // namespace bestreel::wan
