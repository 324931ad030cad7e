// Text of any bytes becomes harmless: no markup from escape_html, no separator from url_path, one
// word from shell_quote's plain form, a plain name from file_name.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "plugin/runs/report_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bestreel::report;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string html = escape_html(text);
  if (html.find_first_of("<>\"'") != std::string::npos) std::abort();
  for (const char c : html) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && c != '\n' && c != '\t') std::abort();
  }
  if (url_path(text).find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_.~/%") != std::string::npos) {
    std::abort();
  }
  const std::string quoted = shell_quote(text);
  if (quoted.back() != '\'' && quoted != text) std::abort();
  const std::string name = file_name(text);
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) std::abort();
  if (base64(text).size() != (size + 2) / 3 * 4) std::abort();
  return 0;
}
