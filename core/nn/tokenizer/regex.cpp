#include "core/nn/tokenizer/regex.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/base/fail.h"
#include "core/nn/tokenizer/unicode.h"
#include "core/nn/tokenizer/unicode_versions.h"

namespace bestreel {
namespace {

const OnigUChar* unsigned_bytes(const char* text) {
  return reinterpret_cast<const OnigUChar*>(text);
}

std::string message(int code, OnigErrorInfo* info) {
  std::string text(ONIG_MAX_ERROR_MESSAGE_LEN, '\0');
  const int length =
      info == nullptr
          ? onig_error_code_to_str(reinterpret_cast<OnigUChar*>(text.data()), code)
          : onig_error_code_to_str(reinterpret_cast<OnigUChar*>(text.data()), code, info);
  text.resize(static_cast<std::size_t>(std::max(length, 0)));
  return text;
}

/// Compiling touches Oniguruma's global tables; searching does not.
std::mutex& compile_mutex() {
  static std::mutex mutex;
  return mutex;
}

/// The text with letters and numbers that an older Oniguruma does not know replaced by some that it
/// does: positions stay the same.
std::string with_stand_ins(std::string_view text) {
  std::string known(text);
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    if (const auto other = stand_in(next_code_point(text, position))) {
      std::string bytes;
      append_utf8(bytes, *other);
      known.replace(begin, position - begin, bytes);
    }
  }
  return known;
}

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};

}  // namespace

struct Regex::Impl {
  OnigRegex regex = nullptr;
  ~Impl() { onig_free(regex); }

  /// The first match in [start, text.size()), as a pair of positions.
  bool find(std::string_view text, std::size_t start, OnigRegion* region) const {
    const OnigUChar* begin = unsigned_bytes(text.data());
    const OnigUChar* end = begin + text.size();
    const int result = onig_search(regex, begin, end, begin + start, end, region, ONIG_OPTION_NONE);
    if (result >= 0) return true;
    if (result == ONIG_MISMATCH) return false;
    fail("tokenizer_failed", "tokenizer",
         "a text of {} bytes could not be split by the tokenizer's pattern ({}): shorten the text",
         text.size(), message(result, nullptr));
  }
};

Regex::Regex(const std::string& pattern, const std::string& file) {
  const std::lock_guard lock(compile_mutex());
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  onig_initialize(encodings, 1);
  auto impl = std::make_unique<Impl>();
  OnigErrorInfo info{};
  const OnigUChar* begin = unsigned_bytes(pattern.data());
  const int result = onig_new(&impl->regex, begin, begin + pattern.size(), ONIG_OPTION_NONE,
                              ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (result != ONIG_NORMAL) {
    fail("tokenizer_malformed", "tokenizer",
         "{} must hold a split pattern that Oniguruma can compile, but {}: download it again", file,
         message(result, &info));
  }
  impl_ = std::move(impl);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<std::string_view> Regex::isolate(std::string_view text) const {
  const std::string known = with_stand_ins(text);
  std::vector<std::string_view> pieces;
  const std::unique_ptr<OnigRegion, FreeRegion> region(onig_region_new());
  std::size_t done = 0, from = 0;
  while (from < text.size() && impl_->find(known, from, region.get())) {
    const auto begin = static_cast<std::size_t>(region->beg[0]);
    const auto end = static_cast<std::size_t>(region->end[0]);
    if (begin > done) pieces.push_back(text.substr(done, begin - done));
    if (end > begin) pieces.push_back(text.substr(begin, end - begin));
    done = from = end;
    if (end == begin && from < text.size()) next_code_point(text, from);
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
  return pieces;
}

bool Regex::matches(std::string_view text) const { return impl_->find(text, 0, nullptr); }

}  // namespace bestreel
