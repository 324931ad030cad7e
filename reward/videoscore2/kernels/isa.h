// Which instruction set the decode kernels use.
#pragma once

#include <span>
#include <string_view>

namespace bestreel::videoscore2 {

/// Every kernel exists for each of these. kAvx512Bf16 is kAvx512 with the products of two bfloat16
/// vectors in one instruction; kPortable is plain C++, on any processor.
enum class Isa { kPortable, kAvx2, kAvx512, kAvx512Bf16 };

std::string_view name_of(Isa isa);

/// Those that this processor runs, the slowest first.
std::span<const Isa> available_isas();

/// The best available one, or what the environment's BESTREEL_ISA names (portable, avx2, avx512,
/// avx512bf16): a score's last bits depend on it, so two machines can be made to agree.
/// Error "isa_unavailable" if this processor lacks it.
Isa current_isa();

/// For tests. `isa` must be available; no kernel may be running.
void use_isa(Isa isa);

}  // namespace bestreel::videoscore2
