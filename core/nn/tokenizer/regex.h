// Oniguruma, the regular expression engine that the `tokenizers` library itself uses: the same
// pattern means the same split, Unicode classes included. Private to `formats`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bestreel {

/// A compiled pattern over UTF-8. Immutable: any thread may search.
class Regex {
 public:
  /// `file` names the pattern's origin in the error "tokenizer_malformed".
  Regex(const std::string& pattern, const std::string& file);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// Cuts valid UTF-8 into its matches and what lies between them, in order ("Isolated"). Error
  /// "tokenizer_failed" when the pattern backtracks beyond Oniguruma's limit.
  std::vector<std::string_view> isolate(std::string_view text) const;

  bool matches(std::string_view text) const;  ///< anywhere in `text`

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace bestreel
