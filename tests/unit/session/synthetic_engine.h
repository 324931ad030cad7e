// An engine of numbers: every video's quality is known, and how its work is scheduled can be
// chosen.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "plugin/engine.h"
#include "plugin/evaluate.h"

namespace bestreel::testing {

/// A well mixed number of 64 bits (the finaliser of SplitMix64).
inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// 1..5 in thousandths, as a frame rate holds it without rounding.
inline double quality_of(std::uint64_t state) {
  return 1 + static_cast<double>(mixed(state) % 4000) / 1000;
}

/// What becomes of a state whose later noise is that of `key`.
inline std::uint64_t keyed(std::uint64_t state, const std::string& key) {
  for (const char c : key) state = mixed(state ^ static_cast<unsigned char>(c));
  return state;
}

/// A frame whose rate is the quality: rate_judge() reads it back.
inline VideoPtr video_of_quality(double quality) {
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(12, std::uint8_t{0});
  TensorView frames;
  frames.data = pixels->data();
  frames.shape = {1, 3, 2, 2};
  frames.strides = {12, 4, 2, 1};
  frames.owner = pixels;
  return video_from_frames(frames, {std::llround(quality * 1000), 1000});
}

class SyntheticEngine final : public Engine {
 public:
  enum class Hands {
    kOne,      ///< one leg after the other
    kMany,     ///< each leg in a thread of its own, in an order of chance
    kAtATime,  ///< each candidate from beginning to end
  };

  explicit SyntheticEngine(Hands hands = Hands::kOne, int steps = 20) : hands_(hands) {
    what.id = "synthetic/1";
    what.name = "synthetic";
    what.scheduling = hands == Hands::kOne    ? Scheduling::kPausable
                      : hands == Hands::kMany ? Scheduling::kLockstep
                                              : Scheduling::kSequential;
    what.previews = what.branching = what.renoise = true;
    what.steps = what.stochastic_until = steps;
    what.forwards_per_step = 2;
  }

  EngineCapabilities what;
  std::map<std::uint64_t, int> breaks;  ///< seed -> the step in which its latents become NaN
  std::set<std::uint64_t> unshowable;   ///< seeds whose previews cannot be decoded
  std::function<double(std::uint64_t seed, double quality, int step)> preview =
      [](std::uint64_t, double quality, int) { return quality; };
  double offset = 0;         ///< of every video's quality: another engine
  std::uint64_t chance = 1;  ///< of the order of threads
  std::function<void(std::uint64_t seed, int step)> before_leg = [](std::uint64_t, int) {};
  std::atomic<int> forwards{0};  ///< that really ran
  std::atomic<int> started{0};   ///< trajectories begun

  const EngineCapabilities& capabilities() const override { return what; }

  void run(std::span<const Start> starts, SamplerCallback& callback) override {
    started += static_cast<int>(starts.size());
    if (hands_ != Hands::kAtATime) return wave(starts, callback);
    for (const Start& start : starts) wave({&start, 1}, callback);
  }

 private:
  struct Trajectory {
    CandidateId id = 0;
    std::uint64_t seed = 0, value = 0;
    State state = Noise::seed(0);
  };

  // ---- evaluate()
  template <typename T, typename E>
  friend T bestreel::evaluate(const State&, E&);
  std::optional<Trajectory> kept(const State&) { return std::nullopt; }
  Trajectory begin(const Noise& noise, const std::string&) {
    const std::uint64_t seed = std::get<Noise::Seed>(noise.form()).seed;
    return {0, seed, seed, noise};
  }
  void advance(Trajectory& t, int step) {
    forwards += 2 * (step - t.state.step());
    t.state = State::at(t.state, step);
  }
  void fork(Trajectory& t, const std::string& key) {
    t.value = keyed(t.value, key);
    t.state = State::parse(key);
  }
  void renoise(Trajectory& t, int, std::uint64_t, const std::string& key) { fork(t, key); }

  void wave(std::span<const Start> starts, SamplerCallback& callback) {
    std::vector<Trajectory> all;
    for (const Start& start : starts) {
      all.push_back(evaluate<Trajectory>(start.state, *this));
      all.back().id = start.id;
      callback.restored(start.id, {2.0 * all.back().state.step(), 0, 0});
    }
    const int begin = starts.empty() ? 0 : starts.front().state.step();
    for (int step = begin; step < what.steps && !all.empty();) {
      const int next = callback.next_stop(step);
      if (hands_ == Hands::kMany) {
        std::vector<Trajectory> order = all;
        std::shuffle(order.begin(), order.end(), std::mt19937_64(mixed(chance + step)));
        std::vector<std::jthread> threads;
        for (const Trajectory& each : order) {
          threads.emplace_back([&, each] { leg(each, step, next, callback); });
        }
      } else {
        for (const Trajectory& each : all) leg(each, step, next, callback);
      }
      step = next;
      if (step == what.steps) break;
      std::vector<Trajectory> next_all;
      for (const Assignment& assignment : callback.resample_at(step)) {
        const auto parent = std::find_if(all.begin(), all.end(), [&](const Trajectory& each) {
          return each.id == assignment.parent;
        });
        Trajectory child = *parent;
        child.id = assignment.id;
        child.state = State::at(child.state, step);
        if (assignment.parent != assignment.id) {
          child.state = State::fork(child.state, assignment.key);
          fork(child, child.state.text());
        }
        next_all.push_back(child);
      }
      all = std::move(next_all);
    }
  }

  void leg(const Trajectory& t, int from, int to, SamplerCallback& callback) {
    if (!callback.request_steps(t.id, from, to)) return;
    try {
      before_leg(t.seed, from);
    } catch (const Error& error) {
      return callback.failed(t.id, from, {error.code(), error.what()}, {});
    }
    const auto broken = breaks.find(t.seed);
    if (broken != breaks.end() && broken->second > from && broken->second <= to) {
      forwards += 2 * (broken->second - from);
      callback.failed(t.id, broken->second, Failure{"nan_latents", "[synthetic] NaN in latents"},
                      {2.0 * (broken->second - from), 0.5, 1});
      return;
    }
    forwards += 2 * (to - from);
    callback.on_steps_done(t.id, to, {2.0 * (to - from), 0.5, 1000 + t.id});
    if (to == what.steps) {
      callback.finished(t.id, video_of_quality(quality_of(t.value) + offset), {0, 0.25, 0});
    } else if (callback.wants_preview(t.id, to)) {
      DecodedFrames shown = Failure{"preview_broken", "[synthetic] no preview"};
      if (!unshowable.contains(t.seed)) {
        shown = video_of_quality(preview(t.seed, quality_of(t.value), to));
      }
      callback.preview(t.id, to, std::move(shown), {0, 0.125, 0});
    }
  }

  const Hands hands_;
};

}  // namespace bestreel::testing
