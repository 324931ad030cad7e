#include "examples/tinyworld/segment.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bestreel::tinyworld {
namespace {

constexpr float kPedestal = 30;    // black flickers too: see flaws.cpp
constexpr double kLeastArea = 22;  // pixels; a small object that pulses has about 50

float luma(const Rgb& p) { return 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

Rgb pixel(const Clip& clip, int t, int y, int x) {
  const std::uint8_t* p = clip.frame(t) + (std::size_t(y) * clip.width + x) * 3;
  return {float(p[0]), float(p[1]), float(p[2])};
}

float norm(const Rgb& d) { return std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]); }
Rgb minus(const Rgb& a, const Rgb& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

template <typename T>
T median(std::vector<T> values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Standard deviation of a Gaussian around `level` whose values below 0 became 0.
double clipped_deviation(double level, double sigma) {
  if (sigma < 1e-6) return 0;
  const double z = level / sigma;
  const double pdf = std::exp(-0.5 * z * z) / 2.5066282746;
  const double cdf = 0.5 * std::erfc(-z / 1.41421356237);
  const double mean = level * cdf + sigma * pdf;
  const double square = (level * level + sigma * sigma) * cdf + level * sigma * pdf;
  return std::sqrt(std::max(0.0, square - mean * mean));
}

/// The noise of one channel that gives this deviation of the luma over the background.
double undo_clipping(const Rgb& level, double luma_deviation) {
  const std::array<double, 3> weight{0.299, 0.587, 0.114};
  double low = 0;
  double high = 150;
  for (int i = 0; i < 24; ++i) {
    const double sigma = (low + high) / 2;
    double square = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      const double d = weight[c] * clipped_deviation(level[c], sigma);
      square += d * d;
    }
    (std::sqrt(square) < luma_deviation ? low : high) = sigma;
  }
  return (low + high) / 2;
}

Rgb frame_median(const Clip& clip, int t) {
  Rgb colour{};
  for (int c = 0; c < 3; ++c) {
    std::array<int, 256> histogram{};
    const std::uint8_t* frame = clip.frame(t);
    const int count = clip.height * clip.width;
    for (int i = 0; i < count; ++i) ++histogram[frame[i * 3 + c]];
    int seen = 0;
    int level = 0;
    while (seen + histogram[std::size_t(level)] <= count / 2)
      seen += histogram[std::size_t(level++)];
    colour[std::size_t(c)] = static_cast<float>(level);
  }
  return colour;
}

template <std::size_t N>
std::size_t nearest(const std::array<Rgb, N>& palette, const Rgb& colour) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < N; ++i) {
    if (norm(minus(palette[i], colour)) < norm(minus(palette[best], colour))) best = i;
  }
  return best;
}

/// Which pixels of frame t belong to the background for certain.
std::vector<bool> certain_ground(const Clip& clip, int t, const Rgb& colour) {
  const int h = clip.height;
  const int w = clip.width;
  std::vector<float> far(std::size_t(h) * w);
  // A 5 x 5 mean tells an object from noise.
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      Rgb sum{};
      int count = 0;
      for (int v = std::max(0, y - 2); v <= std::min(h - 1, y + 2); ++v) {
        for (int u = std::max(0, x - 2); u <= std::min(w - 1, x + 2); ++u, ++count) {
          const Rgb p = pixel(clip, t, v, u);
          for (std::size_t c = 0; c < 3; ++c) sum[c] += p[c];
        }
      }
      for (float& v : sum) v /= static_cast<float>(count);
      far[std::size_t(y) * w + x] = norm(minus(sum, colour));
    }
  }
  const float usual = median(far);
  std::vector<bool> ground(far.size());
  for (std::size_t i = 0; i < far.size(); ++i) ground[i] = far[i] < usual * 2 + 14;
  return ground;
}

}  // namespace

