#include "sampler/wan/unigram.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/fail.h"

namespace bestreel::wan {
namespace {

constexpr double kUnknownPenalty = 10;  // below the least probable piece

/// Bytes of the character that starts with `lead`.
std::size_t width_of(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

std::size_t width_at(std::string_view text, std::size_t at) {
  return std::min(width_of(text[at]), text.size() - at);
}

}  // namespace

Unigram::Unigram(std::vector<Piece> pieces, std::optional<std::int64_t> unknown, bool byte_fallback,
                 const std::string& file)
    : pieces_(std::move(pieces)), unknown_(unknown), byte_fallback_(byte_fallback), file_(file) {
  double least = std::numeric_limits<double>::infinity();
  ids_.reserve(pieces_.size());
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    if (!std::isfinite(piece.score))
      fail("tokenizer_malformed", "tokenizer", "{}: the score of piece {} is not finite", file, i);
    least = std::min(least, piece.score);
    if (piece.text.empty()) continue;
    longest_ = std::max(longest_, piece.text.size());
    ids_[piece.text] = static_cast<std::int64_t>(i);  // of two equal pieces the last counts
  }
  if (pieces_.empty() || (unknown_ && (*unknown_ < 0 || *unknown_ >= size())))
    fail("tokenizer_malformed", "tokenizer",
         "{}: the vocabulary must hold the unknown piece, but its id {} is none of {}", file,
         unknown_.value_or(-1), pieces_.size());
  unknown_score_ = least - kUnknownPenalty;
}

std::optional<std::int64_t> Unigram::id(std::string_view piece) const {
  const auto at = ids_.find(piece);
  return at == ids_.end() ? std::nullopt : std::optional(at->second);
}

void Unigram::encode(std::string_view text, std::vector<std::int64_t>& ids) const {
  struct Best {
    double score = 0;
    std::int64_t id = 0;
    std::size_t from = std::string_view::npos;
  };
  const auto unknown = [&]() -> std::int64_t {
    if (!unknown_)
      fail("tokenizer_malformed", "tokenizer",
           "{} names no unknown piece, and a part of the prompt is in no other", file_);
    return *unknown_;
  };
  std::vector<Best> best(text.size() + 1);  // the best way to each position
  for (std::size_t at = 0; at < text.size();) {
    const double here = best[at].score;
    const std::size_t width = width_at(text, at);
    const auto offer = [&](std::size_t end, double score, std::int64_t id) {
      if (best[end].from == std::string_view::npos || score > best[end].score)
        best[end] = {score, id, at};
    };
    bool whole_character = false;
    const std::size_t most = std::min(longest_, text.size() - at);
    for (std::size_t length = width; length <= most;
         length += at + length < text.size() ? width_at(text, at + length) : 1) {
      const auto piece = ids_.find(text.substr(at, length));
      if (piece == ids_.end()) continue;
      offer(at + length, here + pieces_[static_cast<std::size_t>(piece->second)].score,
            piece->second);
      whole_character = whole_character || length == width;
    }
    if (!whole_character) offer(at + width, here + unknown_score_, unknown());
    at += width;
  }
  // Back from the end; unknown neighbours are one.
  std::vector<std::string_view> pieces;
  bool joins = false;
  for (std::size_t end = text.size(); end > 0;) {
    const Best& node = best[end];
    const bool is_unknown = unknown_ && node.id == *unknown_;
    if (is_unknown && joins) {
      const std::string_view later = pieces.back();
      pieces.back() = text.substr(node.from, end - node.from + later.size());
    } else {
      pieces.push_back(text.substr(node.from, end - node.from));
    }
    joins = is_unknown;
    end = node.from;
  }
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    if (const auto known = id(*piece)) {
      ids.push_back(*known);
      continue;
    }
    std::vector<std::int64_t> bytes;
    for (const char byte : *piece) {
      const auto known = byte_fallback_
                             ? id(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)))
                             : std::nullopt;
      if (!known) break;
      bytes.push_back(*known);
    }
    if (bytes.size() == piece->size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    } else {
      ids.push_back(unknown());
    }
  }
}

CharacterMap::CharacterMap(std::string_view bytes, const std::string& file) {
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (int i = 3; i >= 0; --i)
      value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
    return value;
  };
  const std::size_t size = bytes.size() < 4 ? 0 : word(0);
  if (bytes.size() < 4 || size % 4 != 0 || size == 0 || size > bytes.size() - 4)
    fail("tokenizer_malformed", "tokenizer",
         "{}: its precompiled_charsmap must start with the size of its trie but has {} bytes: "
         "download it again",
         file, bytes.size());
  for (std::size_t at = 4; at < 4 + size; at += 4) trie_.push_back(word(at));
  texts_ = bytes.substr(4 + size);
}

// Of the prefixes of `chunk` in the map the shortest; it stands for the whole chunk. So the library
// does it, and vocabularies are trained with it.
std::optional<std::string_view> CharacterMap::replacement(std::string_view chunk) const {
  const auto offset = [](std::uint32_t unit) {
    return static_cast<std::size_t>(unit >> 10) << ((unit & (1U << 9)) >> 6);
  };
  std::size_t at = offset(trie_[0]);
  for (const char c : chunk) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    at ^= byte;
    if (at >= trie_.size()) break;
    const std::uint32_t unit = trie_[at];
    if ((unit & (1U << 31 | 0xFFU)) != byte) break;
    at ^= offset(unit);
    if ((unit >> 8 & 1U) == 0) continue;
    if (at >= trie_.size()) break;
    const std::size_t begin = trie_[at] & ((1U << 31) - 1);
    if (begin >= texts_.size()) break;
    return std::string_view(texts_).substr(
        begin, std::min(texts_.find('\0', begin), texts_.size()) - begin);
  }
  return std::nullopt;
}

std::string CharacterMap::apply(std::string_view text) const {
  std::string out;
  const auto one = [&](std::string_view part) {
    const auto found = replacement(part);
    out += found ? *found : part;
  };
  const auto cluster = [&](std::string_view part) {
    if (part.size() < 6) {
      if (const auto found = replacement(part)) {
        out += *found;
        return;
      }
    }
    for (std::size_t at = 0; at < part.size(); at += width_at(part, at))
      one(part.substr(at, width_at(part, at)));
  };
  std::size_t begin = 0;
  utf8proc_int32_t state = 0, before = -1;
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t point = 0;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at;
    const utf8proc_ssize_t width =
        utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &point);
    if (before >= 0 && utf8proc_grapheme_break_stateful(before, point, &state)) {
      cluster(text.substr(begin, at - begin));
      begin = at;
    }
    before = point;
    at += width > 0 ? static_cast<std::size_t>(width) : 1;
  }
  cluster(text.substr(begin));
  return out;
}

}  // namespace bestreel::wan
