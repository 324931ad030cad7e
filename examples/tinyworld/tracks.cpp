#include "examples/tinyworld/tracks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "examples/tinyworld/motion.h"

namespace bestreel::tinyworld {
namespace {

struct Chain {
  std::vector<int> frames;
  std::vector<const Spot*> spots;
  std::array<double, 6> votes{};
  Colour colour() const {
    return static_cast<Colour>(std::max_element(votes.begin(), votes.end()) - votes.begin());
  }
};

/// Joins each spot to the chain of its colour that is nearest; colour weighs as much as 40 pixels.
std::vector<Chain> join(const std::vector<std::vector<Spot>>& spots) {
  std::vector<Chain> chains;
  for (int t = 0; t < static_cast<int>(spots.size()); ++t) {
    struct Pair {
      double cost;
      std::size_t chain;
      const Spot* spot;
    };
    std::vector<Pair> pairs;
    for (const Spot& spot : spots[std::size_t(t)]) {
      for (std::size_t c = 0; c < chains.size(); ++c) {
        const Spot& last = *chains[c].spots.back();
        const double sizes = std::abs(std::log(spot.area / last.area));
        const double cost = std::hypot(spot.x - last.x, spot.y - last.y) +
                            (chains[c].colour() == spot.colour ? 0 : 40) + 8 * sizes;
        if (cost < 62) pairs.push_back({cost, c, &spot});
      }
    }
    std::sort(pairs.begin(), pairs.end(),
              [](const Pair& a, const Pair& b) { return a.cost < b.cost; });
    std::vector<const Spot*> taken;
    std::vector<std::size_t> fed;
    for (const Pair& pair : pairs) {
      if (std::find(taken.begin(), taken.end(), pair.spot) != taken.end()) continue;
      if (std::find(fed.begin(), fed.end(), pair.chain) != fed.end()) continue;
      taken.push_back(pair.spot);
      fed.push_back(pair.chain);
      Chain& chain = chains[pair.chain];
      chain.frames.push_back(t);
      chain.spots.push_back(pair.spot);
      for (std::size_t c = 0; c < 6; ++c) chain.votes[c] += pair.spot->votes[c];
    }
    for (const Spot& spot : spots[std::size_t(t)]) {
      if (std::find(taken.begin(), taken.end(), &spot) != taken.end()) continue;
      chains.push_back({{t}, {&spot}, spot.votes});
    }
  }
  // Pieces of one colour whose times do not overlap are one object that was lost for a while.
  for (std::size_t a = 0; a < chains.size(); ++a) {
    for (std::size_t b = a + 1; b < chains.size();) {
      std::vector<int> common;
      std::set_intersection(chains[a].frames.begin(), chains[a].frames.end(),
                            chains[b].frames.begin(), chains[b].frames.end(),
                            std::back_inserter(common));
      if (chains[a].colour() != chains[b].colour() || !common.empty()) {
        ++b;
        continue;
      }
      std::map<int, const Spot*> all;
      for (const std::size_t i : {a, b}) {
        for (std::size_t k = 0; k < chains[i].frames.size(); ++k)
          all[chains[i].frames[k]] = chains[i].spots[k];
      }
      chains[a].frames.clear();
      chains[a].spots.clear();
      for (const auto& [t, spot] : all) {
        chains[a].frames.push_back(t);
        chains[a].spots.push_back(spot);
      }
      for (std::size_t c = 0; c < 6; ++c) chains[a].votes[c] += chains[b].votes[c];
      chains.erase(chains.begin() + static_cast<std::ptrdiff_t>(b));
    }
  }
  return chains;
}

/// How much of each pixel around the object is the object: 0 = background, 1 = object.
struct Matte {
  int x0 = 0, y0 = 0, width = 0, height = 0;
  std::vector<float> alpha;
  double area = 0, x = 0, y = 0, xx = 0, yy = 0;
};

Matte matte_of(const Even& even, int t, const Rgb& base, const Rgb& ray, const Spot& spot,
               const std::vector<Spot>& others, int margin) {
  Matte matte;
  matte.x0 = std::max(0, spot.x0 - margin);
  matte.y0 = std::max(0, spot.y0 - margin);
  matte.width = std::min(even.width, spot.x1 + margin) - matte.x0;
  matte.height = std::min(even.height, spot.y1 + margin) - matte.y0;
  const float square = ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2];
  matte.alpha.reserve(std::size_t(matte.width) * matte.height);
  for (int y = matte.y0; y < matte.y0 + matte.height; ++y) {
    for (int x = matte.x0; x < matte.x0 + matte.width; ++x) {
      const Rgb& p = even.at(t, y, x);
      float alpha = 0;
      for (std::size_t c = 0; c < 3; ++c) alpha += (p[c] - base[c]) * ray[c];
      matte.alpha.push_back(std::clamp(alpha / square, -0.5f, 1.5f));
    }
  }
  for (const Spot& other : others) {  // a neighbour's pixels are no part of this object
    if (&other == &spot) continue;
    for (const auto& [y, x] : other.pixels) {
      for (int v = y - 1; v <= y + 1; ++v) {
        for (int u = x - 1; u <= x + 1; ++u) {
          if (u < matte.x0 || v < matte.y0 || u >= matte.x0 + matte.width ||
              v >= matte.y0 + matte.height)
            continue;
          matte.alpha[std::size_t(v - matte.y0) * matte.width + (u - matte.x0)] = 0;
        }
      }
    }
  }
  double sum = 0;
  for (int y = 0; y < matte.height; ++y) {
    for (int x = 0; x < matte.width; ++x) {
      const double a = matte.alpha[std::size_t(y) * matte.width + x];
      sum += a;
      matte.x += a * (x + matte.x0 + 0.5);
      matte.y += a * (y + matte.y0 + 0.5);
    }
  }
  matte.area = std::max(1.0, sum);
  matte.x /= matte.area;
  matte.y /= matte.area;
  // Noise can carry the centre of a faint object away: it stays near its strong pixels.
  matte.x = std::clamp(matte.x, spot.x - 3, spot.x + 3);
  matte.y = std::clamp(matte.y, spot.y - 3, spot.y + 3);
  for (int y = 0; y < matte.height; ++y) {
    for (int x = 0; x < matte.width; ++x) {
      const double a = matte.alpha[std::size_t(y) * matte.width + x];
      const double dx = x + matte.x0 + 0.5 - matte.x;
      const double dy = y + matte.y0 + 0.5 - matte.y;
      matte.xx += a * dx * dx / matte.area;
      matte.yy += a * dy * dy / matte.area;
    }
  }
  return matte;
}

/// Signed distance from the edge of a shape of this radius (of the circle with its area).
double distance_to(Shape shape, double radius, double x, double y) {
  if (shape == Shape::kCircle) return std::hypot(x, y) - radius;
  if (shape == Shape::kSquare) return std::max(std::abs(x), std::abs(y)) - radius * 0.886227;
  return std::max(y - radius * 0.777548, std::abs(x) * 0.866025 - y * 0.5 - radius * 0.777548);
}

/// Separable Gaussian; zero outside.
std::vector<float> blurred(const std::vector<float>& source, int height, int width, double sigma) {
  if (sigma < 0.2) return source;
  const int radius = static_cast<int>(std::ceil(2.5 * sigma));
  std::vector<float> kernel;
  for (int i = 0; i <= radius; ++i)
    kernel.push_back(static_cast<float>(std::exp(-0.5 * i * i / (sigma * sigma))));
  const float sum = 2 * std::accumulate(kernel.begin() + 1, kernel.end(), 0.0f) + 1;
  for (float& weight : kernel) weight /= sum;
  std::vector<float> rows(source.size(), 0);
  std::vector<float> out(source.size(), 0);
  for (int y = 0; y < height; ++y) {
    for (int i = -radius; i <= radius; ++i) {
      const float weight = kernel[std::size_t(std::abs(i))];
      for (int x = std::max(0, -i); x < std::min(width, width - i); ++x) {
        rows[std::size_t(y) * width + x] += weight * source[std::size_t(y) * width + x + i];
      }
    }
  }
  for (int i = -radius; i <= radius; ++i) {
    const float weight = kernel[std::size_t(std::abs(i))];
    for (int y = std::max(0, -i); y < std::min(height, height - i); ++y) {
      for (int x = 0; x < width; ++x)
        out[std::size_t(y) * width + x] += weight * rows[std::size_t(y + i) * width + x];
    }
  }
  return out;
}

/// Which shape and which blur explain the mattes best.
void recognise(Track& track, const std::vector<Matte>& mattes, double noise) {
  constexpr std::array<double, 7> kEdges{0, 0.5, 0.85, 1.25, 1.75, 2.3, 3.0};
  std::array<std::array<double, kEdges.size()>, 3> error{};
  double total = 0;
  double pixels = 0;
  const std::size_t stride = std::max<std::size_t>(1, mattes.size() / 6);
  for (std::size_t k = 0; k < mattes.size(); k += stride) {
    const Matte& matte = mattes[k];
    const double radius = std::sqrt(matte.area / 3.14159265);
    const double wide = std::exp(track.stretch[k] / 2);
    for (const float a : matte.alpha) total += a * a;
    pixels += static_cast<double>(matte.alpha.size());
    for (std::size_t s = 0; s < 3; ++s) {
      std::vector<float> sharp;
      sharp.reserve(matte.alpha.size());
      for (int y = 0; y < matte.height; ++y) {
        for (int x = 0; x < matte.width; ++x) {
          const double dx = (x + matte.x0 + 0.5 - matte.x) / wide;
          const double dy = (y + matte.y0 + 0.5 - matte.y) * wide;
          sharp.push_back(static_cast<float>(
              std::clamp(0.5 - distance_to(static_cast<Shape>(s), radius, dx, dy), 0.0, 1.0)));
        }
      }
      for (std::size_t e = 0; e < kEdges.size(); ++e) {
        const std::vector<float> soft = blurred(sharp, matte.height, matte.width, kEdges[e]);
        for (std::size_t i = 0; i < soft.size(); ++i) {
          error[s][e] += (matte.alpha[i] - soft[i]) * (matte.alpha[i] - soft[i]);
        }
      }
    }
  }
  std::size_t shape = 0;
  std::size_t edge = 0;
  for (std::size_t s = 0; s < 3; ++s) {
    for (std::size_t e = 0; e < kEdges.size(); ++e) {
      if (error[s][e] < error[shape][edge]) {
        shape = s;
        edge = e;
      }
    }
  }
  track.object.shape = static_cast<Shape>(shape);
  track.edge = kEdges[edge];
  if (edge > 0 && edge + 1 < kEdges.size()) {  // the vertex of the parabola through the three best
    const double x0 = kEdges[edge - 1];
    const double x1 = kEdges[edge];
    const double x2 = kEdges[edge + 1];
    const auto [a, b, c] =
        std::array{error[shape][edge - 1], error[shape][edge], error[shape][edge + 1]};
    const double up = (x1 - x0) * (x1 - x0) * (b - c) - (x1 - x2) * (x1 - x2) * (b - a);
    const double down = (x1 - x0) * (b - c) - (x1 - x2) * (b - a);
    if (std::abs(down) > 1e-9) track.edge = std::clamp(x1 - 0.5 * up / down, x0, x2);
  }
  for (std::size_t s = 0; s < 3; ++s) {
    const double least = *std::min_element(error[s].begin(), error[s].end());
    track.doubt[s] = (least - error[shape][edge]) / std::max(1.0, total - pixels * noise * noise);
  }
  const double unexplained = std::max(0.0, error[shape][edge] - pixels * noise * noise);
  track.fit = 1 - unexplained / std::max(1.0, total - pixels * noise * noise);
  if (track.fit < kLeastFit) track.object.shape = Shape::kBlob;
}

}  // namespace

