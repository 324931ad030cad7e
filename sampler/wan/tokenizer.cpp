#include "sampler/wan/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "sampler/wan/tokenizer_parts.h"

namespace bestreel::wan {
namespace {

namespace fs = std::filesystem;

/// Bytes of white space at the start of `text`, as Rust's char::is_whitespace has it.
std::size_t leading_space(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte == ' ' || (byte >= 9 && byte <= 13)) return 1;
  for (const std::string_view wide :
       {"\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005",
        "\u2006", "\u2007", "\u2008", "\u2009", "\u200A", "\u2028", "\u2029", "\u202F", "\u205F",
        "\u3000"})
    if (text.starts_with(wide)) return wide.size();
  return 0;
}

std::string_view without_leading(std::string_view text) {
  while (const std::size_t width = leading_space(text)) text.remove_prefix(width);
  return text;
}

std::string_view without_trailing(std::string_view text) {
  while (!text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
    if (leading_space(text.substr(at)) != text.size() - at) break;
    text = text.substr(0, at);
  }
  return text;
}

struct Part {
  std::string text;
  const PromptToken* token = nullptr;  // nullptr: text
  bool first = false;                  // the text starts here
};

/// Cuts the tokens out of the parts that are text: leftmost, then longest.
std::vector<Part> cut(std::vector<Part> parts, const std::vector<PromptToken>& tokens,
                      const std::function<std::string(const PromptToken&)>& pattern,
                      bool normalized) {
  std::vector<std::pair<std::string, const PromptToken*>> wanted;
  for (const PromptToken& token : tokens)
    if (token.normalized == normalized) wanted.emplace_back(pattern(token), &token);
  std::vector<Part> out;
  for (Part& part : parts) {
    if (part.token != nullptr) {
      out.push_back(std::move(part));
      continue;
    }
    const std::string_view text = part.text;
    std::size_t begin = 0;
    const auto flush = [&](std::string_view before) {
      if (!before.empty()) out.push_back({std::string(before), nullptr, part.first && begin == 0});
    };
    for (std::size_t at = 0; at < text.size();) {
      const std::pair<std::string, const PromptToken*>* found = nullptr;
      for (const auto& one : wanted)
        if (!one.first.empty() && text.substr(at).starts_with(one.first) &&
            (found == nullptr || one.first.size() > found->first.size()))
          found = &one;
      if (found == nullptr) {
        ++at;
        continue;
      }
      std::string_view before = text.substr(begin, at - begin);
      std::string_view rest = text.substr(at + found->first.size());
      if (found->second->lstrip) before = without_trailing(before);
      if (found->second->rstrip) rest = without_leading(rest);
      flush(before);
      out.push_back({"", found->second, false});
      begin = at = text.size() - rest.size();
    }
    flush(text.substr(begin));
  }
  return out;
}

std::vector<Part> split_words(std::vector<Part> parts, const PreTokenizer& step) {
  std::vector<Part> out;
  for (Part& part : parts) {
    if (step.whitespace_split) {
      std::string_view rest = part.text;
      bool first = part.first;
      std::size_t begin = 0;
      for (std::size_t at = 0; at <= rest.size();) {
        const std::size_t width = at < rest.size() ? leading_space(rest.substr(at)) : 1;
        if (width == 0) {
          ++at;
          continue;
        }
        if (at > begin)
          out.push_back({std::string(rest.substr(begin, at - begin)), nullptr, first});
        first = false;
        begin = at = at + width;
      }
      continue;
    }
    std::string text;
    for (const char c : part.text) {
      if (c == ' ')
        text += parts::kSpace;
      else
        text += c;
    }
    const bool wants =
        step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && part.first);
    if (wants && !text.starts_with(parts::kSpace)) text.insert(0, parts::kSpace);
    if (!step.split) {
      out.push_back({std::move(text), nullptr, part.first});
      continue;
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(parts::kSpace, begin + 1), text.size());
      out.push_back({text.substr(begin, end - begin), nullptr, part.first && begin == 0});
      begin = end;
    }
  }
  return out;
}

}  // namespace

namespace parts {

std::function<std::string(std::string)> character_map(std::string_view bytes,
                                                      const std::string& file) {
  return [map = std::make_shared<CharacterMap>(bytes, file)](const std::string& text) {
    return map->apply(text);
  };
}

std::function<std::string(std::string)> strip(bool left, bool right) {
  return [left, right](const std::string& text) {
    std::string_view kept = text;
    if (left) kept = without_leading(kept);
    if (right) kept = without_trailing(kept);
    return std::string(kept);
  };
}

std::function<std::string(std::string)> replace(std::string what, bool spaces, std::string with) {
  return [what = std::move(what), spaces, with = std::move(with)](const std::string& text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t size = 0;
      if (spaces) {
        const std::size_t end = std::min(text.find_first_not_of(' ', at), text.size());
        size = end - at >= 2 ? end - at : 0;
      } else if (text.compare(at, what.size(), what) == 0) {
        size = what.size();
      }
      if (size > 0)
        out += with;
      else
        out += text[at];
      at += std::max<std::size_t>(size, 1);
    }
    return out;
  };
}

}  // namespace parts

std::string PromptTokenizer::Impl::normalize(std::string text) const {
  for (const auto& step : normalizers) text = step(std::move(text));
  return text;
}

void PromptTokenizer::Impl::add(PromptToken token) {
  if (token.content.empty()) return;
  const auto same = std::find_if(added.begin(), added.end(), [&](const PromptToken& other) {
    return other.content == token.content;
  });
  if (same != added.end()) {
    token.id = same->id;
    *same = std::move(token);
    return;
  }
  std::int64_t next = model.size();
  for (const PromptToken& other : added) next = std::max(next, other.id + 1);
  token.id = model.id(token.content).value_or(next);
  added.push_back(std::move(token));
}

