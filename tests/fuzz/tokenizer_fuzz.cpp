// Any text through a small tokenizer, and any text as a tokenizer.json.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/nn/tokenizer.h"

namespace {

std::string small_tokenizer() {
  std::string vocab;
  auto add = [&, id = 0](const std::string& key) mutable {
    vocab += (id == 0 ? "\"" : ",\"") + key + "\":" + std::to_string(id);
    ++id;
  };
  constexpr const char* kDigits = "0123456789abcdef";
  int other = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    const int point = plain ? byte : other++;
    add({'\\', 'u', '0', kDigits[point >> 8], kDigits[point >> 4 & 15], kDigits[point & 15]});
  }
  for (const char* token : {"ab", "abab", "aa", "aaaa"}) add(token);
  return R"({"added_tokens":[
    {"id":260,"content":"<|a|>","special":true,"lstrip":true,"single_word":true},
    {"id":261,"content":"<|a|>b","special":false,"rstrip":true,"normalized":true}],
    "normalizer":{"type":"NFC"},"decoder":{"type":"ByteLevel"},
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated",
      "pattern":{"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
    "model":{"type":"BPE","vocab":{)" +
         vocab + R"(},"merges":["a b","ab ab","a a","aa aa"]}})";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using bestreel::Tokenizer;
  static const Tokenizer tokenizer = Tokenizer::from_json(small_tokenizer(), "fuzz");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    tokenizer.encode(text);
    const auto plain = tokenizer.encode_plain(text);
    for (const auto id : plain) {
      if (id >= 260) std::abort();  // a user's text became a control token
    }
    const std::string back = tokenizer.decode(plain, false);
    if (tokenizer.encode_plain(back) != plain) std::abort();
    const Tokenizer loaded = Tokenizer::from_json(std::string(text), "fuzz");
    loaded.decode(loaded.encode("ab 12 <|a|>"));
  } catch (const bestreel::Error&) {
  }
  return 0;
}
