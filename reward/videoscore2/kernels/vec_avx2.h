// Registers of 8 floats. No include guard: included inside each kernel file's anonymous namespace.
#define KERNEL __attribute__((target("avx2,fma,f16c")))
#define INLINE KERNEL __attribute__((always_inline)) inline

using Vec = __m256;
constexpr int kLanes = 8;

template <typename T>
INLINE void pin([[maybe_unused]] T& value) {
  asm("" : "+v"(value));
}
INLINE Vec zero() { return _mm256_setzero_ps(); }
INLINE Vec load(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
INLINE Vec broadcast(float value) { return _mm256_set1_ps(value); }
INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
INLINE Vec plus(Vec a, Vec b) { return _mm256_add_ps(a, b); }
INLINE Vec minus(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
INLINE Vec at_least(Vec low, Vec v) { return _mm256_max_ps(low, v); }  // NaN stays
INLINE Vec times_power_of_two(Vec v, Vec shifted) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v),
                                              _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
INLINE Vec widen_bf16(const std::uint16_t* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
INLINE Vec times(Vec a, float b) { return _mm256_mul_ps(a, _mm256_set1_ps(b)); }
INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vec widen_f16(const char* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
INLINE Vec widen_i8(const char* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
INLINE Vec widen_even(const char* p) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), 16));
}
INLINE Vec widen_odd(const char* p) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                       _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
}
template <int kLevel>
INLINE void prefetch(const char* p, std::int64_t ahead) {
  // As an integer: it may point past the weights, where asking is harmless.
  const auto at = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead);
  __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 4 - kLevel);
}
INLINE float sum(Vec v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
