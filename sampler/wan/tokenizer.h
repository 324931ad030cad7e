// UMT5's tokenizer, from tokenizer.json or spiece.model. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel::wan {

/// Equal to transformers' T5TokenizerFast with add_special_tokens and truncation, special tokens in
/// the text included: "</s>" inside a prompt is the end mark there, and so it is here. Immutable
/// after opening.
class BESTREEL_API PromptTokenizer {
 public:
  /// `path` is a folder with tokenizer.json, spiece.model or both, or one of these files. Of both
  /// tokenizer.json counts, but where tokenizer_config.json sets add_prefix_space: then the
  /// reference converts spiece.model again. Errors: "checkpoint_missing", "tokenizer_malformed",
  /// "tokenizer_unsupported" (a part of another kind of tokenizer, by name).
  static PromptTokenizer open(const std::string& path);

  /// From a SentencePiece model in memory, such as ComfyUI's text encoders hold; `name` names it in
  /// errors.
  static PromptTokenizer from_sentencepiece(std::string_view bytes, const std::string& name);

  /// ids with the end mark, at most `limit` of them; never empty.
  std::vector<std::int64_t> encode(std::string_view text, std::int64_t limit) const;
  /// How many ids the text would have without a limit.
  std::int64_t length(std::string_view text) const;

  struct Impl;

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bestreel::wan
