// The truth of a clip, computed from its pixels and the prompt alone.
//
// The oracle never sees what the renderer drew from: it finds the background, cuts the objects out,
// follows them, names their colour, shape, size and motion, and measures the picture. So it judges
// generated clips as it judges rendered ones.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "examples/tinyworld/render.h"

namespace bestreel::tinyworld {

inline constexpr std::array<const char*, 3> kDimensions{"visual_quality", "text_alignment",
                                                        "physical_consistency"};

struct Verdict {
  std::array<double, 3> truth{};        ///< 1..5, continuous; in the order of kDimensions
  std::array<std::string, 3> reason{};  ///< one sentence each
  Scene seen;                           ///< what the clip shows; no objects = nothing was found
  std::string rationale;  ///< one line: asked against seen item by item, then what is wrong
  std::vector<std::pair<std::string, double>> measures;  ///< raw, by name
};

Verdict ask_oracle(const Clip& clip, const Scene& asked);

/// Every word of prompts and rationales.
std::vector<std::string> words();

}  // namespace bestreel::tinyworld
