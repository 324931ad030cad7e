// Flaws: which there are, how they change a scene, and the visual ones, which need no scene.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/fail.h"
#include "examples/tinyworld/render.h"

namespace bestreel::tinyworld {
namespace {

/// Another value of an enumeration with N values.
template <int N, typename Enum>
Enum another(Random& random, Enum value) {
  return static_cast<Enum>((static_cast<int>(value) + 1 + random.below(N - 1)) % N);
}

void add_noise(Clip& clip, double severity, Random& random) {
  const double sigma = 8 + 52 * severity;
  for (std::uint8_t& value : clip.data) {
    value = static_cast<std::uint8_t>(
        std::clamp(std::lround(value + sigma * random.normal()), 0L, 255L));
  }
}

/// Separable Gaussian with the border repeated.
void blur(Clip& clip, double severity) {
  const double sigma = 0.5 + 2.3 * severity;
  const int radius = static_cast<int>(std::ceil(3 * sigma));
  std::vector<float> kernel;
  float sum = 0;
  for (int i = -radius; i <= radius; ++i) {
    kernel.push_back(static_cast<float>(std::exp(-0.5 * i * i / (sigma * sigma))));
    sum += kernel.back();
  }
  for (float& weight : kernel) weight /= sum;
  const int height = clip.height;
  const int width = clip.width;
  std::vector<float> rows(std::size_t(height) * width * 3);
  for (int t = 0; t < clip.frames; ++t) {
    std::uint8_t* frame = clip.frame(t);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        for (int c = 0; c < 3; ++c) {
          float value = 0;
          for (int i = -radius; i <= radius; ++i) {
            value += kernel[std::size_t(i + radius)] *
                     frame[(std::size_t(y) * width + std::clamp(x + i, 0, width - 1)) * 3 + c];
          }
          rows[(std::size_t(y) * width + x) * 3 + c] = value;
        }
      }
    }
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width * 3; ++x) {
        float value = 0;
        for (int i = -radius; i <= radius; ++i) {
          value += kernel[std::size_t(i + radius)] *
                   rows[std::size_t(std::clamp(y + i, 0, height - 1)) * width * 3 + x];
        }
        frame[std::size_t(y) * width * 3 + x] = static_cast<std::uint8_t>(std::lround(value));
      }
    }
  }
}

/// Brightness that changes from frame to frame. The pedestal lets black flicker too.
void flicker(Clip& clip, double severity, Random& random) {
  const double amplitude = 0.08 + 0.42 * severity;
  double sign = random.chance(0.5) ? 1 : -1;
  for (int t = 0; t < clip.frames; ++t) {
    const double gain = 1 + sign * amplitude * random.uniform(0.4, 1);
    if (random.chance(0.75)) sign = -sign;
    std::uint8_t* frame = clip.frame(t);
    for (std::size_t i = 0; i < std::size_t(clip.height) * clip.width * 3; ++i) {
      frame[i] = static_cast<std::uint8_t>(
          std::clamp(std::lround((frame[i] + 30.0) * gain - 30.0), 0L, 255L));
    }
  }
}

/// Blocks of 8 pixels drawn towards their mean, with an error of their own, as a starved codec
/// does.
void block(Clip& clip, double severity, Random& random) {
  constexpr int kBlock = 8;
  const double blend = 0.15 + 0.5 * severity;
  const double error = 3 + 14 * severity;
  for (int t = 0; t < clip.frames; ++t) {
    std::uint8_t* frame = clip.frame(t);
    for (int y0 = 0; y0 < clip.height; y0 += kBlock) {
      for (int x0 = 0; x0 < clip.width; x0 += kBlock) {
        const double offset = error * random.uniform(-1, 1);
        const int y1 = std::min(y0 + kBlock, clip.height);
        const int x1 = std::min(x0 + kBlock, clip.width);
        for (int c = 0; c < 3; ++c) {
          double mean = 0;
          for (int y = y0; y < y1; ++y) {
            for (int x = x0; x < x1; ++x) mean += frame[(std::size_t(y) * clip.width + x) * 3 + c];
          }
          mean /= (y1 - y0) * (x1 - x0);
          for (int y = y0; y < y1; ++y) {
            for (int x = x0; x < x1; ++x) {
              std::uint8_t& value = frame[(std::size_t(y) * clip.width + x) * 3 + c];
              value = static_cast<std::uint8_t>(
                  std::clamp(std::lround(value + blend * (mean - value) + offset), 0L, 255L));
            }
          }
        }
      }
    }
  }
}

}  // namespace

Aspect aspect_of(FlawKind kind) {
  return kind <= FlawKind::kBlocking ? Aspect::kVisual
         : kind <= FlawKind::kCount  ? Aspect::kText
                                     : Aspect::kPhysical;
}

FlawKind flaw_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kFlawNames.size(); ++i) {
    if (name == kFlawNames[i]) return static_cast<FlawKind>(i);
  }
  fail("flaw_unknown", "tinyworld", "flaw must be one of {}, but got {}",
       fmt::join(kFlawNames, ", "), name);
}

double severity_of(const std::vector<Flaw>& flaws, Aspect aspect) {
  double good = 1;
  for (const Flaw& flaw : flaws) {
    if (aspect_of(flaw.kind) == aspect) good *= 1 - std::clamp(flaw.severity, 0.0, 1.0);
  }
  return 1 - good;
}

