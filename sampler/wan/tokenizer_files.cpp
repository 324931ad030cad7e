#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/fail.h"
#include "core/base/json_file.h"
#include "sampler/wan/tokenizer_parts.h"

namespace bestreel::wan::parts {
namespace {

using nlohmann::json;

/// tokenizer.json, with errors that name the file and the part.
class Reader {
 public:
  Reader(const std::string& file, PromptTokenizer::Impl& out) : file_(file), out_(out) {}

  void read() {
    const json all = read_json(file_);
    try {
      model(all.at("model"));
      normalizer(all.value("normalizer", json()));
      pre_tokenizer(all.value("pre_tokenizer", json()));
      post_processor(all.value("post_processor", json()));
      for (const json& token : all.value("added_tokens", json::array())) added(token);
    } catch (const json::exception& error) {
      fail("tokenizer_malformed", "tokenizer", "{} is no tokenizer of the library tokenizers ({})",
           file_, std::string(error.what()).substr(0, 160));
    }
  }

 private:
  [[noreturn]] void unsupported(const std::string& what) const {
    fail("tokenizer_unsupported", "tokenizer",
         "{}: {}: use the tokenizer of this checkpoint (UMT5's), or its spiece.model alone", file_,
         what);
  }

  static std::string type_of(const json& part) { return part.at("type").get<std::string>(); }

  void model(const json& m) {
    const std::string type = m.contains("type") ? type_of(m) : "Unigram";
    if (type != "Unigram")
      unsupported(fmt::format("its model must be Unigram but is {:.40}", type));
    std::vector<Unigram::Piece> pieces;
    for (const json& piece : m.at("vocab"))
      pieces.push_back({piece.at(0).get<std::string>(), piece.at(1).get<double>()});
    std::optional<std::int64_t> unknown;
    if (m.contains("unk_id") && !m["unk_id"].is_null()) unknown = m["unk_id"].get<std::int64_t>();
    out_.model = Unigram(std::move(pieces), unknown, m.value("byte_fallback", false), file_);
  }

  void normalizer(const json& n, int depth = 0) {
    if (n.is_null()) return;
    const std::string type = type_of(n);
    if (type == "Sequence" && depth < 8) {
      for (const json& one : n.at("normalizers")) normalizer(one, depth + 1);
    } else if (type == "Precompiled") {
      out_.normalizers.push_back(
          character_map(decode_base64(n.at("precompiled_charsmap").get<std::string>()), file_));
    } else if (type == "Strip") {
      out_.normalizers.push_back(
          strip(n.at("strip_left").get<bool>(), n.at("strip_right").get<bool>()));
    } else if (type == "Replace") {
      const json& pattern = n.at("pattern");
      const bool regex = pattern.contains("Regex");
      const std::string what = pattern.at(regex ? "Regex" : "String").get<std::string>();
      if (regex && what != " {2,}")
        unsupported(fmt::format("the normaliser replaces by the pattern {:.60}", what));
      if (!regex && what.empty()) unsupported("the normaliser replaces an empty text");
      out_.normalizers.push_back(replace(what, regex, n.at("content").get<std::string>()));
    } else {
      unsupported(fmt::format("the normaliser {:.40} is not known here", type));
    }
  }

  void pre_tokenizer(const json& p, int depth = 0) {
    if (p.is_null()) return;
    const std::string type = type_of(p);
    if (type == "Sequence" && depth < 8) {
      for (const json& one : p.at("pretokenizers")) pre_tokenizer(one, depth + 1);
    } else if (type == "WhitespaceSplit") {
      out_.pre_tokenizers.push_back({.whitespace_split = true});
    } else if (type == "Metaspace") {
      if (p.value("replacement", std::string(kSpace)) != kSpace)
        unsupported("the Metaspace pre-tokenizer has another replacement than U+2581");
      const std::string scheme =
          p.value("prepend_scheme", p.value("add_prefix_space", true) ? "always" : "never");
      if (scheme != "always" && scheme != "first" && scheme != "never")
        unsupported(fmt::format("\"prepend_scheme\" is {:.40}", scheme));
      out_.pre_tokenizers.push_back({.prepend = scheme == "always"  ? Prepend::kAlways
                                                : scheme == "first" ? Prepend::kFirst
                                                                    : Prepend::kNever,
                                     .split = p.value("split", true)});
    } else {
      unsupported(fmt::format("the pre-tokenizer {:.40} is not known here", type));
    }
  }

  void post_processor(const json& p) {
    if (p.is_null()) return;
    if (type_of(p) != "TemplateProcessing")
      unsupported(fmt::format("the post-processor {:.40} is not known here", type_of(p)));
    bool after = false;
    for (const json& piece : p.at("single")) {
      if (piece.contains("Sequence")) {
        after = true;
        continue;
      }
      const std::string name = piece.at("SpecialToken").at("id").get<std::string>();
      for (const json& id : p.at("special_tokens").at(name).at("ids"))
        (after ? out_.after : out_.before).push_back(id.get<std::int64_t>());
    }
  }

  void added(const json& t) {
    if (t.value("single_word", false))
      unsupported(fmt::format("the added token {} is a single_word", t.at("content").dump()));
    out_.add({t.at("content").get<std::string>(), t.value("normalized", false),
              t.value("lstrip", false), t.value("rstrip", false)});
  }

