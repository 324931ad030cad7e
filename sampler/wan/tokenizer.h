// UMT5's unigram tokenizer, from spiece.model. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel::wan {

/// Equal to transformers' T5TokenizerFast with add_special_tokens and truncation, except that text
/// is only ever text: "</s>" inside a prompt is not the end mark. Immutable after opening.
class BESTREEL_API PromptTokenizer {
 public:
  /// `folder` holds spiece.model. Errors: "checkpoint_missing", "tokenizer_malformed",
  /// "tokenizer_unsupported" (a tokenizer.json beside it that says otherwise).
  static PromptTokenizer open(const std::string& folder);

  /// ids with the end mark, at most `limit` of them; never empty.
  std::vector<std::int64_t> encode(std::string_view text, std::int64_t limit) const;
  /// How many ids the text would have without a limit.
  std::int64_t length(std::string_view text) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bestreel::wan
