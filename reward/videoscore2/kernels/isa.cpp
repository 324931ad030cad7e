#include "reward/videoscore2/kernels/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {
namespace {

constexpr Isa kAll[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16};

bool runs([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
#endif
  return isa == Isa::kPortable;
}

Isa chosen() {
  const char* wish = std::getenv("BESTREEL_ISA");
  if (wish == nullptr || *wish == '\0') return available_isas().back();
  for (const Isa isa : available_isas())
    if (name_of(isa) == wish) return isa;
  std::vector<std::string_view> names;
  for (const Isa isa : available_isas()) names.push_back(name_of(isa));
  fail("isa_unavailable", "judge",
       "BESTREEL_ISA must be one of this processor's ({}) but got {}: unset it for the fastest",
       fmt::join(names, ", "), wish);
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa{chosen()};
  return isa;
}

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
  }
  return "";
}

std::span<const Isa> available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found;
    std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(found), runs);
    return found;
  }();
  return isas;
}

Isa current_isa() { return current().load(std::memory_order_relaxed); }

void use_isa(Isa isa) { current().store(isa, std::memory_order_relaxed); }

}  // namespace bestreel::videoscore2
