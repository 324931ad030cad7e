// Finding added tokens in text before anything else happens to it. Private to `formats`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/nn/tokenizer/regex.h"

namespace bestreel {

struct AddedToken {
  std::int64_t id = 0;
  std::string content;
  bool special = false;      ///< left out when decoding
  bool normalized = false;   ///< searched in normalised text
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space on its left with it
  bool rstrip = false;
};

/// Leftmost, then longest, as the Aho-Corasick automaton of `tokenizers`.
class AddedTokenFinder {
 public:
  /// `pattern` is what is searched for: the token's content, normalised where it asks for that.
  void add(const AddedToken& token, const std::string& pattern);

  struct Part {
    std::string_view text;
    const AddedToken* token = nullptr;  ///< nullptr: ordinary text
  };
  /// The parts of valid UTF-8, in order.
  std::vector<Part> split(std::string_view text) const;

 private:
  /// The longest token that starts at `position`, and its end.
  const AddedToken* longest(std::string_view text, std::size_t position, std::size_t& end) const;
  bool touches_word(std::string_view text, std::size_t begin, std::size_t end) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;   // node << 8 | byte -> node
  std::unordered_map<std::uint32_t, std::size_t> token_of_;  // node -> index in tokens_
  std::uint32_t nodes_ = 1;                                  // 0 is the root
  // The \w of Rust's regex, which the reference asks here: Oniguruma's own lacks the two joiners.
  Regex word_{"[\\w\\x{200C}\\x{200D}]", "the built-in word pattern"};
};

}  // namespace bestreel
