#include "plugin/noise.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// Reads "name(", numbers, ",", ")" off the front of a text.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Noise whole() {
    const Noise noise = expression(1);
    if (!rest_.empty()) malformed("the end");
    return noise;
  }

 private:
  Noise expression(int depth) {
    if (depth > Noise::kMaxDepth) malformed("no deeper nesting");
    if (take("seed(")) {
      const auto seed = number<std::uint64_t>("a seed");
      expect(")");
      return Noise::seed(seed);
    }
    const bool neighbour = take("neighbour(");
    if (!neighbour && !take("mix(")) malformed("seed(, neighbour( or mix(");
    Noise parent = expression(depth + 1);
    expect(",");
    const double amount = number<double>("a number");
    expect(",");
    const auto key = number<std::uint64_t>("a key");
    expect(")");
    if (!(std::abs(amount) <= 1) || (!neighbour && amount < 0)) malformed("a number in its range");
    return neighbour ? Noise::neighbour(std::move(parent), amount, key)
                     : Noise::mix(std::move(parent), amount, key);
  }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  void expect(std::string_view word) {
    if (!take(word)) malformed(word);
  }

  template <typename T>
  T number(std::string_view what) {
    T value{};
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{}) malformed(what);
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  [[noreturn]] void malformed(std::string_view wanted) const {
    fail("noise_malformed", "noise",
         "a noise expression must have {} at byte {} but is {}: write seed(7), "
         "neighbour(seed(7),0.95,3) or mix(seed(7),0.2,1)",
         wanted, text_.size() - rest_.size(), text_.substr(0, 200));
  }

  std::string_view text_, rest_;
};

}  // namespace

Noise Noise::seed(std::uint64_t seed) { return Noise(Seed{seed}, 1); }

Noise Noise::neighbour(Noise parent, double cosine, std::uint64_t key) {
  if (!(std::abs(cosine) <= 1)) {
    fail_usage("noise", "cosine must be between -1 and 1, but got {}", cosine);
  }
  const int depth = parent.depth_ + 1;
  if (depth > kMaxDepth) fail_usage("noise", "lineage must be at most {} deep", kMaxDepth);
  return Noise(Neighbour{std::make_shared<const Noise>(std::move(parent)), cosine, key}, depth);
}

Noise Noise::mix(Noise parent, double beta, std::uint64_t key) {
  if (!(beta >= 0 && beta <= 1)) {
    fail_usage("noise", "beta must be between 0 and 1, but got {}", beta);
  }
  const int depth = parent.depth_ + 1;
  if (depth > kMaxDepth) fail_usage("noise", "lineage must be at most {} deep", kMaxDepth);
  return Noise(Mix{std::make_shared<const Noise>(std::move(parent)), beta, key}, depth);
}

std::string Noise::text() const {
  if (const auto* seed = std::get_if<Seed>(&form_)) return fmt::format("seed({})", seed->seed);
  if (const auto* near = std::get_if<Neighbour>(&form_)) {
    return fmt::format("neighbour({},{},{})", near->parent->text(), near->cosine, near->key);
  }
  const auto& mix = std::get<Mix>(form_);
  return fmt::format("mix({},{},{})", mix.parent->text(), mix.beta, mix.key);
}

Noise Noise::parse(std::string_view text) { return Parser(text).whole(); }

}  // namespace bestreel
