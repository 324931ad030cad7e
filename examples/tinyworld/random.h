// Random numbers that are the same on every platform: std's distributions are not.
#pragma once

#include <cmath>
#include <cstdint>

namespace bestreel::tinyworld {

/// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  /// The seed is hashed: streams of neighbouring seeds must not be shifts of one another.
  explicit Random(std::uint64_t seed) : state_(mixed(seed + 0x1234567ULL)) {}

  std::uint64_t bits() { return mixed(state_ += 0x9e3779b97f4a7c15ULL); }
  /// 0 <= x < 1
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// 0 <= x < n
  int below(int n) { return static_cast<int>(uniform() * n); }
  bool chance(double p) { return uniform() < p; }
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }

 private:
  static std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

}  // namespace bestreel::tinyworld
