// SentencePiece's unigram model and its character map as the `tokenizers` library computes them.
// Torch-free. Private.
//
// Source: Kudo 2018, "Subword Regularization"; the library's Unigram and Precompiled.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bestreel::wan {

/// The most probable split of a text into pieces. Immutable: any thread may use it.
class Unigram {
 public:
  struct Piece {
    std::string text;
    double score = 0;  ///< log probability
  };

  Unigram() = default;
  /// `unknown` is the id of what no piece covers; `byte_fallback` spells that in pieces <0x00> to
  /// <0xFF> where the vocabulary has them. `file` names the vocabulary in errors
  /// ("tokenizer_malformed").
  Unigram(std::vector<Piece> pieces, std::optional<std::int64_t> unknown, bool byte_fallback,
          const std::string& file);

  std::int64_t size() const { return static_cast<std::int64_t>(pieces_.size()); }
  std::optional<std::int64_t> id(std::string_view piece) const;
  /// Appends the ids of valid UTF-8.
  void encode(std::string_view text, std::vector<std::int64_t>& ids) const;

 private:
  std::vector<Piece> pieces_;
  std::unordered_map<std::string_view, std::int64_t> ids_;  // views into pieces_
  std::optional<std::int64_t> unknown_;
  bool byte_fallback_ = false;
  double unknown_score_ = 0;
  std::size_t longest_ = 0;
  std::string file_;
};

/// The normalisation that a SentencePiece model carries with it ("precompiled_charsmap").
class CharacterMap {
 public:
  CharacterMap() = default;
  /// Error "tokenizer_malformed" for bytes that are no such map.
  CharacterMap(std::string_view bytes, const std::string& file);

  std::string apply(std::string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view chunk) const;

  std::vector<std::uint32_t> trie_;  // a double array
  std::string texts_;                // replacements, each ends in a zero
};

}  // namespace bestreel::wan
