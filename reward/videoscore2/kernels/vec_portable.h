// Registers of 4 floats in the compilers' own vector types: SSE2, NEON, or plain scalars. No
// include guard: included inside each kernel file's anonymous namespace.
#define KERNEL
#define INLINE __attribute__((always_inline)) inline

using Vec = float __attribute__((vector_size(16)));
using Ints = std::int32_t __attribute__((vector_size(16)));
using Words = std::uint32_t __attribute__((vector_size(16)));
constexpr int kLanes = 4;

template <typename T>
INLINE T read(const void* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof(value));
  return value;
}

template <typename T>
INLINE void pin([[maybe_unused]] T& value) {}
INLINE Vec zero() { return Vec{}; }
INLINE Vec load(const void* p) { return read<Vec>(p); }
INLINE Vec broadcast(float value) { return Vec{value, value, value, value}; }
INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof(v)); }
INLINE Vec plus(Vec a, Vec b) { return a + b; }
INLINE Vec minus(Vec a, Vec b) { return a - b; }
INLINE Vec at_least(Vec low, Vec v) { return v < low ? low : v; }  // NaN stays
INLINE Vec times_power_of_two(Vec v, Vec shifted) {
  return std::bit_cast<Vec>(std::bit_cast<Words>(v) + (std::bit_cast<Words>(shifted) << 23));
}
INLINE Vec widen_bf16(const std::uint16_t* p) {
  using Halves = std::uint16_t __attribute__((vector_size(8)));
  return std::bit_cast<Vec>(__builtin_convertvector(read<Halves>(p), Words) << 16);
}
INLINE Vec times(Vec a, float b) { return a * b; }
INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
#ifdef __FP_FAST_FMAF  // one rounding where the processor has it; never a library call
  Vec d;
  for (int i = 0; i < kLanes; ++i) d[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return d;
#else
  return a * b + c;
#endif
}
INLINE Vec widen_f16(const char* p) {
  using Halves = std::uint16_t __attribute__((vector_size(8)));
  const Words h = __builtin_convertvector(read<Halves>(p), Words);
  // The exponent and mantissa moved into place are the value times 2^-112, subnormal ones included;
  // infinity and NaN then need their exponent filled.
  const Vec magnitude = std::bit_cast<Vec>((h & 0x7FFF) << 13) * 0x1p112f;
  const Words special = std::bit_cast<Words>((h & 0x7C00) == 0x7C00) & 0x7F800000u;
  return std::bit_cast<Vec>(std::bit_cast<Words>(magnitude) | special | (h & 0x8000) << 16);
}
INLINE Vec widen_i8(const char* p) {
  using Bytes = std::int8_t __attribute__((vector_size(4)));
  return __builtin_convertvector(__builtin_convertvector(read<Bytes>(p), Ints), Vec);
}
INLINE Vec widen_even(const char* p) { return std::bit_cast<Vec>(read<Words>(p) << 16); }
INLINE Vec widen_odd(const char* p) { return std::bit_cast<Vec>(read<Words>(p) & 0xFFFF0000u); }
template <int kLevel>
INLINE void prefetch(const char* p, std::int64_t ahead) {
  // As an integer: it may point past the weights, where asking is harmless.
  const auto at = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead);
  __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 4 - kLevel);
}
INLINE float sum(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }
