// A tokenizer as a checkpoint's folder holds it, put together as one tokenizer.json. Private to
// `formats`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace bestreel {

struct TokenizerFolder {
  nlohmann::json root;  ///< as a tokenizer.json
  std::string name;     ///< of the main file, for errors
  std::string digest;   ///< sha256 over all files that were read
};

/// tokenizer.json, else vocab.json and merges.txt with what the slow Qwen2Tokenizer has in its
/// code; then the added tokens that tokenizer_config.json (or, where that lists none, the older
/// added_tokens.json) names, which transformers adds too. Errors: "file_missing", "json_malformed",
/// "tokenizer_unsupported", "tokenizer_malformed".
TokenizerFolder read_tokenizer_folder(const std::string& folder);

}  // namespace bestreel