  std::string decode_base64(const std::string& text) const {
    std::string out;
    std::uint32_t bits = 0;
    int have = 0;
    for (const char c : text) {
      if (c == '=' || c == '\n') continue;
      const std::size_t value =
          std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
              .find(c);
      if (value == std::string_view::npos)
        fail("tokenizer_malformed", "tokenizer", "{}: its precompiled_charsmap is no base64",
             file_);
      bits = bits << 6 | static_cast<std::uint32_t>(value);
      have += 6;
      if (have < 8) continue;
      have -= 8;
      out += static_cast<char>(bits >> have & 0xFFU);
    }
    return out;
  }

  const std::string& file_;
  PromptTokenizer::Impl& out_;
};

/// A message of Protocol Buffers, field by field.
class Message {
 public:
  Message(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  struct Field {
    std::uint64_t number = 0, value = 0;  ///< of a varint or fixed field
    std::string_view bytes;               ///< of a nested one
  };

  bool next(Field& field) {
    if (bytes_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.value = varint();
        return true;
      case 1:
        take(8);
        return true;
      case 2: {
        const std::uint64_t size = varint();
        field.bytes = take(size);
        return true;
      }
      case 5: {
        const std::string_view four = take(4);
        for (int i = 3; i >= 0; --i)
          field.value =
              field.value << 8 | static_cast<unsigned char>(four[static_cast<std::size_t>(i)]);
        return true;
      }
      default:
        malformed();
    }
  }

 private:
  [[noreturn]] void malformed() const {
    fail("tokenizer_malformed", "tokenizer",
         "{} must be a sentencepiece model but is not: download it again", file_);
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size()) malformed();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    malformed();
  }

  std::string_view bytes_;
  const std::string& file_;
};

}  // namespace

void read_tokenizer_json(const std::string& file, PromptTokenizer::Impl& tokenizer) {
  tokenizer.file = file;
  Reader(file, tokenizer).read();
}

// What transformers' T5Converter makes of the model. Field numbers: sentencepiece_model.proto.
void read_sentencepiece(std::string_view bytes, const std::string& file,
                        const SentencePieceOptions& options, PromptTokenizer::Impl& tokenizer) {
  constexpr std::uint64_t kUnigram = 1, kControl = 3, kUserDefined = 4;
  tokenizer.file = file;
  std::vector<Unigram::Piece> pieces;
  std::vector<PromptToken> tokens;
  std::uint64_t model_type = kUnigram, unknown = 0;
  std::string_view characters;
  Message all(bytes, file);
  for (Message::Field field; all.next(field);) {
    Message part(field.bytes, file);
    if (field.number == 1) {  // pieces
      Unigram::Piece piece;
      std::uint64_t kind = 0;
      for (Message::Field f; part.next(f);) {
        if (f.number == 1) piece.text = f.bytes;
        if (f.number == 2) {
          const auto raw = static_cast<std::uint32_t>(f.value);
          float score = 0;
          static_assert(sizeof score == sizeof raw);
          std::memcpy(&score, &raw, sizeof score);
          piece.score = score;
        }
        if (f.number == 3) kind = f.value;
      }
      if (kind == kControl || kind == kUserDefined) tokens.push_back({piece.text});
      pieces.push_back(std::move(piece));
    } else if (field.number == 2) {  // trainer_spec
      for (Message::Field f; part.next(f);) {
        if (f.number == 3) model_type = f.value;
        if (f.number == 40) unknown = f.value;
      }
    } else if (field.number == 3) {  // normalizer_spec
      for (Message::Field f; part.next(f);)
        if (f.number == 2) characters = f.bytes;
    }
  }
  if (model_type != kUnigram)
    fail("tokenizer_unsupported", "tokenizer",
         "{} must be a unigram model, as UMT5's is, but is of type {}: use this checkpoint's "
         "tokenizer",
         file, model_type);
  for (std::int64_t i = options.extra_ids - 1; i >= 0; --i) {
    const std::string text = fmt::format("<extra_id_{}>", i);
    tokens.push_back({text, false, true, true});
    pieces.push_back({text, 0.0});
  }
  tokenizer.model = Unigram(std::move(pieces), static_cast<std::int64_t>(unknown), false, file);
  const auto end = tokenizer.model.id("</s>");
  if (!end)
    fail("tokenizer_malformed", "tokenizer",
         "{} must define an end mark (</s>) but does not: use the tokenizer of this checkpoint",
         file);
  for (PromptToken& token : tokens) tokenizer.add(std::move(token));
  for (const char* special : {"</s>", "<unk>", "<pad>"})
    if (tokenizer.model.id(special)) tokenizer.add({special});
  if (!characters.empty()) tokenizer.normalizers.push_back(character_map(characters, file));
  tokenizer.normalizers.push_back(strip(false, true));
  tokenizer.normalizers.push_back(replace("", true, std::string(kSpace)));
  tokenizer.pre_tokenizers.push_back({.prepend = options.prepend});
  tokenizer.after = {*end};
}

}  // namespace bestreel::wan::parts