std::vector<std::int64_t> PromptTokenizer::Impl::text_ids(std::string_view text) const {
  std::vector<Part> parts;
  if (!text.empty()) parts.push_back({std::string(text), nullptr, true});
  parts = cut(std::move(parts), added, [](const PromptToken& t) { return t.content; }, false);
  std::vector<Part> normal;
  for (Part& part : parts) {
    if (part.token == nullptr) part.text = normalize(std::move(part.text));
    if (part.token != nullptr || !part.text.empty()) normal.push_back(std::move(part));
  }
  normal = cut(
      std::move(normal), added, [&](const PromptToken& t) { return normalize(t.content); }, true);
  std::vector<std::int64_t> ids;
  for (Part& part : normal) {
    if (part.token != nullptr) {
      ids.push_back(part.token->id);
      continue;
    }
    std::vector<Part> words;
    words.push_back(std::move(part));
    for (const PreTokenizer& step : pre_tokenizers) words = split_words(std::move(words), step);
    for (const Part& word : words) model.encode(word.text, ids);
  }
  return ids;
}

namespace {

std::shared_ptr<const PromptTokenizer::Impl> open_folder(const std::string& folder) {
  auto impl = std::make_shared<PromptTokenizer::Impl>();
  const std::string fast = folder + "/tokenizer.json", slow = folder + "/spiece.model",
                    config_file = folder + "/tokenizer_config.json";
  std::error_code ignored;
  nlohmann::json config = nlohmann::json::object();
  if (fs::exists(config_file, ignored)) config = read_json(config_file);
  if (!config.is_object())
    fail("json_malformed", "tokenizer", "{} must be a JSON object but is not: download it again",
         config_file);
  const auto setting = config.find("add_prefix_space");
  const bool converts = setting != config.end() && setting->is_boolean();
  if (fs::exists(fast, ignored) && !converts) {
    parts::read_tokenizer_json(fast, *impl);
  } else if (fs::exists(slow, ignored)) {
    parts::SentencePieceOptions options;
    const bool prefix = setting == config.end() || (converts && setting->get<bool>());
    const auto legacy = config.find("legacy");
    const bool first = legacy != config.end() && legacy->is_boolean() && !legacy->get<bool>();
    options.prepend = !prefix ? Prepend::kNever : first ? Prepend::kFirst : Prepend::kAlways;
    const auto extra = config.find("extra_ids");
    options.extra_ids = extra == config.end() ? 100
                        : extra->is_number_unsigned() && *extra <= 100000
                            ? extra->get<std::int64_t>()
                            : 0;
    parts::read_sentencepiece(read_file(slow), slow, options, *impl);
  } else if (converts && fs::exists(fast, ignored)) {
    fail("tokenizer_unsupported", "tokenizer",
         "{} sets add_prefix_space, for which the reference converts spiece.model, but {} is "
         "missing: download it, or delete the key",
         config_file, slow);
  } else {
    fail("checkpoint_missing", "checkpoint",
         "{} must hold tokenizer.json or spiece.model but holds neither: download the folder "
         "tokenizer again",
         folder);
  }
  // What the configuration lists beside: a token that the file does not know yet.
  if (const auto more = config.find("added_tokens_decoder");
      more != config.end() && more->is_object()) {
    for (const auto& [id, token] : more->items()) {
      if (!token.is_object() || !token.contains("content") || !token["content"].is_string())
        continue;
      const auto flag = [&](const char* key) {
        return token.contains(key) && token[key].is_boolean() && token[key].get<bool>();
      };
      PromptToken one{token["content"].get<std::string>(), flag("normalized"), flag("lstrip"),
                      flag("rstrip")};
      const auto known =
          std::find_if(impl->added.begin(), impl->added.end(),
                       [&](const PromptToken& other) { return other.content == one.content; });
      if (known == impl->added.end()) impl->add(std::move(one));
    }
  }
  return impl;
}

}  // namespace

PromptTokenizer PromptTokenizer::open(const std::string& path) {
  PromptTokenizer tokenizer;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    if (!path.ends_with(".json")) return from_sentencepiece(read_file(path), path);
    auto impl = std::make_shared<Impl>();
    parts::read_tokenizer_json(path, *impl);
    tokenizer.impl_ = std::move(impl);
  } else {
    tokenizer.impl_ = open_folder(path);
  }
  return tokenizer;
}

PromptTokenizer PromptTokenizer::from_sentencepiece(std::string_view bytes,
                                                    const std::string& name) {
  auto impl = std::make_shared<Impl>();
  parts::read_sentencepiece(bytes, name, {}, *impl);
  PromptTokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

std::vector<std::int64_t> PromptTokenizer::encode(std::string_view text, std::int64_t limit) const {
  std::vector<std::int64_t> ids = impl_->before;
  const std::vector<std::int64_t> body = impl_->text_ids(text);
  const auto room = std::max<std::int64_t>(
      0, limit - static_cast<std::int64_t>(impl_->before.size() + impl_->after.size()));
  ids.insert(ids.end(), body.begin(),
             body.begin() + std::min(room, static_cast<std::int64_t>(body.size())));
  ids.insert(ids.end(), impl_->after.begin(), impl_->after.end());
  return ids;
}

std::int64_t PromptTokenizer::length(std::string_view text) const {
  return static_cast<std::int64_t>(impl_->text_ids(text).size() + impl_->before.size() +
                                   impl_->after.size());
}

}  // namespace bestreel::wan
