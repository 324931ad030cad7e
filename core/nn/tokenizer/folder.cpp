#include "core/nn/tokenizer/folder.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string_view>

#include "core/base/json_file.h"

namespace bestreel {
namespace {

using nlohmann::json;

/// The split pattern of the Qwen2 tokenizers, which vocab.json and merges.txt do not hold. Source:
/// tokenization_qwen2.py of transformers.
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class Files {
 public:
  explicit Files(std::string folder) : folder_(std::move(folder)) {}

  std::string path(const char* name) const { return folder_ + "/" + name; }
  bool has(const char* name) const {
    std::error_code ignored;
    return std::filesystem::exists(path(name), ignored);
  }
  std::string text(const char* name) {
    std::string bytes = read_file(path(name));
    digests_ += sha256(bytes);
    return bytes;
  }
  json object(const char* name) {
    json parsed = parse_json(text(name), path(name));
    if (!parsed.is_object())
      fail("json_malformed", "tokenizer", "{} must be a JSON object but is not: download it again",
           path(name));
    return parsed;
  }
  std::string digest() const { return sha256(digests_); }

 private:
  std::string folder_, digests_;
};

/// One pair a line; the first line may be a version.
json read_merges(std::string_view text, const std::string& name) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  json merges = json::array();
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
    if (line.empty() || (number == 1 && line.starts_with("#version:"))) continue;
    const std::size_t space = line.find_first_of(kBlanks);
    const std::size_t second = line.find_first_not_of(kBlanks, space);
    if (space == std::string_view::npos ||
        line.find_first_of(kBlanks, second) != std::string_view::npos)
      fail("tokenizer_malformed", "tokenizer",
           "{}, line {}, must be two tokens with a blank between but is not: download it again",
           name, number);
    merges.push_back({line.substr(0, space), line.substr(second)});
  }
  return merges;
}

json slow_tokenizer(Files& files, const json& config) {
  const json& type = config.contains("tokenizer_class") ? config["tokenizer_class"] : json();
  if (!type.is_null() && type != "Qwen2Tokenizer" && type != "Qwen2TokenizerFast")
    fail("tokenizer_unsupported", "tokenizer",
         "{}: its tokenizer_class must be Qwen2Tokenizer where there is no tokenizer.json, but is "
         "{}: save the tokenizer with transformers, which writes a tokenizer.json",
         files.path("tokenizer_config.json"), type.dump());
  json root = {{"normalizer", {{"type", "NFC"}}},
               {"pre_tokenizer",
                {{"type", "Sequence"},
                 {"pretokenizers", json::array({{{"type", "Split"},
                                                 {"pattern", {{"Regex", kQwen2Pattern}}},
                                                 {"behavior", "Isolated"}},
                                                {{"type", "ByteLevel"}, {"use_regex", false}}})}}},
               {"decoder", {{"type", "ByteLevel"}}},
               {"added_tokens", json::array()}};
  root["model"] = {{"type", "BPE"},
                   {"vocab", files.object("vocab.json")},
                   {"merges", read_merges(files.text("merges.txt"), files.path("merges.txt"))}};
  return root;
}

/// Replaces the added token of this content, else adds it.
void add_token(json& root, std::uint64_t id, const json& token) {
  json& list = root["added_tokens"];
  if (list.is_null()) list = json::array();
  if (!list.is_array()) return;  // refused where it is read
  json added = token;
  const auto at = std::find_if(list.begin(), list.end(), [&](const json& each) {
    return each.is_object() && each.contains("content") && each["content"] == token["content"];
  });
  if (at == list.end()) {
    added["id"] = id;
    list.push_back(std::move(added));
  } else if (at->contains("id") && (*at)["id"] == id) {
    added["id"] = id;
    *at = std::move(added);
  } else {
    list.push_back(
        {{"id", id}, {"content", token["content"]}});  // two ids: refused where it is read
  }
}

void add_decoder_tokens(json& root, const json& decoder, const std::string& file) {
  for (const auto& [key, token] : decoder.items()) {
    std::uint64_t id = 0;
    const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size() || !token.is_object() ||
        !token.contains("content") || !token["content"].is_string())
      fail("tokenizer_malformed", "tokenizer",
           "{}: its added_tokens_decoder must map ids to tokens with a content but does not: "
           "download it again",
           file);
    add_token(root, id, token);
  }
}

/// Content to id, as before transformers 4.34; tokens of the form <|...|> are the special ones.
void add_old_tokens(json& root, const json& tokens, const std::string& file) {
  for (const auto& [content, id] : tokens.items()) {
    if (!id.is_number_unsigned())
      fail("tokenizer_malformed", "tokenizer",
           "{} must map tokens to ids but does not: download it again", file);
    const bool special = content.starts_with("<|") && content.ends_with("|>");
    add_token(root, id.get<std::uint64_t>(),
              {{"content", content}, {"special", special}, {"normalized", false}});
  }
}

}  // namespace

TokenizerFolder read_tokenizer_folder(const std::string& folder) {
  Files files(folder);
  const json config =
      files.has("tokenizer_config.json") ? files.object("tokenizer_config.json") : json::object();
  TokenizerFolder out;
  const bool fast = files.has("tokenizer.json");
  if (!fast && !(files.has("vocab.json") && files.has("merges.txt")))
    fail("file_missing", "tokenizer",
         "{} must hold tokenizer.json, or vocab.json and merges.txt, but does not: download the "
         "tokenizer's files too",
         folder);
  out.name = files.path(fast ? "tokenizer.json" : "vocab.json");
  out.root =
      fast ? parse_json(files.text("tokenizer.json"), out.name) : slow_tokenizer(files, config);
  if (out.root.is_object()) {
    if (config.contains("added_tokens_decoder") && config["added_tokens_decoder"].is_object()) {
      add_decoder_tokens(out.root, config["added_tokens_decoder"],
                         files.path("tokenizer_config.json"));
    } else if (!fast && files.has("added_tokens.json")) {
      add_old_tokens(out.root, files.object("added_tokens.json"), files.path("added_tokens.json"));
    }
  }
  out.digest = files.digest();
  return out;
}

}  // namespace bestreel