Tracks follow(const Even& even, const Ground& ground, const std::vector<std::vector<Spot>>& spots) {
  Tracks tracks;
  const auto frames = static_cast<double>(spots.size());
  for (const Chain& chain : join(spots)) {
    const auto found = static_cast<double>(chain.frames.size());
    if (found < kLeastPresence * frames) {
      tracks.brief += found >= 2 ? 1 : 0;
      continue;
    }
    Track track;
    track.frames = chain.frames;
    track.object.colour = chain.colour();
    // The colour of its core: the usual strength of its strongest pixels.
    const auto base_of = [&](int t) {
      Rgb base = ground.colour[std::size_t(t)];
      const float gain = std::max(0.3f, ground.gain[std::size_t(t)]);
      for (float& v : base) v = (v + 30) / gain - 30;
      return base;
    };
    Rgb unit = kColours[std::size_t(track.object.colour)];
    const Rgb ground_colour = kBackgrounds[std::size_t(ground.name)];
    float length = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      unit[c] -= ground_colour[c];
      length += unit[c] * unit[c];
    }
    for (float& v : unit) v /= std::sqrt(length);
    std::vector<float> cores;
    for (std::size_t k = 0; k < chain.spots.size(); ++k) {
      const Rgb base = base_of(chain.frames[k]);
      std::vector<float> along;
      for (const auto& [y, x] : chain.spots[k]->pixels) {
        const Rgb& p = even.at(chain.frames[k], y, x);
        along.push_back((p[0] - base[0]) * unit[0] + (p[1] - base[1]) * unit[1] +
                        (p[2] - base[2]) * unit[2]);
      }
      std::sort(along.begin(), along.end());
      // Noise lifts the top: the upper third's middle is the core of a sharp object and of a soft
      // one.
      cores.push_back(along[along.size() * (ground.noise > 15 ? 6 : 8) / 10]);
    }
    std::vector<float> sorted = cores;
    std::sort(sorted.begin(), sorted.end());
    const float core = std::max(20.0f, sorted[sorted.size() / 2]);
    // A blurred rim reaches far; but so do noise and blocks, which a wide margin would add up.
    const int margin = ground.noise > 15 || ground.block_step > 1.5 ? 3 : 6;
    std::vector<Matte> mattes;
    for (std::size_t k = 0; k < chain.spots.size(); ++k) {
      const int t = chain.frames[k];
      // Where brightness flickers into saturation, each frame has a contrast of its own.
      const float own = ground.flicker > 0.03 ? std::max(12.0f, cores[k]) : core;
      const Rgb ray{unit[0] * own, unit[1] * own, unit[2] * own};
      mattes.push_back(
          matte_of(even, t, base_of(t), ray, *chain.spots[k], spots[std::size_t(t)], margin));
      const Matte& matte = mattes.back();
      track.x.push_back(matte.x);
      track.y.push_back(matte.y);
      track.area.push_back(matte.area);
      track.stretch.push_back(
          std::clamp(0.5 * std::log(std::max(1.0, matte.xx) / std::max(1.0, matte.yy)), -1.2, 1.2));
    }
    std::vector<double> areas = track.area;
    std::sort(areas.begin(), areas.end());
    const double usual = areas[areas.size() / 2];
    track.object.size = usual < 210 ? Size::kSmall : Size::kLarge;  // between 113 and 380
    recognise(track, mattes, ground.noise / core);
    describe_motion(track);
    tracks.objects.push_back(std::move(track));
  }
  std::sort(tracks.objects.begin(), tracks.objects.end(),
            [](const Track& a, const Track& b) { return a.x.front() < b.x.front(); });
  return tracks;
}

}  // namespace bestreel::tinyworld
