#include "sampler/wan/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <filesystem>

#include "core/base/fail.h"

namespace bestreel::wan {

struct PromptTokenizer::Impl {
  sentencepiece::SentencePieceProcessor model;
};

PromptTokenizer PromptTokenizer::open(const std::string& folder) {
  const std::string path = folder + "/spiece.model";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("checkpoint_missing", "checkpoint",
         "{} is missing: download the folder tokenizer again (tokenizer.json alone is not enough)",
         path);
  auto impl = std::make_shared<Impl>();
  if (const auto status = impl->model.Load(path); !status.ok())
    fail("tokenizer_malformed", "tokenizer",
         "{} must be a sentencepiece model but is not ({}): download it again", path,
         status.ToString());
  if (impl->model.eos_id() < 0)
    fail("tokenizer_malformed", "tokenizer",
         "{} must define an end mark (</s>) but does not: use the tokenizer of this checkpoint",
         path);
  PromptTokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

std::vector<std::int64_t> PromptTokenizer::encode(std::string_view text, std::int64_t limit) const {
  std::vector<int> pieces;
  if (const auto status = impl_->model.Encode(text, &pieces); !status.ok())
    fail("tokenizer_malformed", "tokenizer", "the prompt could not be split into tokens ({})",
         status.ToString());
  const auto kept = std::min<std::size_t>(pieces.size(), static_cast<std::size_t>(limit - 1));
  std::vector<std::int64_t> ids(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(kept));
  ids.push_back(impl_->model.eos_id());
  return ids;
}

std::int64_t PromptTokenizer::length(std::string_view text) const {
  std::vector<int> pieces;
  return impl_->model.Encode(text, &pieces).ok() ? static_cast<std::int64_t>(pieces.size()) + 1 : 1;
}

}  // namespace bestreel::wan
