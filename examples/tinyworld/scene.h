// What a tiny-world prompt says: one or two coloured shapes that move over a plain background.
//
//   a small red circle moves left over a gray background
//   a large blue square stays still and a small white triangle falls and bounces over a navy
//   background
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bestreel::tinyworld {

inline constexpr int kFrames = 17;  ///< of a rendered clip
inline constexpr int kSide = 64;    ///< pixels, height and width
inline constexpr int kFps = 4;      ///< 4.25 s: a judge that looks twice a second sees 8 frames

/// kBlob: what is none of the three; it is seen, never asked for.
enum class Shape : std::uint8_t { kCircle, kSquare, kTriangle, kBlob };
enum class Colour : std::uint8_t { kRed, kGreen, kBlue, kYellow, kPurple, kWhite };
enum class Size : std::uint8_t { kSmall, kLarge };
enum class Motion : std::uint8_t { kStill, kLeft, kRight, kUp, kDown, kBounce };
enum class Background : std::uint8_t { kBlack, kGray, kNavy, kBrown };

using Rgb = std::array<float, 3>;  ///< 0..255

inline constexpr std::array<const char*, 4> kShapeNames{"circle", "square", "triangle", "blob"};
inline constexpr std::array<const char*, 6> kColourNames{"red",    "green",  "blue",
                                                         "yellow", "purple", "white"};
inline constexpr std::array<const char*, 2> kSizeNames{"small", "large"};
/// As a prompt says it.
inline constexpr std::array<const char*, 6> kMotionPhrases{
    "stays still", "moves left", "moves right", "moves up", "moves down", "falls and bounces"};
/// As a rationale says it.
inline constexpr std::array<const char*, 6> kMotionNames{"still", "left", "right",
                                                         "up",    "down", "bounce"};
inline constexpr std::array<const char*, 4> kBackgroundNames{"black", "gray", "navy", "brown"};

inline constexpr std::array<Rgb, 6> kColours{{{225, 40, 40},
                                              {40, 185, 70},
                                              {60, 110, 245},
                                              {245, 220, 50},
                                              {190, 60, 215},
                                              {245, 245, 245}}};
inline constexpr std::array<Rgb, 4> kBackgrounds{
    {{14, 14, 18}, {128, 128, 128}, {20, 30, 95}, {105, 70, 35}}};
/// Radius in pixels of a circle of that size; a square and a triangle have the same area.
inline constexpr std::array<float, 2> kRadii{6.0f, 11.0f};

struct Object {
  Size size = Size::kSmall;
  Colour colour = Colour::kRed;
  Shape shape = Shape::kCircle;
  Motion motion = Motion::kStill;
  friend bool operator==(const Object&, const Object&) = default;
};

struct Scene {
  std::vector<Object> objects;  ///< one or two
  Background background = Background::kBlack;
  friend bool operator==(const Scene&, const Scene&) = default;
};

std::string to_prompt(const Scene& scene);

/// The inverse of to_prompt; case and spaces do not matter. Throws Error "prompt_foreign" with the
/// grammar in one sentence.
Scene parse_prompt(std::string_view prompt);

enum class Split : std::uint8_t { kTrain, kDev, kTest };

/// Which split a prompt belongs to (8 : 1 : 1, by a hash of its text).
Split split_of(const Scene& scene);

}  // namespace bestreel::tinyworld
