// Gaussian noise that depends on a seed, or on a key, alone; and the ways to vary it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "core/base/export.h"

namespace bestreel {

/// torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)): what diffusers draws,
/// float32 on the CPU. torch's engine takes the low 32 bits of the seed.
BESTREEL_API at::Tensor seeded_noise(std::uint64_t seed, at::IntArrayRef shape);

/// Noise for everything after the start, named by a text such as "seed 7/lineage 0.3/step 12":
/// equal keys give equal noise, different keys independent noise (256 bits of SHA-256 fill the
/// engine's state). float32 on the CPU.
BESTREEL_API at::Tensor keyed_noise(std::string_view key, at::IntArrayRef shape);

/// A neighbour of `parent` with its norm, at exactly this cosine; `fresh` gives the direction.
/// Source: Ma et al. 2025 (inference-time scaling), zero-order search.
BESTREEL_API at::Tensor neighbour_noise(const at::Tensor& parent, double cosine,
                                        const at::Tensor& fresh);

/// sqrt(1 - beta^2) parent + beta fresh: standard normal where both are.
BESTREEL_API at::Tensor mixed_noise(const at::Tensor& parent, double beta, const at::Tensor& fresh);

/// From noise level sigma up to the noisier sigma_to: the exact forward process of flow matching,
/// a x + sqrt(sigma_to^2 - a^2 sigma^2) fresh with a = (1 - sigma_to) / (1 - sigma).
/// UsageError unless 0 <= sigma <= sigma_to <= 1.
BESTREEL_API at::Tensor renoise(const at::Tensor& x, double sigma, double sigma_to,
                                const at::Tensor& fresh);

}  // namespace bestreel
