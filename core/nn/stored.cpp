#include "core/nn/stored.h"

#include <cstring>

namespace bestreel {
namespace {

using Byte = std::uint8_t;

float half(const Byte* at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = bits >> 10 & 0x1FU;
  std::uint32_t fraction = bits & 0x3FFU, value = 0;
  if (exponent == 31) {
    value = sign | 0x7F800000U | fraction << 13;
  } else if (exponent > 0) {
    value = sign | (exponent + 112) << 23 | fraction << 13;
  } else if (fraction == 0) {
    value = sign;
  } else {
    std::uint32_t shift = 113;
    while ((fraction & 0x400U) == 0) {
      fraction <<= 1;
      --shift;
    }
    value = sign | shift << 23 | (fraction & 0x3FFU) << 13;
  }
  float result = 0;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

// Blocks of 32: a scale, perhaps a minimum, perhaps a high bit of each, then nibbles: the low ones
// are the first half. Products and sums in the order of ggml's reference, each rounded to float32.
template <bool kMinimum, bool kHighBit>
void small_block(const Byte* block, float* out) {
  const float d = half(block), m = kMinimum ? half(block + 2) : 0;
  const Byte* at = block + (kMinimum ? 4 : 2);
  std::uint32_t high = 0;
  if (kHighBit) {
    std::memcpy(&high, at, sizeof high);
    at += 4;
  }
  for (int i = 0; i < 32; ++i) {
    int q = i < 16 ? at[i] & 0xF : at[i - 16] >> 4;
    if (kHighBit) q |= static_cast<int>(high >> i & 1U) << 4;
    if (kMinimum) {
      const float product = d * static_cast<float>(q);
      out[i] = product + m;
    } else {
      out[i] = d * static_cast<float>(q - (kHighBit ? 16 : 8));
    }
  }
}

void q8_0(const Byte* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 32; ++i)
    out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
}

// Blocks of 256 with scales of 16 or 32 numbers each.
void q2_k(const Byte* block, float* out) {
  const Byte *scales = block, *qs = block + 16;
  const float d = half(block + 80), dmin = half(block + 82);
  for (int i = 0; i < 256; ++i) {
    const Byte scale = scales[i / 16];
    const int q = qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
    const float dl = d * static_cast<float>(scale & 0xF),
                ml = dmin * static_cast<float>(scale >> 4);
    const float product = dl * static_cast<float>(q);
    out[i] = product - ml;
  }
}

void q3_k(const Byte* block, float* out) {
  const Byte *mask = block, *qs = block + 32, *scales = block + 96;
  const float d = half(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int s = i / 16;  // 16 scales of 6 bits: four low ones in 8 bytes, two high ones in 4
    const int low = s < 8 ? scales[s] & 0xF : scales[s - 8] >> 4;
    const int scale = (low | (scales[8 + s % 4] >> (s / 4 * 2) & 3) << 4) - 32;
    const int q = (qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) -
                  ((mask[i % 32] >> (i / 32) & 1) == 0 ? 4 : 0);
    out[i] = d * static_cast<float>(scale) * static_cast<float>(q);
  }
}

/// The 6-bit scale and minimum of the i-th of eight groups.
void scale_and_minimum(const Byte* packed, int i, int& scale, int& minimum) {
  if (i < 4) {
    scale = packed[i] & 0x3F;
    minimum = packed[4 + i] & 0x3F;
  } else {
    scale = (packed[4 + i] & 0xF) | (packed[i - 4] >> 2 & 0x30);
    minimum = packed[4 + i] >> 4 | (packed[i] >> 2 & 0x30);
  }
}

template <bool kHighBit>
void q4_or_5_k(const Byte* block, float* out) {
  const float d = half(block), dmin = half(block + 2);
  const Byte *packed = block + 4, *high = block + 16, *qs = block + (kHighBit ? 48 : 16);
  for (int i = 0; i < 8; ++i) {
    int scale = 0, minimum = 0;
    scale_and_minimum(packed, i, scale, minimum);
    const float ds = d * static_cast<float>(scale), dm = dmin * static_cast<float>(minimum);
    for (int j = 0; j < 32; ++j) {
      int q = qs[i / 2 * 32 + j] >> (i % 2 * 4) & 0xF;
      if (kHighBit) q |= (high[j] >> i & 1) << 4;
      const float product = ds * static_cast<float>(q);
      out[i * 32 + j] = product - dm;
    }
  }
}

void q6_k(const Byte* block, float* out) {
  const Byte *low = block, *high = block + 128, *scales = block + 192;
  const float d = half(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int q = (low[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 0xF) |
                  (high[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) << 4;
    const float ds = d * static_cast<float>(static_cast<std::int8_t>(scales[i / 16]));
    out[i] = ds * static_cast<float>(q - 32);
  }
}

template <void (*kOne)(const Byte*, float*), int kElements, int kBytes>
void each(const Byte* blocks, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) kOne(blocks + i * kBytes, out + i * kElements);
}

template <void (*kOne)(const Byte*, float*), int kElements, int kBytes>
constexpr StoredFormat blocks(std::string_view name) {
  return {name, StoredAs::kBlocks, kElements, kBytes, each<kOne, kElements, kBytes>};
}

constexpr StoredFormat kFormats[] = {
    {"F32", StoredAs::kFloat, 1, 4},
    {"F16", StoredAs::kHalf, 1, 2},
    {"BF16", StoredAs::kBFloat16, 1, 2},
    {"F8_E4M3", StoredAs::kFloat8E4M3, 1, 1},
    {"F8_E5M2", StoredAs::kFloat8E5M2, 1, 1},
    blocks<q8_0, 32, 34>("Q8_0"),
    blocks<small_block<false, false>, 32, 18>("Q4_0"),
    blocks<small_block<true, false>, 32, 20>("Q4_1"),
    blocks<small_block<false, true>, 32, 22>("Q5_0"),
    blocks<small_block<true, true>, 32, 24>("Q5_1"),
    blocks<q2_k, 256, 84>("Q2_K"),
    blocks<q3_k, 256, 110>("Q3_K"),
    blocks<q4_or_5_k<false>, 256, 144>("Q4_K"),
    blocks<q4_or_5_k<true>, 256, 176>("Q5_K"),
    blocks<q6_k, 256, 210>("Q6_K"),
};

}  // namespace

const StoredFormat* stored_format(std::string_view name) {
  for (const StoredFormat& format : kFormats)
    if (format.name == name) return &format;
  return nullptr;
}

}  // namespace bestreel
