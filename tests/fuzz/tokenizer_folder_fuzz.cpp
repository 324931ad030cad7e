// Any bytes as each file of a tokenizer's folder, over sound ones: an Error, or a tokenizer that
// turns text into ids and back. The first byte chooses the file.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/nn/tokenizer.h"

namespace {

namespace fs = std::filesystem;

/// The 256 bytes as vocab.json writes them, and one merge.
std::string vocabulary() {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string vocab = "{";
  int other = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    const int point = plain ? byte : other++;
    vocab += std::string("\"\\u0") + kDigits[point >> 8] + kDigits[point >> 4 & 15] +
             kDigits[point & 15] + "\":" + std::to_string(byte) + ",";
  }
  return vocab + "\"ab\":256}";
}

void write(const fs::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

fs::path make_folder() {
  std::string name = (fs::temp_directory_path() / "tokenizer-fuzz-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  static std::string kept = name;
  std::atexit([] { fs::remove_all(kept); });
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const fs::path folder = make_folder();
  static const std::string vocab = vocabulary();
  constexpr const char* kNames[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                    "added_tokens.json", "tokenizer.json"};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  write(folder / "vocab.json", vocab);
  write(folder / "merges.txt", "#version: 0.2\na b\n");
  for (const char* name : {"tokenizer_config.json", "added_tokens.json", "tokenizer.json"})
    fs::remove(folder / name);
  write(folder / kNames[data[0] % 5], bytes);
  try {
    const auto tokenizer = bestreel::Tokenizer::from_folder(folder.string());
    const auto ids = tokenizer.encode("ab <|im_end|>");
    tokenizer.decode(ids);
    for (const auto id : ids)
      if (id < 0 || id >= tokenizer.vocabulary_size()) std::abort();
  } catch (const bestreel::Error&) {
  }
  return 0;
}
