#include "examples/tinyworld/render.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/base/fail.h"

namespace bestreel::tinyworld {
namespace {

struct Point {
  double x = 0, y = 0;
};

/// Where an object is in each frame and how it is drawn there.
struct Trail {
  Object object;
  std::array<Point, kFrames> at{};
  std::array<double, kFrames> scale{};    ///< of the radius
  std::array<double, kFrames> stretch{};  ///< log of width over height
  std::array<bool, kFrames> there{};
};

double radius_of(const Object& object) { return kRadii[static_cast<std::size_t>(object.size)]; }

/// Half the extent of a shape, in units of the radius of the circle with the same area.
double reach(Shape shape) { return shape == Shape::kTriangle ? 1.45 : 1.05; }

Trail random_trail(const Object& object, Random& random) {
  Trail trail{object, {}, {}, {}, {}};
  trail.scale.fill(1);
  trail.stretch.fill(0);
  trail.there.fill(true);
  const double margin = radius_of(object) * reach(object.shape) + 1;
  const double low = margin;
  const double high = kSide - margin;
  const double distance = std::min(random.uniform(24, 32), high - low);
  const double across = random.uniform(low, high);
  const double start = random.uniform(low, high - distance);
  for (int t = 0; t < kFrames; ++t) {
    const double along = start + distance * t / (kFrames - 1);
    const double back = start + distance - distance * t / (kFrames - 1);
    Point& point = trail.at[std::size_t(t)];
    switch (object.motion) {
      case Motion::kStill:
        point = {across, start + distance / 2};
        break;
      case Motion::kLeft:
        point = {back, across};
        break;
      case Motion::kRight:
        point = {along, across};
        break;
      case Motion::kUp:
        point = {across, back};
        break;
      case Motion::kDown:
        point = {across, along};
        break;
      case Motion::kBounce: {
        // Falls for 5 frames, then bounces to 0.6 of the height, for 2 x 5 x sqrt(0.6) frames.
        const double fall = 5;
        const double rise = 0.6;
        const double bounce = fall * std::sqrt(rise);
        const double floor = high - (high - low - distance) * 0.5;
        double height = 0;
        if (t <= fall) {
          height = 1 - (t / fall) * (t / fall);
        } else if (t <= fall + 2 * bounce) {
          const double u = (t - fall - bounce) / bounce;
          height = rise * (1 - u * u);
        } else {
          const double again = bounce * std::sqrt(rise);
          const double u = std::min(1.0, (t - fall - 2 * bounce - again) / again);
          height = rise * rise * (1 - u * u);
        }
        point = {across, floor - distance * std::max(0.0, height)};
        break;
      }
    }
  }
  return trail;
}

/// How far two objects keep apart, less what they need: negative = they touch.
double clearance(const Trail& a, const Trail& b) {
  const double need =
      radius_of(a.object) * reach(a.object.shape) + radius_of(b.object) * reach(b.object.shape);
  double least = 1e9;
  for (std::size_t t = 0; t < kFrames; ++t) {
    least = std::min(least, std::hypot(a.at[t].x - b.at[t].x, a.at[t].y - b.at[t].y));
  }
  return least - need;
}

std::vector<Trail> place(const Scene& scene, Random& random) {
  std::vector<Trail> best;
  double best_clearance = -1e9;
  for (int attempt = 0; attempt < 200; ++attempt) {
    std::vector<Trail> trails;
    double least = 1e9;
    for (const Object& object : scene.objects) {
      trails.push_back(random_trail(object, random));
      for (std::size_t i = 0; i + 1 < trails.size(); ++i) {
        least = std::min(least, clearance(trails[i], trails.back()));
      }
    }
    if (least > best_clearance) {
      best_clearance = least;
      best = std::move(trails);
    }
    if (best_clearance > 2) break;
  }
  return best;
}

/// Moves the rest of the trail somewhere else in the picture.
void teleport(Trail& trail, double severity, const std::vector<Trail>& all, Random& random) {
  const int when = 6 + random.below(5);
  const double length = 10 + 22 * severity;
  const double margin = radius_of(trail.object) * reach(trail.object.shape);
  const double turn = random.uniform(0, 2 * std::numbers::pi);
  std::array<Point, kFrames> best = trail.at;
  double best_worth = -1e9;
  for (int i = 0; i < 16; ++i) {
    const double angle = turn + i * std::numbers::pi / 8;
    Trail tried = trail;
    double outside = 0;
    for (int t = when; t < kFrames; ++t) {
      Point& point = tried.at[std::size_t(t)];
      point.x += length * std::cos(angle);
      point.y += length * std::sin(angle);
      for (const double v : {point.x, point.y}) {
        outside = std::max({outside, margin - v, v - (kSide - margin)});
      }
    }
    double worth = -4 * outside;
    for (const Trail& other : all) {
      if (&other != &trail) worth += std::min(2.0, clearance(tried, other));
    }
    if (worth > best_worth + 1e-9) {
      best_worth = worth;
      best = tried.at;
    }
  }
  trail.at = best;
}

void strike(Trail& trail, const Flaw& flaw, const std::vector<Trail>& all, Random& random) {
  const double s = std::clamp(flaw.severity, 0.0, 1.0);
  const double phase = random.uniform(0, 2 * std::numbers::pi);
  switch (flaw.kind) {
    case FlawKind::kTeleport:
      teleport(trail, s, all, random);
      break;
    case FlawKind::kDeform:
      for (int t = 0; t < kFrames; ++t) {
        trail.stretch[std::size_t(t)] =
            (0.15 + 0.85 * s) * std::sin(2 * std::numbers::pi * t / 10 + phase);
      }
      break;
    case FlawKind::kVanish: {
      const int count = 2 + static_cast<int>(std::lround(7 * s));
      const int start = 3 + random.below(std::max(1, 15 - 3 - count));
      for (int t = start; t < start + count && t < kFrames; ++t)
        trail.there[std::size_t(t)] = false;
      break;
    }
    case FlawKind::kPulse:
      for (int t = 0; t < kFrames; ++t) {
        trail.scale[std::size_t(t)] =
            std::exp((0.06 + 0.36 * s) * std::sin(2 * std::numbers::pi * t / 8 + phase));
      }
      break;
    case FlawKind::kJerk:
      for (Point& point : trail.at) {
        const double angle = random.uniform(0, 2 * std::numbers::pi);
        point.x += (1.2 + 4.3 * s) * std::cos(angle);
        point.y += (1.2 + 4.3 * s) * std::sin(angle);
      }
      break;
    default:
      break;
  }
}

/// Signed distance in pixels of (x, y) from the edge of the shape around the origin; inside < 0.
double distance_to(Shape shape, double radius, double x, double y) {
  switch (shape) {
    case Shape::kCircle:
      return std::hypot(x, y) - radius;
    case Shape::kSquare: {
      const double half = radius * 0.886227;  // the circle's area
      return std::max(std::abs(x), std::abs(y)) - half;
    }
    case Shape::kTriangle: {
      // Equilateral, point up, the circle's area; the centroid lies in the origin.
      const double inner = radius * 0.777548;
      return std::max(y - inner, std::abs(x) * 0.866025 - y * 0.5 - inner);
    }
    case Shape::kBlob:
      fail("usage", "tinyworld", "a shape must be circle, square or triangle to be drawn");
  }
  return 0;
}

void draw(Clip& clip, int t, const Trail& trail) {
  const auto i = static_cast<std::size_t>(t);
  if (!trail.there[i]) return;
  const double radius = radius_of(trail.object) * trail.scale[i];
  const double wide = std::exp(trail.stretch[i] / 2);
  const Rgb colour = kColours[static_cast<std::size_t>(trail.object.colour)];
  std::uint8_t* frame = clip.frame(t);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double distance =
          distance_to(trail.object.shape, radius, (x + 0.5 - trail.at[i].x) / wide,
                      (y + 0.5 - trail.at[i].y) * wide);
      const double coverage = std::clamp(0.5 - distance, 0.0, 1.0);
      if (coverage == 0) continue;
      for (int c = 0; c < 3; ++c) {
        std::uint8_t& value = frame[(std::size_t(y) * kSide + x) * 3 + c];
        value = static_cast<std::uint8_t>(
            std::lround(value + coverage * (colour[std::size_t(c)] - value)));
      }
    }
  }
}

}  // namespace

