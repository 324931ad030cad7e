// What tokenizer.json and spiece.model are read into. Torch-free. Private.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sampler/wan/tokenizer.h"
#include "sampler/wan/unigram.h"

namespace bestreel::wan {

/// A token that is looked for in the text before the model sees it.
struct PromptToken {
  std::string content;
  bool normalized = false;              ///< looked for after normalisation
  bool lstrip = false, rstrip = false;  ///< takes the white space beside it along
  std::int64_t id = 0;                  ///< set by add()
};

enum class Prepend : std::uint8_t { kNever, kFirst, kAlways };

/// A step between normalisation and the model: cuts at white space, or marks words with U+2581.
struct PreTokenizer {
  bool whitespace_split = false;  ///< else Metaspace
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

struct PromptTokenizer::Impl {
  std::string file;  ///< for errors
  Unigram model;
  std::vector<std::function<std::string(std::string)>> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::vector<PromptToken> added;
  std::vector<std::int64_t> before, after;  ///< of the template, around the text

  std::string normalize(std::string text) const;
  /// Its id is the model's, or the next one after all, whatever a file says: so the library has it.
  void add(PromptToken token);
  std::vector<std::int64_t> text_ids(std::string_view text) const;
};

namespace parts {

constexpr std::string_view kSpace = "\u2581";  // SentencePiece's mark of a space

std::function<std::string(std::string)> character_map(std::string_view bytes,
                                                      const std::string& file);
std::function<std::string(std::string)> strip(bool left, bool right);
/// `spaces`: runs of two and more spaces; else the text itself is looked for.
std::function<std::string(std::string)> replace(std::string what, bool spaces, std::string with);

void read_tokenizer_json(const std::string& file, PromptTokenizer::Impl& tokenizer);
struct SentencePieceOptions {
  Prepend prepend = Prepend::kAlways;
  std::int64_t extra_ids = 0;
};
void read_sentencepiece(std::string_view bytes, const std::string& file,
                        const SentencePieceOptions& options, PromptTokenizer::Impl& tokenizer);

}  // namespace parts
}  // namespace bestreel::wan
