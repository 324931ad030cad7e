// The kernels of skinny_gemm(), written once for every instruction set. No include guard: each
// skinny_gemm_<isa>.cpp includes it after it has defined
//
//   KERNEL, INLINE      function attributes that allow the instructions; INLINE also inlines
//   Vec, kLanes         a register of floats and how many it holds
//   kColumns            rows of x that one block takes, at most 8
//   block_rows(columns) rows of W that a block of so many columns takes: what the registers hold
//   zero, load, multiply_add, times, sum, prefetch
//   pin                 keeps a value in its register, where a compiler would read it again
//                       from memory for every use
//   widen_<element>     a register of weights from memory; widen_even, widen_odd for bfloat16
//
// A block keeps one register of partial sums per output. Lane l of it sums the products of columns
// that are l modulo the width, in increasing order; the lanes are added in a fixed tree. Nothing
// else enters an output's order, so blocks of every size and every split over threads agree.

/// A line of weights is 64 bytes: a step of every block.
constexpr std::int64_t kLine = 64;

/// Bytes ahead at which the weights of a row are asked for: hardware prefetchers restart at every
/// page and every row. Much more and the first-level cache has lost them again when they are used.
constexpr std::int64_t kAhead = 512;

/// Many rows of x are too much for the first-level cache, and its fills from the second then
/// compete with those of W from memory. So the blocks of kPanel rows of W take turns of kTurn lines
/// each, their sums resting in between: a turn's part of x is used by all of them, and W is asked
/// for a turn ahead, into the second-level cache. Measured on Zen 4: 1.4 times the speed at 8 rows.
constexpr int kPanel = 24;
constexpr std::int64_t kTurn = 16;
constexpr int kTurnColumns = kColumns > 4 ? 5 : 4;  // from so many rows of x on

/// Weights widened to float32.
template <Element E>
struct Widened {
  using Factor = float;  ///< of packed x
  using Operand = Vec;
  static constexpr std::int64_t kBytes = E == Element::kFloat32 ? 4 : E == Element::kInt8 ? 1 : 2;
  static constexpr bool kScaled = E == Element::kInt8;
  static constexpr int kParts = kLine / (kBytes * kLanes);
  static constexpr std::int64_t kFactorBytes = kLanes * sizeof(float);

  INLINE static Vec operand(const char* line, int part, const float* scale) {
    if constexpr (E == Element::kFloat32) return load(line + part * kFactorBytes);
    if constexpr (E == Element::kFloat16) return widen_f16(line + part * (kLanes * 2));
    if constexpr (E == Element::kInt8) return times(widen_i8(line + part * kLanes), *scale);
    // Two bfloat16 in every 32 bits: the high one needs a mask, the low one a shift, and neither a
    // shuffle.
    const char* pairs = line + part / 2 * (kLanes * 4);
    return part % 2 == 0 ? widen_even(pairs) : widen_odd(pairs);
  }
  INLINE static Vec factor(const char* x) { return load(x); }
  INLINE static Vec fma(Vec w, Vec x, Vec sum) { return multiply_add(w, x, sum); }
  INLINE static void arrange(const float* line, float* to) {
    constexpr int kUnit = kLine / kBytes;
    if constexpr (E != Element::kBFloat16) {
      for (int i = 0; i < kUnit; ++i) to[i] = line[i];
    } else {
      for (int begin = 0; begin < kUnit; begin += 2 * kLanes)
        for (int i = 0; i < kLanes; ++i) {
          to[begin + i] = line[begin + 2 * i];
          to[begin + kLanes + i] = line[begin + 2 * i + 1];
        }
    }
  }
};

template <typename W, int R, int C>
struct Sums {
  Vec of[R][C];
};

/// One line of each of R rows of W, times the C packed rows of x.
template <typename W, int R, int C>
INLINE void step(Sums<W, R, C>& sums, const char* const (&w)[R], const char* x,
                 const float* const (&scale)[R]) {
#pragma GCC unroll 8
  for (int part = 0; part < W::kParts; ++part) {
    typename W::Operand operands[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) operands[r] = W::operand(w[r], part, scale[r]);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      typename W::Operand factor = W::factor(x + (c * W::kParts + part) * W::kFactorBytes);
      pin(factor);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sums.of[r][c] = W::fma(operands[r], factor, sums.of[r][c]);
    }
  }
}

/// Where a block of W starts and what belongs to it.
template <typename W>
struct Source {
  const char* weight;
  const float* scale;
  std::int64_t row_bytes, lines;     ///< of a row; its whole lines
  std::int64_t groups, group_lines;  ///< scales of a row, and whole lines for which one holds

