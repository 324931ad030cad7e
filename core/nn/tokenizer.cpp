#include "core/nn/tokenizer.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/base/json_file.h"
#include "core/nn/tokenizer/added_tokens.h"
#include "core/nn/tokenizer/bpe.h"
#include "core/nn/tokenizer/byte_level.h"
#include "core/nn/tokenizer/folder.h"
#include "core/nn/tokenizer/regex.h"
#include "core/nn/tokenizer/unicode.h"

namespace bestreel {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxId = 2'000'000;  // far above any vocabulary: bounds the id table

/// GPT-2's pattern, which a ByteLevel pre-tokenizer with use_regex stands for.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

template <typename... Args>
[[noreturn]] void malformed(const std::string& file, fmt::format_string<Args...> what,
                            Args&&... args) {
  fail("tokenizer_malformed", "tokenizer", "{} must be a tokenizer.json but {}: download it again",
       file, fmt::format(what, std::forward<Args>(args)...));
}

[[noreturn]] void unsupported(const std::string& file, const std::string& part,
                              const std::string& wanted) {
  fail("tokenizer_unsupported", "tokenizer",
       "{}: its {} must be {} (the byte-level BPE of the Qwen2 family): use a checkpoint of this "
       "family",
       file, part, wanted);
}

const json kNull;

const json& member(const json& object, const char* name) {
  if (!object.is_object()) return kNull;
  const auto at = object.find(name);
  return at == object.end() ? kNull : *at;
}

std::string type_of(const json& part) {
  const json& type = member(part, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

bool is_true(const json& value) { return value.is_boolean() && value.get<bool>(); }

/// The members of a Sequence, or the part itself; nothing for null.
std::vector<json> steps(const json& part, const char* list) {
  if (part.is_null()) return {};
  if (type_of(part) != "Sequence") return {part};
  const json& members = member(part, list);
  return members.is_array() ? members.get<std::vector<json>>() : std::vector<json>{json()};
}

/// A template that adds no token to a text.
bool is_text_alone(const json& step) {
  const json& single = member(step, "single");
  return type_of(step) == "TemplateProcessing" && single.is_array() && single.size() == 1 &&
         member(member(single[0], "Sequence"), "id") == "A";
}

struct TokenText {
  std::string bytes;
  bool known = false;
  bool added = false;
  bool special = false;
};

}  // namespace

struct Tokenizer::Impl {
  std::string file;
  std::string digest;
  std::unordered_map<std::string, std::int64_t> ids;  // as the file writes them ("Ġworld")
  std::vector<TokenText> tokens;                      // by id
  AddedTokenFinder raw, normalized;                   // searched before and after normalising
  bool nfc = false;
  std::vector<Regex> splits;
  Bpe bpe;

  explicit Impl(std::string name) : file(std::move(name)) {}

  void load(const json& root);
  void encode_ordinary(std::string_view normal, std::vector<std::int64_t>& out) const;
  std::string normalize(std::string_view text) const {
    return nfc ? bestreel::nfc(text) : std::string(text);
  }

 private:
  void load_pipeline(const json& root);
  void load_vocabulary(const json& model);
  void load_merges(const json& model);
  void load_added_tokens(const json& list);
  std::uint32_t merge_part(const std::string& token, std::size_t rank) const;
  TokenText& slot(std::int64_t id);

  std::unordered_set<std::int64_t> reachable_;  // ids that ordinary text can turn into
};

TokenText& Tokenizer::Impl::slot(std::int64_t id) {
  if (static_cast<std::size_t>(id) >= tokens.size()) {
    tokens.resize(static_cast<std::size_t>(id) + 1);
  }
  return tokens[static_cast<std::size_t>(id)];
}

void Tokenizer::Impl::load(const json& root) {
  if (!root.is_object()) malformed(file, "it holds no JSON object");
  const json& model = member(root, "model");
  if (!model.is_object()) malformed(file, "it holds no model");
  load_pipeline(root);
  load_vocabulary(model);
  load_merges(model);
  load_added_tokens(member(root, "added_tokens"));
}

/// `truncation` and `padding` are left aside: they are leftovers of a caller, which transformers
/// resets on every call.
void Tokenizer::Impl::load_pipeline(const json& root) {
  for (const json& step : steps(member(root, "normalizer"), "normalizers")) {
    if (type_of(step) != "NFC") unsupported(file, "normalizer", "NFC or null");
    nfc = true;
  }
  const std::vector<json> pre = steps(member(root, "pre_tokenizer"), "pretokenizers");
  for (std::size_t i = 0; i < pre.size(); ++i) {
    const bool last = i + 1 == pre.size();
    if (type_of(pre[i]) == "ByteLevel" && last) {
      if (is_true(member(pre[i], "add_prefix_space"))) {
        unsupported(file, "pre_tokenizer", "ByteLevel without add_prefix_space");
      }
      const json& use_regex = member(pre[i], "use_regex");  // true where the file is silent
      if (use_regex.is_null() || is_true(use_regex)) splits.emplace_back(kGpt2Pattern, file);
      continue;
    }
    const json& pattern = member(member(pre[i], "pattern"), "Regex");
    if (type_of(pre[i]) != "Split" || last || !pattern.is_string() ||
        member(pre[i], "behavior") != "Isolated" || is_true(member(pre[i], "invert"))) {
      unsupported(file, "pre_tokenizer",
                  "Split by a Regex (Isolated, not inverted), then ByteLevel");
    }
    splits.emplace_back(pattern.get<std::string>(), file);
  }
  if (pre.empty()) unsupported(file, "pre_tokenizer", "Split by a Regex, then ByteLevel");
  for (const json& step : steps(member(root, "post_processor"), "processors")) {
    if (type_of(step) != "ByteLevel" && !is_text_alone(step))
      unsupported(file, "post_processor", "ByteLevel, a template of the text alone, or null");
  }
  if (type_of(member(root, "decoder")) != "ByteLevel") unsupported(file, "decoder", "ByteLevel");
}

void Tokenizer::Impl::load_vocabulary(const json& model) {
  const std::string type = type_of(model);
  if (!type.empty() && type != "BPE") unsupported(file, "model", "BPE");
  const json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != 0.0) unsupported(file, "model.dropout", "null");
  for (const char* part : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json& value = member(model, part);
    if (!value.is_null() && value != "") unsupported(file, fmt::format("model.{}", part), "empty");
  }
  for (const char* part : {"byte_fallback", "ignore_merges"}) {
    if (is_true(member(model, part))) unsupported(file, fmt::format("model.{}", part), "false");
  }

  const json& vocab = member(model, "vocab");
  if (!vocab.is_object() || vocab.empty()) malformed(file, "its model holds no vocab");
  ids.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMaxId) {
      malformed(file, "the id of a token of its vocab is no whole number up to {}", kMaxId);
    }
    const auto id = value.get<std::int64_t>();
    TokenText& text = slot(id);
    if (text.known) malformed(file, "two tokens of its vocab have the id {}", id);
    text.known = true;
    text.bytes = bytes_of_token(token).value_or(token);
    ids.emplace(token, id);
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto at = ids.find(byte_characters()[byte]);
    bpe.byte_ids[byte] = at == ids.end() ? Bpe::kNone : at->second;
    if (at != ids.end()) reachable_.insert(at->second);
  }
  const bool all_bytes =
      std::find(bpe.byte_ids.begin(), bpe.byte_ids.end(), Bpe::kNone) == bpe.byte_ids.end();
  if (!all_bytes && !member(model, "unk_token").is_null()) {
    unsupported(file, "model.unk_token", "null, or its vocab must hold all 256 bytes");
  }
}

