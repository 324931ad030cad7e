// parse_safetensors_header over any bytes: an Error or entries that lie inside the file and tile
// it.
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "core/nn/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    std::uint64_t end = 0;
    for (const auto& entry : bestreel::parse_safetensors_header("fuzz", data, size, size)) {
      if (entry.begin > entry.end || entry.end > size || (end != 0 && entry.begin != end)) {
        std::abort();
      }
      end = entry.end;
    }
  } catch (const bestreel::Error&) {
  }
  return 0;
}