Clip render(const Scene& scene, const std::vector<Flaw>& flaws, std::uint64_t seed) {
  Random random(seed);
  const Scene shown = shown_instead(scene, flaws, seed);
  std::vector<Trail> trails = place(shown, random);
  for (const Flaw& flaw : flaws) {
    if (aspect_of(flaw.kind) != Aspect::kPhysical) continue;
    Trail& trail = trails[std::size_t(random.below(static_cast<int>(trails.size())))];
    strike(trail, flaw, trails, random);
  }
  Clip clip;
  clip.data.resize(std::size_t(kFrames) * kSide * kSide * 3);
  const Rgb background = kBackgrounds[static_cast<std::size_t>(shown.background)];
  for (std::size_t i = 0; i < clip.data.size(); ++i) {
    clip.data[i] = static_cast<std::uint8_t>(background[i % 3]);
  }
  for (int t = 0; t < kFrames; ++t) {
    for (const Trail& trail : trails) draw(clip, t, trail);
  }
  damage(clip, flaws, seed);
  return clip;
}

VideoPtr to_video(const Clip& clip) {
  const std::int64_t h = clip.height;
  const std::int64_t w = clip.width;
  auto owned = std::make_shared<std::vector<std::uint8_t>>(clip.data);
  TensorView view{
      owned->data(), DType::kUInt8, {}, {clip.frames, 3, h, w}, {h * w * 3, 1, w * 3, 3}, owned};
  return video_from_frames(std::move(view), {kFps, 1});
}

Clip from_video(const Video& video) {
  const VideoInfo& info = video.info();
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < info.frame_count; ++i) indices.push_back(i);
  const TensorView view = video.read_host(indices);
  Clip clip{static_cast<int>(view.dim(0)),
            static_cast<int>(view.dim(2)),
            static_cast<int>(view.dim(3)),
            {}};
  clip.data.reserve(std::size_t(clip.frames) * clip.height * clip.width * 3);
  const auto* data = static_cast<const std::uint8_t*>(view.data);
  for (std::int64_t t = 0; t < clip.frames; ++t) {
    for (std::int64_t y = 0; y < clip.height; ++y) {
      for (std::int64_t x = 0; x < clip.width; ++x) {
        for (std::int64_t c = 0; c < 3; ++c) {
          clip.data.push_back(data[t * view.strides[0] + c * view.strides[1] + y * view.strides[2] +
                                   x * view.strides[3]]);
        }
      }
    }
  }
  return clip;
}

}  // namespace bestreel::tinyworld
