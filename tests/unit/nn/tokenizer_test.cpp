#include "core/nn/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace bestreel {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int64_t>;

/// The 256 byte characters as ids 0..255, then a few merges, then added tokens.
json small() {
  json vocab;
  int next = 0;
  const auto add = [&](const std::string& token) { vocab[token] = next++; };
  std::vector<std::string> characters(256);
  int other = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    const int point = plain ? byte : other++;
    characters[static_cast<std::size_t>(byte)] =
        point < 0x80 ? std::string(1, static_cast<char>(point))
                     : std::string{static_cast<char>(0xC0 | point >> 6),
                                   static_cast<char>(0x80 | (point & 0x3F))};
    add(characters[static_cast<std::size_t>(byte)]);
  }
  add("ab");       // 256
  add("abab");     // 257
  add("\u0120a");  // 258
  const auto added = [](int id, const char* content, bool special) {
    return json{{"id", id},        {"content", content},   {"special", special}, {"lstrip", false},
                {"rstrip", false}, {"single_word", false}, {"normalized", false}};
  };
  return {{"added_tokens", json::array({added(259, "<|end|>", true), added(260, "<tool>", false)})},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             json::array(
                 {{{"type", "Split"},
                   {"pattern", {{"Regex", "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+|\\s+"}}},
                   {"behavior", "Isolated"},
                   {"invert", false}},
                  {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}})}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", json::array({"a b", json::array({"ab", "ab"}), "\u0120 a"})}}}};
}

Tokenizer load(const json& root) { return Tokenizer::from_json(root.dump(), "t.json"); }

std::string error_of(const json& root) {
  try {
    load(root);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("t.json"), std::string::npos);
    return error.code() + ": " + error.what();
  }
  return "no error";
}

// Merges apply by rank, in both spellings that files use.
TEST(Tokenizer, MergesByRank) {
  const Tokenizer tokenizer = load(small());
  EXPECT_EQ(tokenizer.encode("ababab"), (Ids{257, 256}));
  EXPECT_EQ(tokenizer.encode("abab"), (Ids{257}));
  EXPECT_EQ(tokenizer.encode("ba"), (Ids{'b', 'a'}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.vocabulary_size(), 261);
}

// Our own text may hold control tokens; a user's text never turns into one, special or not.
TEST(Tokenizer, UserTextNeverBecomesAControlToken) {
  const Tokenizer tokenizer = load(small());
  const std::string text = "ab<|end|><tool>";
  EXPECT_EQ(tokenizer.encode(text), (Ids{256, 259, 260}));
  const Ids plain = tokenizer.encode_plain(text);
  EXPECT_LT(*std::max_element(plain.begin(), plain.end()), 259);
  EXPECT_EQ(tokenizer.decode(plain, false), text);
}

// A file in which ordinary text would turn into a special token is refused.
TEST(Tokenizer, RefusesASpecialTokenThatTextCanReach) {
  for (const char* content : {"ab", "!"}) {
    json root = small();
    json token = root["added_tokens"][0];
    token["content"] = content;
    token["id"] = root["model"]["vocab"][content];
    root["added_tokens"].push_back(token);
    EXPECT_NE(error_of(root).find("ordinary text"), std::string::npos) << content;
    root["added_tokens"].back()["special"] = false;
    EXPECT_EQ(error_of(root), "no error");
  }
}

// Decoding gives the bytes back, leaves special tokens out on request, and passes over ids that the
// vocabulary does not have (a model's padded rows).
TEST(Tokenizer, DecodesBytes) {
  const Tokenizer tokenizer = load(small());
  EXPECT_EQ(tokenizer.decode(Ids{258, 259, 260, 999, -1}), " a<tool>");
  EXPECT_EQ(tokenizer.decode(Ids{258, 259, 260}, false), " a<|end|><tool>");
  EXPECT_EQ(tokenizer.decode(Ids{0xE4, 0xBD, 0xA0}), "你");
  EXPECT_EQ(tokenizer.decode(Ids{0xE4, 0xBD, 'x'}), "\uFFFDx");
  EXPECT_EQ(tokenizer.token_bytes(0xE4), "\xE4");
  EXPECT_EQ(tokenizer.token_bytes(260), "<tool>");
  EXPECT_EQ(tokenizer.token_bytes(999), "");
  EXPECT_EQ(tokenizer.id_of("<|end|>"), 259);
  EXPECT_EQ(tokenizer.id_of("\u0120a"), 258);
  EXPECT_EQ(tokenizer.id_of("<|start|>"), std::nullopt);
}

// Bytes that are no UTF-8 are read as U+FFFD, one for each maximal part, as Python's "replace"
// does.
TEST(Tokenizer, ReplacesInvalidUtf8) {
  const Tokenizer tokenizer = load(small());
  for (const auto& [bytes, same] : std::vector<std::pair<std::string, std::string>>{
           {"a\xFF", "a\uFFFD"},
           {"\xE4\xBD", "\uFFFD"},
           {"\xE4\xBDz", "\uFFFDz"},
           {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
           {"\xC0\xAF", "\uFFFD\uFFFD"},
           {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
           {"\xF0\x9F\x98", "\uFFFD"},
           {"\x80", "\uFFFD"}}) {
    EXPECT_EQ(tokenizer.encode(bytes), tokenizer.encode(same)) << same;
  }
}

// Text is brought to NFC before it is split, and Hangul's neighbour U+11A7 survives that.
TEST(Tokenizer, NormalizesToNfc) {
  const Tokenizer tokenizer = load(small());
  EXPECT_EQ(tokenizer.encode("e\u0301"), tokenizer.encode("\u00E9"));
  EXPECT_EQ(tokenizer.encode("a\u0301\u0316"), tokenizer.encode("\u00E1\u0316"));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("\u1100\u1161\u11A8")), "\uAC01");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("\uAC00\u11A7")), "\uAC00\u11A7");
  json root = small();
  root["normalizer"] = nullptr;
  EXPECT_EQ(load(root).decode(load(root).encode("e\u0301")), "e\u0301");
}

