// Byte-level BPE from a Hugging Face tokenizer.json. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// Equal to the `tokenizers` library on the pipeline of the Qwen2 family: added tokens, NFC,
/// the file's own split pattern (a Regex in Split + ByteLevel), BPE. A file that asks for another
/// normaliser, pre-tokenizer or model is refused ("tokenizer_unsupported"), naming the part.
/// Left aside: `truncation` and `padding` (transformers resets them), and the post-processor, which
/// must be ByteLevel, a template of the text alone (transformers 5 writes one) or null and then
/// adds nothing. Text that is no UTF-8 is read with U+FFFD for each broken part. Immutable after
/// loading: any thread may use it.
class BESTREEL_API Tokenizer {
 public:
  /// The tokenizer of a checkpoint's folder: tokenizer.json, or vocab.json and merges.txt of a slow
  /// Qwen2Tokenizer, with the added tokens that tokenizer_config.json lists.
  /// Errors: "file_missing", "json_malformed", "tokenizer_unsupported", "tokenizer_malformed".
  static Tokenizer from_folder(const std::string& folder);
  /// One tokenizer.json, whatever lies beside it. Errors as from_folder().
  static Tokenizer from_file(const std::string& tokenizer_json);
  static Tokenizer from_json(const std::string& json, const std::string& name_in_errors);

  /// Text of ours: added tokens ("<|im_start|>") become their ids. Error "tokenizer_malformed"
  /// where the vocabulary lacks a byte of the text (the library would drop it in silence).
  std::vector<std::int64_t> encode(std::string_view text) const;

  /// Text of a user: the same bytes, but no added token is ever recognised in it. A file whose
  /// merges could still spell a special token is refused when it is loaded.
  std::vector<std::int64_t> encode_plain(std::string_view text) const;

  /// `skip_special`: leave added tokens marked special out. Invalid UTF-8 becomes U+FFFD; an id
  /// beyond the vocabulary (a padded row of the model) is nothing.
  std::string decode(std::span<const std::int64_t> ids, bool skip_special = true) const;
  /// The raw bytes of one token, for streaming.
  std::string token_bytes(std::int64_t id) const;

  /// `token` as the file writes it: "<|im_end|>", "Ġworld".
  std::optional<std::int64_t> id_of(std::string_view token) const;
  std::int64_t vocabulary_size() const;  ///< largest id + 1
  const std::string& file() const;       ///< the main file that it was read from, for errors
  const std::string& digest() const;     ///< sha256 over the files that it was read from

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bestreel
