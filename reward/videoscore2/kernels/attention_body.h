// One block of attend(), written once for every instruction set. No include guard: each
// attention_<isa>.cpp includes it behind a vec_<isa>.h and
//
//   kWide  registers of a value that are summed at a time for kHeads query heads
//
// Every product sums over the head in registers, lanes added in a fixed tree; every output adds the
// positions one by one. How heads are grouped in registers and where parts begin changes no order.

constexpr int kHeads = 4;

template <Element E>
INLINE Vec widened(const void* p, std::int64_t i) {
  if constexpr (E == Element::kFloat32) return load(static_cast<const float*>(p) + i);
  return widen_bf16(static_cast<const std::uint16_t*>(p) + i);
}

/// `size` elements at p, or a copy with zeros behind them.
template <Element E>
INLINE const void* whole(const void* p, std::int64_t size, std::int64_t padded, void* copy) {
  if (size == padded) return p;
  const std::int64_t bytes = size * (E == Element::kFloat32 ? 4 : 2);
  __builtin_memcpy(copy, p, static_cast<std::size_t>(bytes));
  return copy;
}

template <Element E>
INLINE const void* position(const void* data, std::int64_t i) {
  return static_cast<const char*>(data) + i * (E == Element::kFloat32 ? 4 : 2);
}

/// exp for x <= 0, to about one unit in the last place; below -87 as at -87, which no sum that
/// holds the exp of 0 notices. NaN stays NaN.
INLINE Vec exponential(Vec x) {
  x = at_least(broadcast(-87.0f), x);
  // Adding 1.5 * 2^23 leaves x / ln 2, rounded, in the low bits.
  const Vec shifted = multiply_add(x, broadcast(1.44269504f), broadcast(12582912.0f));
  const Vec n = minus(shifted, broadcast(12582912.0f));
  Vec r = multiply_add(n, broadcast(-0.693359375f), x);  // ln 2 in two parts: the first is exact
  r = multiply_add(n, broadcast(2.12194440e-4f), r);
  Vec y = broadcast(1.0f / 5040);
  y = multiply_add(y, r, broadcast(1.0f / 720));
  y = multiply_add(y, r, broadcast(1.0f / 120));
  y = multiply_add(y, r, broadcast(1.0f / 24));
  y = multiply_add(y, r, broadcast(1.0f / 6));
  y = multiply_add(y, r, broadcast(0.5f));
  y = multiply_add(y, r, broadcast(1.0f));
  y = multiply_add(y, r, broadcast(1.0f));
  return times_power_of_two(y, shifted);
}

template <Element E, int G>
KERNEL void products(const Block& b, std::int64_t head, const void* keys, std::int64_t count,
                     float* scores) {
  const std::int64_t size = b.shape->head;
  alignas(64) char copy[kMaxHead * 4] = {};
  for (std::int64_t t = 0; t < count; ++t) {
    const void* key = position<E>(keys, t * size);
    prefetch<1>(static_cast<const char*>(key), 2048);
    key = whole<E>(key, size, b.padded, copy);
    Vec sums[G];
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) sums[g] = zero();
    for (std::int64_t d = 0; d < b.padded; d += kLanes) {
      const Vec k = widened<E>(key, d);
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g)
        sums[g] = multiply_add(k, load(b.queries + (head + g) * b.padded + d), sums[g]);
    }
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) scores[g * kBlock + t] = sum(sums[g]);
  }
}

template <Element E, int G, int W>
KERNEL void mix(const Block& b, std::int64_t head, const void* values, std::int64_t first,
                std::int64_t count, const float* weights) {
  const std::int64_t size = b.shape->head;
  alignas(64) char copy[W * kLanes * 4];
  Vec sums[G][W];
#pragma GCC unroll 8
  for (int g = 0; g < G; ++g)
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w)
      sums[g][w] = load(b.out + (head + g) * b.padded + first + w * kLanes);
  const bool cut = first + W * kLanes > size;
  if (cut) __builtin_memset(copy, 0, sizeof(copy));
  for (std::int64_t t = 0; t < count; ++t) {
    const void* value = position<E>(values, t * size + first);
    if (cut) value = whole<E>(value, size - first, W * kLanes, copy);
    Vec v[W];
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) v[w] = widened<E>(value, w * kLanes);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      const Vec p = broadcast(weights[g * kBlock + t]);
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) sums[g][w] = multiply_add(v[w], p, sums[g][w]);
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < G; ++g)
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w)
      store(b.out + (head + g) * b.padded + first + w * kLanes, sums[g][w]);
}

/// Products, weights, then the weighted sum of values, part by part within the block.
template <Element E, int G>
KERNEL void heads(const Block& b, std::int64_t head) {
  alignas(64) float scores[G * kBlock];
  const std::int64_t length = b.end - b.begin;
  const std::int64_t head_size = b.shape->head;
  std::int64_t at = 0;
  for (const KvPart& part : b.row->parts) {
    const std::int64_t from = b.begin > at ? b.begin : at;
    const std::int64_t to = b.end < at + part.length ? b.end : at + part.length;
    if (from < to)
      products<E, G>(b, head,
                     position<E>(part.keys, b.kv_head * part.stride + (from - at) * head_size),
                     to - from, scores + (from - b.begin));
    at += part.length;
  }
  for (int g = 0; g < G; ++g) {
    float* s = scores + g * kBlock;
    float top = s[0];
    for (std::int64_t t = 1; t < length; ++t) top = s[t] > top ? s[t] : top;
    // The last register is made whole with products that count for nothing.
    for (std::int64_t t = length; t % kLanes != 0; ++t) s[t] = -__builtin_inff();
    Vec total = zero();
    for (std::int64_t t = 0; t < length; t += kLanes) {
      const Vec e = exponential(minus(load(s + t), broadcast(top)));
      store(s + t, e);
      total = plus(total, e);
    }
    b.top[head + g] = top;
    b.total[head + g] = sum(total);
    for (std::int64_t d = 0; d < b.padded; ++d) b.out[(head + g) * b.padded + d] = 0;
  }
  at = 0;
  for (const KvPart& part : b.row->parts) {
    const std::int64_t from = b.begin > at ? b.begin : at;
    const std::int64_t to = b.end < at + part.length ? b.end : at + part.length;
    if (from < to) {
      const void* values =
          position<E>(part.values, b.kv_head * part.stride + (from - at) * head_size);
      std::int64_t d = 0;
      for (; d + kWide * kLanes <= b.padded; d += kWide * kLanes)
        mix<E, G, kWide>(b, head, values, d, to - from, scores + (from - b.begin));
      for (; d < b.padded; d += kLanes)
        mix<E, G, 1>(b, head, values, d, to - from, scores + (from - b.begin));
    }
    at += part.length;
  }
}

template <Element E>
KERNEL void all_heads(const Block& b) {
  std::int64_t head = 0;
  for (; head + kHeads <= b.shape->group; head += kHeads) heads<E, kHeads>(b, head);
  switch (b.shape->group - head) {
    case 1:
      heads<E, 1>(b, head);
      break;
    case 2:
      heads<E, 2>(b, head);
      break;
    case 3:
      heads<E, 3>(b, head);
      break;
  }
}

KERNEL void block(const Block& b) {
  if (b.shape->cache == Element::kFloat32)
    all_heads<Element::kFloat32>(b);
  else
    all_heads<Element::kBFloat16>(b);
}