  KERNEL Source(const SkinnyGemm& p, std::int64_t row)
      : row_bytes(p.in * W::kBytes),
        lines(row_bytes / kLine),
        groups(W::kScaled ? (p.in + p.group - 1) / p.group : 0),
        group_lines(W::kScaled ? p.group * W::kBytes / kLine : lines + 1) {
    weight = static_cast<const char*>(p.weight) + row * row_bytes;
    scale = W::kScaled ? p.scale + row * groups : nullptr;
  }
};

/// Lines [line, end) of R rows of W. `ahead` bytes further on lies what is asked for, into cache
/// level kLevel.
template <int kLevel, typename W, int R, int C>
INLINE void lines(Sums<W, R, C>& sums, const Source<W>& source, const char* x, std::int64_t line,
                  std::int64_t end, std::int64_t ahead) {
  constexpr std::int64_t kFactors = W::kParts * W::kFactorBytes * C;
  const char* w[R];
  const float* scale[R];
  const std::int64_t group = W::kScaled ? line / source.group_lines : 0;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    w[r] = source.weight + r * source.row_bytes + line * kLine;
    scale[r] = W::kScaled ? source.scale + r * source.groups + group : nullptr;
  }
  x += line * kFactors;
  while (line < end) {
    std::int64_t stop = end;
    if constexpr (W::kScaled) {
      const std::int64_t next = (line / source.group_lines + 1) * source.group_lines;
      stop = next < end ? next : end;
    }
    for (; line < stop; ++line) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) prefetch<kLevel>(w[r], ahead);
      step<W, R, C>(sums, w, x, scale);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) w[r] += kLine;
      x += kFactors;
    }
    if constexpr (W::kScaled)
      if (line % source.group_lines == 0)
        for (int r = 0; r < R; ++r) ++scale[r];
  }
}

/// What follows the last whole line, the lanes' sum, bias and rounding.
template <typename W, int R, int C>
KERNEL void finish(Sums<W, R, C> sums, const SkinnyGemm& p, const char* x, std::int64_t row,
                   std::int64_t column) {
  const Source<W> source(p, row);
  const std::int64_t done = source.lines * kLine, rest = source.row_bytes - done;
  if (rest > 0) {
    alignas(64) char padded[R][kLine] = {};
    const char* last[R];
    const float* scale[R];
    for (int r = 0; r < R; ++r) {
      const char* from = source.weight + r * source.row_bytes + done;
      for (std::int64_t i = 0; i < rest; ++i) padded[r][i] = from[i];
      last[r] = padded[r];
      scale[r] = W::kScaled ? source.scale + (r + 1) * source.groups - 1 : nullptr;
    }
    step<W, R, C>(sums, last, x + source.lines * (W::kParts * W::kFactorBytes * C), scale);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      const std::int64_t o = row + r;
      float y = sum(sums.of[r][c]);
      if (p.activations == Element::kFloat32) {
        if (p.bias != nullptr) y += static_cast<const float*>(p.bias)[o];
        static_cast<float*>(p.y)[(column + c) * p.out + o] = y;
      } else {
        if (p.bias != nullptr) y += from_bf16(static_cast<const std::uint16_t*>(p.bias)[o]);
        static_cast<std::uint16_t*>(p.y)[(column + c) * p.out + o] = to_bf16(y);
      }
    }
}

template <typename W, int R, int C>
INLINE void clear(Sums<W, R, C>& sums) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) sums.of[r][c] = zero();
}

/// R rows of W to their end.
template <typename W, int R, int C>
KERNEL void block(const SkinnyGemm& p, const char* x, std::int64_t row, std::int64_t column) {
  const Source<W> source(p, row);
  Sums<W, R, C> sums;
  clear(sums);
  // The lines before a row's end ask for the next block's.
  const std::int64_t turn = source.lines > kAhead / kLine ? source.lines - kAhead / kLine : 0;
  lines<1, W, R, C>(sums, source, x, 0, turn, kAhead);
  lines<1, W, R, C>(sums, source, x, turn, source.lines, kAhead + (R - 1) * source.row_bytes);
  finish<W, R, C>(sums, p, x, row, column);
}

/// kTurn lines of each block of a panel in turn.
template <typename W, int R, int C>
KERNEL void turn(Sums<W, R, C>* sums, const SkinnyGemm& p, const char* x, std::int64_t row,
                 std::int64_t line) {
  for (int b = 0; b < kPanel / R; ++b) {
    const Source<W> source(p, row + b * R);
    const std::int64_t end = line + kTurn < source.lines ? line + kTurn : source.lines;
    // Asked for is the next turn or, in the last, the next panel's first.
    const std::int64_t ahead =
        end < source.lines ? kTurn * kLine : kPanel * source.row_bytes - line * kLine;
    Sums<W, R, C> mine = sums[b];
    lines<2, W, R, C>(mine, source, x, line, end, ahead);
    sums[b] = mine;
  }
}

