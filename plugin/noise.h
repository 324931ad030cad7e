// Where a trajectory begins, as an expression: lineage is text that can be replayed. Public header.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/export.h"

namespace bestreel {

/// Initial noise n, of the shape of the engine's latents. With u = n / |n|, g fresh noise drawn
/// from `key`, and w = normalize(g - (g.u) u):
///   Seed       n drawn from the seed, as diffusers draws it on the CPU
///   Neighbour  |n| (c u + sqrt(1 - c^2) w): the norm kept, the cosine to the parent exactly c
///              (zero-order search; Ma et al., arXiv 2501.09732, as in their released code)
///   Mix        sqrt(1 - b^2) n + b g (EvoSearch, arXiv 2505.17618; LatSearch, arXiv 2603.14526)
/// A value: cheap to copy, parents are shared.
class BESTREEL_API Noise {
 public:
  struct Seed {
    std::uint64_t seed = 0;
  };
  struct Neighbour {
    std::shared_ptr<const Noise> parent;
    double cosine = 1;  ///< -1..1
    std::uint64_t key = 0;
  };
  struct Mix {
    std::shared_ptr<const Noise> parent;
    double beta = 0;  ///< 0..1
    std::uint64_t key = 0;
  };
  using Form = std::variant<Seed, Neighbour, Mix>;

  static Noise seed(std::uint64_t seed);
  /// UsageError where `cosine` or `beta` is outside its range, or the expression is more than
  /// kMaxDepth deep.
  static Noise neighbour(Noise parent, double cosine, std::uint64_t key);
  static Noise mix(Noise parent, double beta, std::uint64_t key);

  const Form& form() const { return form_; }

  /// "seed(7)", "neighbour(seed(7),0.95,3)", "mix(neighbour(seed(7),0.95,3),0.2,1)"; numbers in
  /// shortest round-trip form. parse() is its inverse.
  std::string text() const;

  /// Errors: "noise_malformed".
  static Noise parse(std::string_view text);

  static constexpr int kMaxDepth = 1000;  ///< generations; parse() recurses

  friend bool operator==(const Noise& a, const Noise& b) { return a.text() == b.text(); }

 private:
  Noise(Form form, int depth) : form_(std::move(form)), depth_(depth) {}
  Form form_;
  int depth_ = 1;
};

}  // namespace bestreel