Ground look_at_ground(const Clip& clip) {
  Ground ground;
  std::vector<float> brightness;
  std::array<std::vector<float>, 3> channels;
  for (int t = 0; t < clip.frames; ++t) {
    ground.colour.push_back(frame_median(clip, t));
    brightness.push_back(luma(ground.colour.back()));
    for (std::size_t c = 0; c < 3; ++c) channels[c].push_back(ground.colour.back()[c]);
  }
  const float usual = median(brightness);
  for (const float value : brightness) {
    ground.gain.push_back((value + kPedestal) / (usual + kPedestal));
    ground.flicker += std::abs(ground.gain.back() - 1) / clip.frames;
  }
  const Rgb level{median(channels[0]), median(channels[1]), median(channels[2])};
  ground.name = static_cast<Background>(nearest(kBackgrounds, level));

  // Noise: what a 3 x 3 mean takes away. Blocks: the steps that lie on their grid.
  double residual = 0;
  double on_grid = 0;
  double off_grid = 0;
  std::int64_t residuals = 0;
  std::int64_t on = 0;
  std::int64_t off = 0;
  for (int t = 0; t < clip.frames; t += 4) {
    const std::vector<bool> sure = certain_ground(clip, t, ground.colour[std::size_t(t)]);
    const auto is_sure = [&](int y, int x) { return sure[std::size_t(y) * clip.width + x]; };
    std::vector<float> y_plane(std::size_t(clip.height) * clip.width);
    for (int y = 0; y < clip.height; ++y) {
      for (int x = 0; x < clip.width; ++x)
        y_plane[std::size_t(y) * clip.width + x] = luma(pixel(clip, t, y, x));
    }
    const auto value = [&](int y, int x) { return y_plane[std::size_t(y) * clip.width + x]; };
    for (int y = 1; y + 1 < clip.height; ++y) {
      for (int x = 1; x + 1 < clip.width; ++x) {
        if (!is_sure(y, x)) continue;
        // Not across the block grid, where the step is the block's and not noise.
        if (x % 8 != 0 && x % 8 != 7 && y % 8 != 0 && y % 8 != 7) {
          float mean = 0;
          for (int v = -1; v <= 1; ++v) {
            for (int u = -1; u <= 1; ++u) mean += value(y + v, x + u) / 9;
          }
          residual += (value(y, x) - mean) * (value(y, x) - mean);
          ++residuals;
        }
        if (is_sure(y, x + 1)) {
          const double step = std::abs(value(y, x + 1) - value(y, x));
          (x % 8 == 7 ? on_grid : off_grid) += step;
          ++(x % 8 == 7 ? on : off);
        }
      }
    }
  }
  if (residuals > 0) {
    const double deviation = std::sqrt(residual / static_cast<double>(residuals) * 9 / 8);
    ground.noise = undo_clipping(level, deviation);
  }
  if (on > 0 && off > 0) {
    const double a = on_grid / static_cast<double>(on);
    const double b = off_grid / static_cast<double>(off);
    // Beyond what chance makes of noise: two standard errors of the mean step.
    const double chance = 2 * 2 * 0.76 * b * b / std::sqrt(static_cast<double>(on));
    ground.block_step = std::sqrt(std::max(0.0, a * a - b * b - chance));
  }
  return ground;
}

Even even_out(const Clip& clip, const Ground& ground) {
  Even even{clip.height, clip.width, {}};
  for (int t = 0; t < clip.frames; ++t) {
    std::vector<Rgb> frame;
    frame.reserve(std::size_t(clip.height) * clip.width);
    const float gain = std::max(0.3f, ground.gain[std::size_t(t)]);
    for (int i = 0; i < clip.height * clip.width; ++i) {
      const std::uint8_t* p = clip.frame(t) + std::size_t(i) * 3;
      frame.push_back({(p[0] + kPedestal) / gain - kPedestal, (p[1] + kPedestal) / gain - kPedestal,
                       (p[2] + kPedestal) / gain - kPedestal});
    }
    even.frames.push_back(std::move(frame));
  }
  return even;
}

namespace {

std::vector<Rgb> smoothed(const Even& even, int t, int radius) {
  if (radius == 0) return even.frames[std::size_t(t)];
  std::vector<Rgb> out(even.frames[std::size_t(t)].size());
  for (int y = 0; y < even.height; ++y) {
    for (int x = 0; x < even.width; ++x) {
      Rgb sum{};
      float count = 0;
      for (int v = std::max(0, y - radius); v <= std::min(even.height - 1, y + radius); ++v) {
        for (int u = std::max(0, x - radius); u <= std::min(even.width - 1, x + radius); ++u) {
          const Rgb& p = even.at(t, v, u);
          for (std::size_t c = 0; c < 3; ++c) sum[c] += p[c];
          ++count;
        }
      }
      for (float& v : sum) v /= count;
      out[std::size_t(y) * even.width + x] = sum;
    }
  }
  return out;
}

/// The colour that a mixture with the background points to.
Colour direction_of(const Rgb& difference, const Rgb& ground) {
  Colour best = Colour::kRed;
  float best_cosine = -2;
  for (std::size_t i = 0; i < kColours.size(); ++i) {
    const Rgb ray = minus(kColours[i], ground);
    const float cosine =
        (difference[0] * ray[0] + difference[1] * ray[1] + difference[2] * ray[2]) /
        (norm(ray) * std::max(1e-3f, norm(difference)));
    if (cosine > best_cosine) {
      best_cosine = cosine;
      best = static_cast<Colour>(i);
    }
  }
  return best;
}

void finish(Spot& spot) {
  spot.area = static_cast<double>(spot.pixels.size());
  spot.x0 = spot.y0 = 1 << 20;
  spot.x1 = spot.y1 = 0;
  for (const auto& [y, x] : spot.pixels) {
    spot.x += (x + 0.5) / spot.area;
    spot.y += (y + 0.5) / spot.area;
    spot.x0 = std::min(spot.x0, x);
    spot.y0 = std::min(spot.y0, y);
    spot.x1 = std::max(spot.x1, x + 1);
    spot.y1 = std::max(spot.y1, y + 1);
  }
  spot.colour = static_cast<Colour>(std::max_element(spot.votes.begin(), spot.votes.end()) -
                                    spot.votes.begin());
}

}  // namespace