std::uint32_t Tokenizer::Impl::merge_part(const std::string& token, std::size_t rank) const {
  const auto at = ids.find(token);
  if (at == ids.end()) {
    malformed(file, "merge {} needs a token that its vocab lacks", rank);
  }
  return static_cast<std::uint32_t>(at->second);
}

void Tokenizer::Impl::load_merges(const json& model) {
  const json& merges = member(model, "merges");
  if (!merges.is_array()) malformed(file, "its model holds no merges");
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const json& merge = merges[rank];
    std::string left, right;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        malformed(file, "merge {} is not two tokens with a space between", rank);
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      malformed(file, "merge {} is no pair of tokens", rank);
    }
    const std::uint32_t merged = merge_part(left + right, rank);
    bpe.add_merge(merge_part(left, rank), merge_part(right, rank), static_cast<std::uint32_t>(rank),
                  merged);
    reachable_.insert(merged);
  }
}

void Tokenizer::Impl::load_added_tokens(const json& list) {
  if (list.is_null()) return;
  if (!list.is_array()) malformed(file, "its added_tokens are no list");
  for (const json& value : list) {
    const json& id = member(value, "id");
    const json& content = member(value, "content");
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxId || !content.is_string() ||
        content.get_ref<const std::string&>().empty()) {
      malformed(file, "one of its added_tokens lacks an id or a content");
    }
    AddedToken token{id.get<std::int64_t>(),
                     content.get<std::string>(),
                     is_true(member(value, "special")),
                     is_true(member(value, "normalized")),
                     is_true(member(value, "single_word")),
                     is_true(member(value, "lstrip")),
                     is_true(member(value, "rstrip"))};
    const auto at = ids.find(token.content);
    TokenText& text = slot(token.id);
    if (text.added || (at == ids.end() ? text.known : at->second != token.id)) {
      malformed(file, "the added token of id {} contradicts another token", token.id);
    }
    // Else encode_plain could hand out a control token for a user's text.
    if (token.special && reachable_.contains(token.id)) {
      malformed(file, "the special token of id {} is also what ordinary text turns into", token.id);
    }
    text = {token.content, true, true, token.special};
    ids.emplace(token.content, token.id);
    if (token.normalized) {
      normalized.add(token, normalize(token.content));
    } else {
      raw.add(token, token.content);
    }
  }
}

