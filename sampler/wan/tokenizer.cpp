#include "sampler/wan/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <filesystem>

#include "core/base/fail.h"
#include "core/base/json_file.h"

namespace bestreel::wan {

struct PromptTokenizer::Impl {
  sentencepiece::SentencePieceProcessor model;
};

namespace {

// transformers prefers tokenizer.json, where the space before the text can be switched off.
void require_leading_space(const std::string& path) {
  const nlohmann::json file = read_json(path);
  const auto part = file.find("pre_tokenizer");
  if (part == file.end() || !part->is_object()) return;
  for (const nlohmann::json& one : part->value("pretokenizers", nlohmann::json::array({*part})))
    if (one.value("type", "") == "Metaspace" && one.value("prepend_scheme", "always") == "never")
      fail("tokenizer_unsupported", "tokenizer",
           "{}: \"prepend_scheme\" must be always, as in spiece.model, but is never: set it, and "
           "delete add_prefix_space from tokenizer_config.json",
           path);
}

}  // namespace

PromptTokenizer PromptTokenizer::open(const std::string& folder) {
  const std::string path = folder + "/spiece.model";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("checkpoint_missing", "checkpoint",
         "{} is missing: download the folder tokenizer again (tokenizer.json alone is not enough)",
         path);
  if (const std::string json = folder + "/tokenizer.json"; std::filesystem::exists(json, ignored))
    require_leading_space(json);
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
