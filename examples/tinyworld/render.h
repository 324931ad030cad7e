// Clips of the tiny world: flawless, or with flaws of a known severity.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/media/video.h"
#include "examples/tinyworld/random.h"
#include "examples/tinyworld/scene.h"

namespace bestreel::tinyworld {

enum class FlawKind : std::uint8_t {
  kNoise,
  kBlur,
  kFlicker,
  kBlocking,  // visual quality
  kColour,
  kShape,
  kSize,
  kDirection,
  kBackground,
  kCount,  // text alignment
  kTeleport,
  kDeform,
  kVanish,
  kPulse,
  kJerk,  // physical consistency
};
inline constexpr std::array<const char*, 15> kFlawNames{
    "noise",      "blur",  "flicker",  "blocking", "colour", "shape", "size", "direction",
    "background", "count", "teleport", "deform",   "vanish", "pulse", "jerk"};

enum class Aspect : std::uint8_t { kVisual, kText, kPhysical };
Aspect aspect_of(FlawKind kind);

struct Flaw {
  FlawKind kind = FlawKind::kNoise;
  double severity = 0;  ///< 0 < severity <= 1
};

/// Throws Error "flaw_unknown" with the list of names.
FlawKind flaw_from_name(std::string_view name);

/// Interleaved RGB, (frames, height, width, 3).
struct Clip {
  int frames = kFrames;
  int height = kSide;
  int width = kSide;
  std::vector<std::uint8_t> data;

  std::uint8_t* frame(int t) { return data.data() + std::size_t(t) * height * width * 3; }
  const std::uint8_t* frame(int t) const {
    return data.data() + std::size_t(t) * height * width * 3;
  }
};

/// Draws the scene with the flaws. The same arguments give the same bytes on every machine of one
/// instruction set. A text flaw changes what is shown (see shown_instead); a physical flaw strikes
/// one object.
Clip render(const Scene& scene, const std::vector<Flaw>& flaws, std::uint64_t seed);

/// What a clip shows when `scene` was asked for: each text flaw changes its attribute of one
/// object, of all objects above severity 0.5. Usually one or two objects; count flaws give up to
/// three.
Scene shown_instead(const Scene& scene, const std::vector<Flaw>& flaws, std::uint64_t seed);

/// Visual flaws on any clip; others are ignored.
void damage(Clip& clip, const std::vector<Flaw>& flaws, std::uint64_t seed);

/// What an encoder with 4:2:0 chroma does to colours, without its quantisation.
void chroma_round_trip(Clip& clip);

/// How bad the flaws of the visual or the physical aspect are together: 1 - prod(1 - severity).
double severity_of(const std::vector<Flaw>& flaws, Aspect aspect);

/// How far what is shown is from what was asked, 0..1: the mean over the asked objects of what is
/// wrong with the shown object that fits best (a missing one: 1), plus surplus objects and
/// background.
double misalignment(const Scene& asked, const Scene& shown);

/// What one wrong attribute of an object costs, what a surplus object, what a wrong background.
inline constexpr double kColourWeight = 0.5;
inline constexpr double kShapeWeight = 0.5;
inline constexpr double kSizeWeight = 0.3;
inline constexpr double kMotionWeight = 0.5;
inline constexpr double kSurplusWeight = 0.5;
inline constexpr double kBackgroundWeight = 0.4;

/// Which asked object is which shown object (its index, or -1), at the least cost.
std::vector<int> match(const Scene& asked, const Scene& shown);

Scene random_scene(Random& random, Split split);

struct FlawMix {
  std::vector<FlawKind> kinds;  ///< drawn from; empty = none
  double clean = 0.25;          ///< probability of no flaw
};
std::vector<Flaw> random_flaws(Random& random, const FlawMix& mix);

/// As a Video in memory, at kFps.
VideoPtr to_video(const Clip& clip);

/// All frames of a video.
Clip from_video(const Video& video);

}  // namespace bestreel::tinyworld
