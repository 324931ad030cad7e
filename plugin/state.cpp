#include "plugin/state.h"

#include <charconv>
#include <utility>

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// Reads an expression off the front of a text; a Noise inside is handed to Noise::parse() whole.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  State whole() {
    State state = expression(0);
    if (!rest_.empty()) malformed("the end");
    return state;
  }

 private:
  State expression(int depth) {
    const bool at = take("at(");
    const bool fork = !at && take("fork(");
    const bool renoise = !at && !fork && take("renoise(");
    if (!at && !fork && !renoise) return noise();
    // An at() stands between two others at most.
    if (depth > 2 * State::kMaxDepth) malformed("no deeper nesting");
    State of = expression(depth + 1);
    expect(",");
    State made = of;
    try {
      if (fork) {
        made = State::fork(of, number<std::uint64_t>("a key"));
      } else {
        const int step = number<int>("a step");
        if (renoise) {
          expect(",");
          made = State::renoise(of, step, number<std::uint64_t>("a key"));
        } else {
          if (step <= of.step() || std::holds_alternative<State::At>(of.form())) {
            malformed("its normal form");
          }
          made = State::at(of, step);
        }
      }
    } catch (const UsageError& error) {
      malformed(error.sentence());
    }
    expect(")");
    return made;
  }

  /// As far as its brackets go.
  Noise noise() {
    std::size_t end = rest_.find('(');
    for (int open = 0; end < rest_.size(); ++end) {
      if (rest_[end] == '(') ++open;
      if (rest_[end] == ')' && --open == 0) break;
    }
    if (end >= rest_.size()) malformed("at(, fork(, renoise( or a noise");
    try {
      Noise noise = Noise::parse(rest_.substr(0, end + 1));
      rest_.remove_prefix(end + 1);
      return noise;
    } catch (const Error&) {
      malformed("at(, fork(, renoise( or a noise");
    }
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
    // One spelling each: "-0" and "007" would be equal states with other texts.
    if (error != std::errc{} ||
        fmt::format("{}", value).size() != static_cast<std::size_t>(end - rest_.data())) {
      malformed(what);
    }
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  [[noreturn]] void malformed(std::string_view wanted) const {
    fail("state_malformed", "state",
         "a state must have {} at byte {} but is {}: write seed(7), at(seed(7),12), "
         "fork(at(seed(7),12),3) or renoise(at(seed(7),20),8,1)",
         wanted, text_.size() - rest_.size(), text_.substr(0, 200));
  }

  std::string_view text_, rest_;
};

int deeper(int depth) {
  if (depth >= State::kMaxDepth) {
    fail_usage("state", "lineage must be at most {} deep", State::kMaxDepth);
  }
  return depth + 1;
}

}  // namespace

State::State(Noise noise) : form_(std::move(noise)) {}

State State::at(State of, int step) {
  if (step < of.step_) {
    fail_usage("state", "a state at step {} must go on to a later one, but got {}: renoise it",
               of.step_, step);
  }
  if (step == of.step_) return of;
  if (auto* inner = std::get_if<At>(&of.form_)) return at(State(*inner->of), step);
  const int depth = of.depth_;
  return State(At{std::make_shared<const State>(std::move(of)), step}, step, depth);
}

State State::fork(State of, std::uint64_t key) {
  const int step = of.step_, depth = deeper(of.depth_);
  return State(Fork{std::make_shared<const State>(std::move(of)), key}, step, depth);
}

State State::renoise(State of, int step, std::uint64_t key) {
  if (step < 0 || step >= of.step_) {
    fail_usage("state", "a state at step {} must be renoised to an earlier one, but got {}",
               of.step_, step);
  }
  const int depth = deeper(of.depth_);
  return State(Renoise{std::make_shared<const State>(std::move(of)), step, key}, step, depth);
}

State State::without_at() const {
  const auto* outer = std::get_if<At>(&form_);
  return outer == nullptr ? *this : *outer->of;
}

State State::trajectory_of(int stochastic_until) const {
  const State inner = without_at();
  const auto* fork = std::get_if<Fork>(&inner.form_);
  if (fork == nullptr || inner.step_ < stochastic_until) return inner;
  return fork->of->trajectory_of(stochastic_until);
}

std::string State::text() const {
  return std::visit(
      [](const auto& form) -> std::string {
        using Form = std::decay_t<decltype(form)>;
        if constexpr (std::is_same_v<Form, Noise>) {
          return form.text();
        } else if constexpr (std::is_same_v<Form, At>) {
          return fmt::format("at({},{})", form.of->text(), form.step);
        } else if constexpr (std::is_same_v<Form, Fork>) {
          return fmt::format("fork({},{})", form.of->text(), form.key);
        } else {
          return fmt::format("renoise({},{},{})", form.of->text(), form.step, form.key);
        }
      },
      form_);
}

State State::parse(std::string_view text) { return Parser(text).whole(); }

}  // namespace bestreel
