// How an engine makes a State: from the nearest point that it has kept, or from the noise. Public
// header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "plugin/state.h"

namespace bestreel {

/// Kept states by their text, the least recently used given up beyond `limit` bytes. What is not
/// there is made again from its text: nothing depends on what is. Every method may be called from
/// any thread; T is copied out (tensors share their memory).
template <typename T>
class StateCache {
 public:
  explicit StateCache(std::size_t limit_bytes = 0) : limit_(limit_bytes) {}

  /// Keeps `value`, of so many bytes; nothing where it alone is beyond the limit.
  void put(const State& state, T value, std::size_t bytes) {
    if (bytes > limit_) return;
    const std::scoped_lock lock(mutex_);
    forget(state.text());
    used_.push_front({state.text(), std::move(value), bytes});
    found_[used_.front().text] = used_.begin();
    bytes_ += bytes;
    while (bytes_ > limit_) forget(std::string(used_.back().text));
  }

  std::optional<T> find(const State& state) {
    const std::scoped_lock lock(mutex_);
    const auto found = found_.find(state.text());
    if (found == found_.end()) return std::nullopt;
    used_.splice(used_.begin(), used_, found->second);
    return found->second->value;
  }

  std::size_t bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  struct Kept {
    std::string text;
    T value;
    std::size_t bytes = 0;
  };

  void forget(const std::string& text) {
    const auto found = found_.find(text);
    if (found == found_.end()) return;
    bytes_ -= found->second->bytes;
    used_.erase(found->second);
    found_.erase(found);
  }

  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::list<Kept> used_;  ///< the last used first
  std::map<std::string, typename std::list<Kept>::iterator> found_;
  std::size_t bytes_ = 0;
};

/// The engine's trajectory at `state`. `engine` has
///   std::optional<T> kept(const State&)             the state, where it has it
///   T begin(const Noise&, const std::string& key)   a trajectory at step 0; `key` names its noise
///   void advance(T&, int step)                      denoises to `step`
///   void fork(T&, const std::string& key)           noise from here on is that of `key`
///   void renoise(T&, int step, std::uint64_t eps, const std::string& key)
/// Recurses as deep as the expression is.
template <typename T, typename Engine>
T evaluate(const State& state, Engine& engine) {
  if (std::optional<T> kept = engine.kept(state)) return *std::move(kept);
  return std::visit(
      [&](const auto& form) -> T {
        using Form = std::decay_t<decltype(form)>;
        if constexpr (std::is_same_v<Form, Noise>) {
          return engine.begin(form, state.text());
        } else {
          T made = evaluate<T>(*form.of, engine);
          if constexpr (std::is_same_v<Form, State::At>) {
            engine.advance(made, form.step);
          } else if constexpr (std::is_same_v<Form, State::Fork>) {
            engine.fork(made, state.text());
          } else {
            engine.renoise(made, form.step, form.key, state.text());
          }
          return made;
        }
      },
      state.form());
}

}  // namespace bestreel