Scene shown_instead(const Scene& scene, const std::vector<Flaw>& flaws, std::uint64_t seed) {
  Random random(seed ^ 0x7465787466ULL);
  Scene shown = scene;
  for (const Flaw& flaw : flaws) {
    if (aspect_of(flaw.kind) != Aspect::kText) continue;
    if (flaw.kind == FlawKind::kBackground) {
      shown.background = another<4>(random, shown.background);
      continue;
    }
    if (flaw.kind == FlawKind::kCount) {
      if (shown.objects.size() > 1 && random.chance(0.6)) {
        shown.objects.erase(shown.objects.begin() +
                            random.below(static_cast<int>(shown.objects.size())));
      } else {
        Object extra = shown.objects[0];
        extra.colour = another<6>(random, extra.colour);
        extra.shape = static_cast<Shape>(random.below(3));
        extra.size = Size::kSmall;
        extra.motion = static_cast<Motion>(random.below(5));
        shown.objects.push_back(extra);
      }
      continue;
    }
    const int only = random.below(static_cast<int>(shown.objects.size()));
    for (int i = 0; i < static_cast<int>(shown.objects.size()); ++i) {
      if (flaw.severity <= 0.5 && i != only) continue;
      Object& object = shown.objects[std::size_t(i)];
      if (flaw.kind == FlawKind::kColour) object.colour = another<6>(random, object.colour);
      if (flaw.kind == FlawKind::kShape) object.shape = another<3>(random, object.shape);
      if (flaw.kind == FlawKind::kSize) object.size = another<2>(random, object.size);
      if (flaw.kind == FlawKind::kDirection) object.motion = another<6>(random, object.motion);
    }
  }
  return shown;
}

void damage(Clip& clip, const std::vector<Flaw>& flaws, std::uint64_t seed) {
  Random random(seed ^ 0x76697375616cULL);
  // In the order of a camera and a codec, whatever the order they are named in.
  const auto each = [&](FlawKind kind, auto&& apply) {
    for (const Flaw& flaw : flaws) {
      if (flaw.kind == kind) apply(std::clamp(flaw.severity, 0.0, 1.0));
    }
  };
  each(FlawKind::kBlur, [&](double s) { blur(clip, s); });
  each(FlawKind::kFlicker, [&](double s) { flicker(clip, s, random); });
  each(FlawKind::kNoise, [&](double s) { add_noise(clip, s, random); });
  each(FlawKind::kBlocking, [&](double s) { block(clip, s, random); });
}

void chroma_round_trip(Clip& clip) {
  const int width = clip.width;
  for (int t = 0; t < clip.frames; ++t) {
    std::uint8_t* frame = clip.frame(t);
    for (int y0 = 0; y0 + 1 < clip.height; y0 += 2) {
      for (int x0 = 0; x0 + 1 < width; x0 += 2) {
        float blue = 0;
        float red = 0;
        std::array<float, 4> luma{};
        for (int i = 0; i < 4; ++i) {
          const std::uint8_t* p = frame + (std::size_t(y0 + i / 2) * width + x0 + i % 2) * 3;
          luma[std::size_t(i)] = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
          blue += (p[2] - luma[std::size_t(i)]) / 4;
          red += (p[0] - luma[std::size_t(i)]) / 4;
        }
        for (int i = 0; i < 4; ++i) {
          std::uint8_t* p = frame + (std::size_t(y0 + i / 2) * width + x0 + i % 2) * 3;
          const float y = luma[std::size_t(i)];
          const std::array<float, 3> rgb{y + red, y - (0.299f * red + 0.114f * blue) / 0.587f,
                                         y + blue};
          for (int c = 0; c < 3; ++c) {
            p[c] =
                static_cast<std::uint8_t>(std::clamp(std::lround(rgb[std::size_t(c)]), 0L, 255L));
          }
        }
      }
    }
  }
}

Scene random_scene(Random& random, Split split) {
  for (;;) {
    Scene scene;
    const int count = random.chance(0.3) ? 2 : 1;
    for (int i = 0; i < count; ++i) {
      scene.objects.push_back(
          {static_cast<Size>(random.below(2)), static_cast<Colour>(random.below(6)),
           static_cast<Shape>(random.below(3)), static_cast<Motion>(random.below(6))});
    }
    scene.background = static_cast<Background>(random.below(4));
    if (count == 2) {  // two objects that differ in one word cannot be told apart from their trails
      if (scene.objects[0].colour == scene.objects[1].colour) continue;
    }
    if (split_of(scene) == split) return scene;
  }
}

std::vector<Flaw> random_flaws(Random& random, const FlawMix& mix) {
  std::vector<Flaw> flaws;
  if (mix.kinds.empty() || random.chance(mix.clean)) return flaws;
  const int count = 1 + (random.chance(0.4) ? 1 : 0) + (random.chance(0.15) ? 1 : 0);
  for (int i = 0; i < count; ++i) {
    const FlawKind kind = mix.kinds[std::size_t(random.below(static_cast<int>(mix.kinds.size())))];
    const auto same = [&](const Flaw& flaw) { return flaw.kind == kind; };
    if (std::any_of(flaws.begin(), flaws.end(), same)) continue;
    flaws.push_back({kind, random.uniform(0.1, 1)});
  }
  return flaws;
}

}  // namespace bestreel::tinyworld
