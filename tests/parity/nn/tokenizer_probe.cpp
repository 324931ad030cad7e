// Ours, for the parity test: reads texts from stdin, prints their ids, a line for each.
//   tokenizer_probe TOKENIZER.json encode|plain|decode
// Each text is its length in bytes (decimal, newline) and its bytes. With `decode` a text is a line
// of ids instead, and the answer is the decoded text's bytes in hexadecimal digits.
#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/nn/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const auto tokenizer = bestreel::Tokenizer::from_file(argv[1]);
    const std::string mode = argv[2];
    std::string line;
    while (std::getline(std::cin, line)) {
      std::string text(std::stoul(line), '\0');
      std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
      if (mode == "decode") {
        std::istringstream words(text);
        std::vector<std::int64_t> ids;
        for (std::int64_t id = 0; words >> id;) ids.push_back(id);
        for (const char c : tokenizer.decode(ids, false)) {
          constexpr const char* kDigits = "0123456789abcdef";
          const auto byte = static_cast<unsigned char>(c);
          std::cout << kDigits[byte >> 4] << kDigits[byte & 15];
        }
      } else {
        const auto ids = mode == "plain" ? tokenizer.encode_plain(text) : tokenizer.encode(text);
        for (const std::int64_t id : ids) std::cout << id << ' ';
      }
      std::cout << '\n';
    }
  } catch (const bestreel::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