void Tokenizer::Impl::encode_ordinary(std::string_view normal,
                                      std::vector<std::int64_t>& out) const {
  std::vector<std::string_view> pieces{normal}, finer;
  for (const Regex& split : splits) {
    finer.clear();
    for (const std::string_view piece : pieces) {
      const auto parts = split.isolate(piece);
      finer.insert(finer.end(), parts.begin(), parts.end());
    }
    pieces.swap(finer);
  }
  for (const std::string_view piece : pieces) {
    if (!bpe.encode(piece, out)) {
      fail("tokenizer_malformed", "tokenizer",
           "{} lacks a token for a byte of the text {}: use a tokenizer.json whose vocab holds all "
           "256 bytes",
           file,
           json(std::string(piece.substr(0, 80)))
               .dump(-1, ' ', true, json::error_handler_t::replace));
    }
  }
}

Tokenizer Tokenizer::from_file(const std::string& tokenizer_json) {
  return from_json(read_file(tokenizer_json), tokenizer_json);
}

Tokenizer Tokenizer::from_json(const std::string& json, const std::string& name_in_errors) {
  auto impl = std::make_shared<Impl>(name_in_errors);
  impl->load(parse_json(json, name_in_errors));
  impl->digest = sha256(json);
  Tokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

Tokenizer Tokenizer::from_folder(const std::string& folder) {
  const TokenizerFolder files = read_tokenizer_folder(folder);
  auto impl = std::make_shared<Impl>(files.name);
  impl->load(files.root);
  impl->digest = files.digest;
  Tokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text) const {
  const std::string valid = lossy_utf8(text);
  std::vector<std::int64_t> ids;
  for (const auto& part : impl_->raw.split(valid)) {
    if (part.token != nullptr) {
      ids.push_back(part.token->id);
      continue;
    }
    const std::string normal = impl_->normalize(part.text);
    for (const auto& inner : impl_->normalized.split(normal)) {
      if (inner.token != nullptr) {
        ids.push_back(inner.token->id);
      } else {
        impl_->encode_ordinary(inner.text, ids);
      }
    }
  }
  return ids;
}

std::vector<std::int64_t> Tokenizer::encode_plain(std::string_view text) const {
  std::vector<std::int64_t> ids;
  impl_->encode_ordinary(impl_->normalize(lossy_utf8(text)), ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= vocabulary_size()) continue;
    const TokenText& token = impl_->tokens[static_cast<std::size_t>(id)];
    if (!skip_special || !token.special) bytes += token.bytes;
  }
  return lossy_utf8(bytes);
}

std::string Tokenizer::token_bytes(std::int64_t id) const {
  if (id < 0 || id >= vocabulary_size()) return {};
  return impl_->tokens[static_cast<std::size_t>(id)].bytes;
}

std::optional<std::int64_t> Tokenizer::id_of(std::string_view token) const {
  const auto at = impl_->ids.find(std::string(token));
  if (at == impl_->ids.end()) return std::nullopt;
  return at->second;
}

const std::string& Tokenizer::file() const { return impl_->file; }
const std::string& Tokenizer::digest() const { return impl_->digest; }

std::int64_t Tokenizer::vocabulary_size() const {
  return static_cast<std::int64_t>(impl_->tokens.size());
}

}  // namespace bestreel
