// Where a candidate stands, as an expression: what evicts, kills or copies it, its text makes it
// again. Public header.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/base/export.h"
#include "plugin/noise.h"

namespace bestreel {

/// A point of a denoising trajectory: latents, the solver's history, and the key of all noise that
/// is still to be drawn.
///   Noise                  step 0, latents drawn from the expression
///   at(S, step)            S denoised to `step`, at least step(S)
///   fork(S, key)           S's latents and history; noise that is drawn later is new
///   renoise(S, step, key)  S taken back to an earlier step by the exact forward process of flow
///                          matching, x' = a x + sqrt(s'^2 - a^2 s^2) eps, a = (1 - s') / (1 - s);
///                          forgets the solver's history (order 1, no corrector), later noise is
///                          new
/// Always in normal form: at(at(S, a), b) = at(S, b), and at(S, step(S)) = S. So equal texts mean
/// equal states, and only equal texts do but for the forks that nothing follows: see
/// trajectory_of().
///
/// A value: cheap to copy, what it is made of is shared. It reads no clock and draws nothing: an
/// engine evaluates it (plugin/evaluate.h).
class BESTREEL_API State {
 public:
  struct At {
    std::shared_ptr<const State> of;
    int step = 0;
  };
  struct Fork {
    std::shared_ptr<const State> of;
    std::uint64_t key = 0;
  };
  struct Renoise {
    std::shared_ptr<const State> of;
    int step = 0;
    std::uint64_t key = 0;
  };
  using Form = std::variant<Noise, At, Fork, Renoise>;

  /// The beginning of a trajectory.
  State(Noise noise);  // NOLINT(google-explicit-constructor): a Noise is a State

  /// UsageError where `step` is before the state's own.
  static State at(State of, int step);
  /// UsageError where the expression is more than kMaxDepth deep, as for renoise().
  static State fork(State of, std::uint64_t key);
  /// UsageError unless 0 <= step < the state's own.
  static State renoise(State of, int step, std::uint64_t key);

  const Form& form() const { return form_; }
  /// Where it is a beginning and nothing more; else null.
  const Noise* noise() const { return std::get_if<Noise>(&form_); }

  /// Denoising steps done: where what begins from here goes on.
  int step() const { return step_; }

  /// The expression without an outer at(): what names all noise that is drawn later. The noise of
  /// step k is that of the key "TEXT/step K" with this text; the eps of a renoise that of
  /// "TEXT/renoise" with its own. For a plain seed it equals Noise::text().
  State without_at() const;

  /// Which trajectory this is a point of, on an engine whose steps draw fresh noise before
  /// `stochastic_until` only (EngineCapabilities): without_at(), and without outer forks that no
  /// noise follows. Two ids with equal ones would become the same video.
  State trajectory_of(int stochastic_until) const;

  /// "seed(7)", "at(seed(7),12)", "fork(at(seed(7),12),3)", "renoise(at(seed(7),20),8,1)".
  /// parse() is its inverse.
  std::string text() const;

  /// Errors: "state_malformed" for what is no expression, is deeper than kMaxDepth, or is not in
  /// normal form.
  static State parse(std::string_view text);

  static constexpr int kMaxDepth = 1000;  ///< of forks and renoises; text() and parse() recurse

  friend bool operator==(const State& a, const State& b) { return a.text() == b.text(); }

 private:
  State(Form form, int step, int depth) : form_(std::move(form)), step_(step), depth_(depth) {}
  Form form_;
  int step_ = 0;
  int depth_ = 0;
};

}  // namespace bestreel