template <typename W, int C>
KERNEL void rows(const Packed& packed, const char* x, std::int64_t begin, std::int64_t end,
                 std::int64_t column) {
  const SkinnyGemm& p = packed.product;
  constexpr int kRows = block_rows(C);
  if constexpr (kPanel % kRows == 0 && C >= kTurnColumns) {
    const std::int64_t last = p.in * W::kBytes / kLine;
    for (; begin + kPanel <= end; begin += kPanel) {
      Sums<W, kRows, C> sums[kPanel / kRows];
      for (auto& s : sums) clear(s);
      for (std::int64_t line = 0; line < last; line += kTurn)
        turn<W, kRows, C>(sums, p, x, begin, line);
      for (int b = 0; b < kPanel / kRows; ++b)
        finish<W, kRows, C>(sums[b], p, x, begin + b * kRows, column);
    }
  }
  for (; begin + kRows <= end; begin += kRows) block<W, kRows, C>(p, x, begin, column);
  if constexpr (kRows > 1)
    for (; begin < end; ++begin) block<W, 1, C>(p, x, begin, column);
}

template <typename W>
KERNEL void run(const Packed& packed, std::int64_t begin, std::int64_t end) {
  const SkinnyGemm& p = packed.product;
  // With more rows of x than a block takes, some rows of W stay in the second-level cache for them.
  const std::int64_t fits = (384 << 10) / (p.in * W::kBytes + 1) / kPanel * kPanel;
  const std::int64_t panel = p.rows <= kColumns ? end - begin : (fits > 0 ? fits : kPanel);
  for (std::int64_t from = begin; from < end; from += panel) {
    const std::int64_t to = end - from < panel ? end : from + panel;
    for (std::int64_t column = 0; column < p.rows; column += kColumns) {
      const char* x =
          static_cast<const char*>(packed.x) +
          column * packed.padded * static_cast<std::int64_t>(sizeof(typename W::Factor));
      switch (p.rows - column < kColumns ? p.rows - column : kColumns) {
        case 1:
          rows<W, 1>(packed, x, from, to, column);
          break;
        case 2:
          rows<W, 2>(packed, x, from, to, column);
          break;
        case 3:
          rows<W, 3>(packed, x, from, to, column);
          break;
        case 4:
          rows<W, 4>(packed, x, from, to, column);
          break;
        case 5:
          if constexpr (kColumns > 4) rows<W, 5>(packed, x, from, to, column);
          break;
        case 6:
          if constexpr (kColumns > 4) rows<W, 6>(packed, x, from, to, column);
          break;
        case 7:
          if constexpr (kColumns > 4) rows<W, 7>(packed, x, from, to, column);
          break;
        case 8:
          if constexpr (kColumns > 4) rows<W, 8>(packed, x, from, to, column);
          break;
      }
    }
  }
}

INLINE void activation(const SkinnyGemm& p, std::int64_t i, float& to) {
  to = p.activations == Element::kFloat32 ? static_cast<const float*>(p.x)[i]
                                          : from_bf16(static_cast<const std::uint16_t*>(p.x)[i]);
}

INLINE void activation(const SkinnyGemm& p, std::int64_t i, std::uint16_t& to) {
  to = static_cast<const std::uint16_t*>(p.x)[i];
}

/// Rows of x side by side, line by line of the weights, in the order of W's parts.
template <typename W>
KERNEL void pack(const SkinnyGemm& p, std::int64_t padded, void* packed) {
  using Factor = typename W::Factor;
  constexpr std::int64_t kUnit = kLine / W::kBytes;
  auto* to = static_cast<Factor*>(packed);
  for (std::int64_t first = 0; first < p.rows; first += kColumns) {
    const std::int64_t columns = p.rows - first < kColumns ? p.rows - first : kColumns;
    for (std::int64_t begin = 0; begin < padded; begin += kUnit) {
      const std::int64_t size = p.in - begin < kUnit ? p.in - begin : kUnit;
      for (std::int64_t c = first; c < first + columns; ++c, to += kUnit) {
        Factor line[kUnit] = {};
        for (std::int64_t i = 0; i < size; ++i) activation(p, c * p.in + begin + i, line[i]);
        W::arrange(line, to);
      }
    }
  }
}

template <typename W>
Kernels kernels() {
  return {kLine / W::kBytes, sizeof(typename W::Factor), pack<W>, run<W>};
}

[[maybe_unused]] Kernels widened_kernels(Element weights) {
  switch (weights) {
    case Element::kFloat32:
      return kernels<Widened<Element::kFloat32>>();
    case Element::kBFloat16:
      return kernels<Widened<Element::kBFloat16>>();
    case Element::kFloat16:
      return kernels<Widened<Element::kFloat16>>();
    case Element::kInt8:
      return kernels<Widened<Element::kInt8>>();
  }
  return {};
}
