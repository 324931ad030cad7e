// Byte pair encoding of one piece of text. Private to `formats`.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bestreel {

/// Merges neighbours, lowest rank first and leftmost first among equals, until none is left: with a
/// heap and a linked list, so a piece of n bytes takes O(n log n). Immutable once filled.
class Bpe {
 public:
  static constexpr std::int64_t kNone = -1;

  /// The token of a single byte; kNone where the vocabulary lacks it.
  std::array<std::int64_t, 256> byte_ids{};

  /// A later merge of the same pair replaces the earlier one, as in `tokenizers`.
  void add_merge(std::uint32_t left, std::uint32_t right, std::uint32_t rank, std::uint32_t merged);

  /// Appends the ids of `piece`. Returns false, and appends nothing, where a byte has no token.
  bool encode(std::string_view piece, std::vector<std::int64_t>& ids) const;

 private:
  struct Merge {
    std::uint32_t rank, id;
  };
  struct Symbol;

  const Merge* find(std::int64_t left, std::int64_t right) const;

  std::unordered_map<std::uint64_t, Merge> merges_;  // left << 32 | right
};

}  // namespace bestreel
