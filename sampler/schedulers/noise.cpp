#include "sampler/schedulers/noise.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>

#include <array>
#include <cmath>
#include <random>
#include <string>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel {

at::Tensor seeded_noise(std::uint64_t seed, at::IntArrayRef shape) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat);
}

at::Tensor keyed_noise(std::string_view key, at::IntArrayRef shape) {
  const std::string digest = sha256(key);
  std::array<std::uint32_t, 8> words{};
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = static_cast<std::uint32_t>(std::stoul(digest.substr(8 * i, 8), nullptr, 16));
  // seed_seq is specified to the bit; a 32-bit manual_seed would let unrelated keys collide.
  std::seed_seq sequence(words.begin(), words.end());
  at::mt19937_data_pod state{};
  sequence.generate(state.state_.begin(), state.state_.end());
  state.state_[0] |= 0x80000000u;  // never the all-zero state
  state.left_ = 1;
  state.seeded_ = true;
  at::mt19937 engine;
  engine.set_data(state);
  at::Generator generator = at::detail::createCPUGenerator();
  at::check_generator<at::CPUGeneratorImpl>(generator)->set_engine(engine);
  return at::randn(shape, generator, at::kFloat);
}

at::Tensor neighbour_noise(const at::Tensor& parent, double cosine, const at::Tensor& fresh) {
  if (!(cosine >= -1 && cosine <= 1))
    fail_usage("noise", "the cosine must be -1 to 1 but got {}: give one near 1 for a close search",
               cosine);
  // In double: the cosine is a promise, and a video's latent has a million elements.
  const at::Tensor p = parent.to(at::kDouble), g = fresh.to(at::kDouble);
  const at::Tensor norm = at::linalg_vector_norm(p);
  const at::Tensor u = p / norm;
  const at::Tensor w = g - u * (g * u).sum();
  const at::Tensor direction = w / at::linalg_vector_norm(w);
  return (norm * (cosine * u + std::sqrt(1 - cosine * cosine) * direction))
      .to(parent.scalar_type());
}

at::Tensor mixed_noise(const at::Tensor& parent, double beta, const at::Tensor& fresh) {
  if (!(beta >= 0 && beta <= 1))
    fail_usage("noise", "beta must be 0 to 1 but got {}: 0 keeps the parent, 1 forgets it", beta);
  return parent * std::sqrt(1 - beta * beta) + fresh * beta;
}

at::Tensor renoise(const at::Tensor& x, double sigma, double sigma_to, const at::Tensor& fresh) {
  if (!(sigma >= 0 && sigma <= sigma_to && sigma_to <= 1))
    fail_usage("noise",
               "the noise level to go back to must be {} to 1 but got {}: name an earlier step",
               sigma, sigma_to);
  if (sigma_to == sigma) return x.clone();
  const double a = sigma < 1 ? (1 - sigma_to) / (1 - sigma) : 0;
  return x * a + fresh * std::sqrt(sigma_to * sigma_to - a * a * sigma * sigma);
}

}  // namespace bestreel