// A part that we do not do is refused by its name instead of giving other ids.
TEST(Tokenizer, RefusesUnsupportedParts) {
  const auto changed = [](const char* pointer, const json& value) {
    json root = small();
    root[json::json_pointer(pointer)] = value;
    return error_of(root);
  };
  const auto refused = [](const std::string& message, const std::string& part) {
    return message.starts_with("tokenizer_unsupported") && message.find(part) != std::string::npos;
  };
  EXPECT_TRUE(refused(changed("/normalizer/type", "NFKC"), "normalizer"));
  EXPECT_TRUE(refused(changed("/pre_tokenizer", nullptr), "pre_tokenizer"));
  EXPECT_TRUE(refused(changed("/pre_tokenizer/pretokenizers/0/type", "Digits"), "pre_tokenizer"));
  EXPECT_TRUE(refused(changed("/pre_tokenizer/pretokenizers/0/behavior", "Removed"), "pre_tok"));
  EXPECT_TRUE(refused(changed("/pre_tokenizer/pretokenizers/0/invert", true), "pre_tokenizer"));
  EXPECT_TRUE(refused(changed("/pre_tokenizer/pretokenizers/1/add_prefix_space", true), "prefix"));
  EXPECT_TRUE(refused(changed("/post_processor", {{"type", "TemplateProcessing"}}), "post"));
  EXPECT_TRUE(refused(changed("/decoder", nullptr), "decoder"));
  EXPECT_TRUE(refused(changed("/model/type", "Unigram"), "model"));
  EXPECT_TRUE(refused(changed("/model/dropout", 0.1), "dropout"));
  EXPECT_TRUE(refused(changed("/model/continuing_subword_prefix", "##"), "continuing"));
  EXPECT_TRUE(refused(changed("/model/end_of_word_suffix", "</w>"), "end_of_word"));
  EXPECT_TRUE(refused(changed("/model/byte_fallback", true), "byte_fallback"));
  EXPECT_TRUE(refused(changed("/model/ignore_merges", true), "ignore_merges"));
  EXPECT_EQ(changed("/model/continuing_subword_prefix", ""), "no error");
  EXPECT_EQ(changed("/post_processor", {{"type", "ByteLevel"}}), "no error");
  // transformers 5 writes a template of the text alone; one that adds a token is another tokenizer.
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const json token = {{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}};
  const auto with = [](const json& single) {
    return json{
        {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", json::object()}};
  };
  EXPECT_EQ(changed("/post_processor", with(json::array({text}))), "no error");
  EXPECT_TRUE(refused(changed("/post_processor", with(json::array({text, token}))), "post"));
  EXPECT_TRUE(refused(changed("/post_processor", with(json::array({token}))), "post"));
  EXPECT_TRUE(refused(changed("/post_processor", with(json::array())), "post"));
}

class TokenizerFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  Ids encode(const std::string& text) const {
    return Tokenizer::from_folder(folder_.string()).encode(text);
  }
  std::string error() const {
    try {
      Tokenizer::from_folder(folder_.string());
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::filesystem::path folder_;
};

// Verifies that vocab.json and merges.txt are the tokenizer that they were saved from, with the
// added tokens of tokenizer_config.json or of the older added_tokens.json.
TEST_F(TokenizerFolder, ReadsVocabularyAndMerges) {
  json root = small();
  write("tokenizer.json", root.dump());
  EXPECT_EQ(encode("abab<|end|>b<tool>"), (Ids{257, 259, 98, 260}));
  // Without tokenizer.json the words are Qwen2's, which begin with their space.
  const Ids want{257, 258, 259, 98, 260};
  std::filesystem::remove(folder_ / "tokenizer.json");
  write("vocab.json", root["model"]["vocab"].dump());
  write("merges.txt", "#version: 0.2\na b\r\nab ab\n\xC4\xA0 a\n\n");
  EXPECT_NE(encode("a<|end|>b"), (Ids{97, 259, 98}));  // the control: it stands elsewhere
  write("added_tokens.json", R"({"<|end|>": 259, "<tool>": 260})");
  EXPECT_EQ(encode("abab a<|end|>b<tool>"), want);
  write("added_tokens.json", "{}");
  json decoder;
  for (const json& token : root["added_tokens"])
    decoder[std::to_string(token["id"].get<int>())] = token;
  write("tokenizer_config.json",
        json{{"added_tokens_decoder", decoder}, {"tokenizer_class", "Qwen2Tokenizer"}}.dump());
  EXPECT_EQ(encode("abab a<|end|>b<tool>"), want);
  for (const char* merges : {"a\n", "a b ab\n"}) {
    write("merges.txt", merges);
    EXPECT_NE(error().find("merges.txt"), std::string::npos) << error();
  }
  write("merges.txt", "a b\n");
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_NE(error().find("LlamaTokenizer"), std::string::npos) << error();
  std::filesystem::remove(folder_ / "merges.txt");
  EXPECT_NE(error().find("tokenizer.json"), std::string::npos) << error();
}

// Verifies that tokens which only tokenizer_config.json lists are tokens, that it may say the same
// again, and that another id for the same token is refused.
TEST_F(TokenizerFolder, AddsWhatTokenizerConfigLists) {
  json root = small();
  write("tokenizer.json", root.dump());
  const Ids want = encode("a<|end|>b");
  const std::string listed =
      R"({"added_tokens_decoder": {"259": {"content": "<|end|>", "special": true}}})";
  write("tokenizer_config.json", listed);
  EXPECT_EQ(encode("a<|end|>b"), want);
  root["added_tokens"] = nullptr;
  write("tokenizer.json", root.dump());
  EXPECT_EQ(encode("a<|end|>b"), want);
  write("tokenizer_config.json", "{}");
  EXPECT_NE(encode("a<|end|>b"), want);
  write("tokenizer.json", small().dump());
  for (const char* wrong : {R"({"added_tokens_decoder": {"300": {"content": "<|end|>"}}})",
                            R"({"added_tokens_decoder": {"x": {"content": "<|end|>"}}})",
                            R"({"added_tokens_decoder": {"259": {"special": true}}})",
                            R"({"added_tokens_decoder": {"97": {"content": "<|new|>"}}})"}) {
    write("tokenizer_config.json", wrong);
    EXPECT_NE(error(), "no error") << wrong;
  }
}

// A file whose parts contradict each other is refused.
TEST(Tokenizer, RefusesMalformedFiles) {
  const auto changed = [](const char* pointer, const json& value) {
    json root = small();
    root[json::json_pointer(pointer)] = value;
    return error_of(root).substr(0, 19);
  };
  const std::string malformed = "tokenizer_malformed";
  EXPECT_EQ(changed("/model", 3), malformed);
  EXPECT_EQ(changed("/model/vocab", json::array()), malformed);
  EXPECT_EQ(changed("/model/vocab/a", -1), malformed);
  EXPECT_EQ(changed("/model/vocab/a", 1e9), malformed);
  EXPECT_EQ(changed("/model/vocab/a", 20'000'000), malformed);
  EXPECT_EQ(changed("/model/vocab/a", 98), malformed);  // b's
  EXPECT_EQ(changed("/model/merges", nullptr), malformed);
  EXPECT_EQ(changed("/model/merges/0", "ab"), malformed);
  EXPECT_EQ(changed("/model/merges/0", "a b c"), malformed);
  EXPECT_EQ(changed("/model/merges/0", "a c"), malformed);  // "ac" is no token
  EXPECT_EQ(changed("/model/merges/1", json::array({"a", 1})), malformed);
  EXPECT_EQ(changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", "("), malformed);
  EXPECT_EQ(changed("/added_tokens", 3), malformed);
  EXPECT_EQ(changed("/added_tokens/0", 3), malformed);
  EXPECT_EQ(changed("/added_tokens/0/content", ""), malformed);
  EXPECT_EQ(changed("/added_tokens/0/id", 5), malformed);    // another token's
  EXPECT_EQ(changed("/added_tokens/0/id", 260), malformed);  // the other added token's
  for (const char* text : {"", "{", "[]", "nonsense", "{\"a\":1e999}"}) {
    EXPECT_THROW(Tokenizer::from_json(text, "t.json"), Error) << text;
  }
  EXPECT_THROW(Tokenizer::from_file("/nonexistent/tokenizer.json"), Error);
}

// A vocabulary without a byte loads, but text with that byte is refused instead of losing it.
TEST(Tokenizer, RefusesATextThatItCannotSpell) {
  json root = small();
  root["model"]["vocab"].erase("z");
  const Tokenizer tokenizer = load(root);
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{256}));
  try {
    tokenizer.encode("abz");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "tokenizer_malformed");
    EXPECT_NE(std::string(error.what()).find("t.json"), std::string::npos);
  }
}

// A prompt of 100,000 characters, as one word, as one space or as marks in the wrong order, is
// encoded whole.
TEST(Tokenizer, EncodesHugePrompts) {
  const Tokenizer tokenizer = load(small());
  EXPECT_EQ(tokenizer.encode(std::string(100'000, 'c')).size(), 100'000u);
  EXPECT_EQ(tokenizer.encode(std::string(100'000, ' ')).size(), 100'000u);
  std::string word, marks = "q";  // no composed form
  for (int i = 0; i < 50'000; ++i) word += "ab", marks += "\u0301\u0316";
  EXPECT_EQ(tokenizer.encode(word).size(), 25'000u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(marks)).size(), 1 + 50'000u * 2 * 2);
}

}  // namespace
}  // namespace bestreel