std::vector<std::vector<Spot>> find_spots(const Even& even, const Ground& ground) {
  std::vector<std::vector<Spot>> all;
  const int radius = ground.noise > 25 ? 2 : ground.noise > 6 || ground.block_step > 2 ? 1 : 0;
  const double left = ground.noise / (2 * radius + 1) * 1.7;  // of the noise, over three channels
  // Where brightness saturates, an object keeps less of its contrast.
  const double threshold = (ground.flicker > 0.05 ? 20 : 30) + 2.2 * left + 1.2 * ground.block_step;
  const int w = even.width;
  for (int t = 0; t < static_cast<int>(even.frames.size()); ++t) {
    const std::vector<Rgb> frame = smoothed(even, t, radius);
    Rgb base = ground.colour[std::size_t(t)];
    const float gain = std::max(0.3f, ground.gain[std::size_t(t)]);
    for (float& v : base) v = (v + kPedestal) / gain - kPedestal;
    std::vector<float> strength(frame.size());
    for (std::size_t i = 0; i < frame.size(); ++i) strength[i] = norm(minus(frame[i], base));
    std::vector<char> done(frame.size(), 0);
    std::vector<Spot> spots;
    for (int i = 0; i < static_cast<int>(frame.size()); ++i) {
      if (done[std::size_t(i)] != 0 || strength[std::size_t(i)] < threshold) continue;
      std::vector<int> blob{i};
      done[std::size_t(i)] = 1;
      for (std::size_t k = 0; k < blob.size(); ++k) {
        const int y = blob[k] / w;
        const int x = blob[k] % w;
        const std::array<std::pair<int, int>, 4> next{
            {{y - 1, x}, {y + 1, x}, {y, x - 1}, {y, x + 1}}};
        for (const auto& [v, u] : next) {
          if (v < 0 || u < 0 || v >= even.height || u >= w) continue;
          const int j = v * w + u;
          if (done[std::size_t(j)] != 0 || strength[std::size_t(j)] < threshold) continue;
          done[std::size_t(j)] = 1;
          blob.push_back(j);
        }
      }
      if (static_cast<double>(blob.size()) < kLeastArea) continue;
      std::vector<float> strengths;
      for (const int j : blob) strengths.push_back(strength[std::size_t(j)]);
      std::sort(strengths.begin(), strengths.end());
      const float peak = strengths[strengths.size() * 9 / 10];
      if (peak < 1.35 * threshold && peak < 75) continue;
      // Parts of one blob by colour; its faint rim follows the strong pixels.
      std::array<Spot, 6> parts;
      double votes = 0;
      for (const int j : blob) {
        if (strength[std::size_t(j)] < 0.5f * peak) continue;
        const auto c =
            static_cast<std::size_t>(direction_of(minus(frame[std::size_t(j)], base), base));
        parts[c].pixels.emplace_back(j / w, j % w);
        ++votes;
      }
      Spot rest;
      for (std::size_t c = 0; c < parts.size(); ++c) {
        const auto count = static_cast<double>(parts[c].pixels.size());
        if (count >= 0.2 * votes && count >= kLeastArea) {
          parts[c].votes[c] = count;
          finish(parts[c]);
          spots.push_back(parts[c]);
        } else if (count > 0) {
          rest.votes[c] += count;
          rest.pixels.insert(rest.pixels.end(), parts[c].pixels.begin(), parts[c].pixels.end());
        }
      }
      // What is left belongs to the only part, or is a spot of no clear colour.
      if (!rest.pixels.empty()) {
        Spot* home = nullptr;
        double nearest_distance = 1e9;
        Spot loose = rest;
        finish(loose);
        for (Spot& spot : spots) {
          const double distance = std::hypot(spot.x - loose.x, spot.y - loose.y);
          if (distance < 24 && distance < nearest_distance) {
            nearest_distance = distance;
            home = &spot;
          }
        }
        if (home != nullptr && rest.pixels.size() < home->pixels.size()) {
          const std::array<double, 6> before = home->votes;
          home->pixels.insert(home->pixels.end(), rest.pixels.begin(), rest.pixels.end());
          home->x = home->y = 0;
          for (std::size_t c = 0; c < 6; ++c) home->votes[c] = before[c] + rest.votes[c];
          finish(*home);
        } else if (loose.area >= kLeastArea) {
          spots.push_back(loose);
        }
      }
    }
    std::sort(spots.begin(), spots.end(),
              [](const Spot& a, const Spot& b) { return a.area > b.area; });
    if (spots.size() > 4) spots.resize(4);
    all.push_back(std::move(spots));
  }
  return all;
}

}  // namespace bestreel::tinyworld
