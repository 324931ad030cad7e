// An engine of numbers: every video's quality is known, and how its work is scheduled can be
// chosen.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
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

/// What becomes of a state that noise of `key` is added to.
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

/// Can all that an engine can. Its latents are one number: that of a seed stays as it is, so that
/// quality_of(seed) is known before; each stochastic step of a copy, and a renoise, changes it.
class SyntheticEngine final : public Engine {
 public:
  enum class Hands {
    kOne,      ///< one leg after the other
    kMany,     ///< each leg in a thread of its own, in an order of chance
    kAtATime,  ///< each candidate from beginning to end
    kFour,     ///< four threads, each with every fourth candidate: they meet in arrive()
  };

  explicit SyntheticEngine(Hands hands = Hands::kOne, int steps = 20, std::size_t keep_bytes = 0)
      : hands_(hands), kept_(keep_bytes) {
    what.id = "synthetic/1";
    what.name = "synthetic";
    what.scheduling = hands == Hands::kOne       ? Scheduling::kPausable
                      : hands == Hands::kAtATime ? Scheduling::kSequential
                                                 : Scheduling::kLockstep;
    what.previews = what.lookahead = what.branching = what.renoise = what.drafts = true;
    what.keeps_states = keep_bytes > 0;
    what.steps = what.stochastic_until = steps;
    what.forwards_per_step = 2;
  }

  EngineCapabilities what;
  std::map<std::uint64_t, int> breaks;  ///< seed -> the step in which its latents become NaN
  std::set<std::uint64_t> unshowable;   ///< seeds whose previews cannot be decoded
  /// Seeds for which memory runs out in their first leg, and how often.
  std::map<std::uint64_t, int> starved;
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
    if (hands_ == Hands::kAtATime) {
      for (const Start& start : starts) wave({&start, 1}, callback);
    } else if (hands_ == Hands::kFour) {
      four_threads(starts, callback);
    } else {
      wave(starts, callback);
    }
  }

 private:
  struct Trajectory {
    CandidateId id = 0;
    std::uint64_t seed = 0;   ///< of the noise that it goes back to
    std::uint64_t value = 0;  ///< the latents
    std::string key;          ///< of later noise; empty: a seed's own, which changes nothing
    State state = Noise::seed(0);
    bool draft = false;
    int step() const { return state.step(); }
  };

  /// Makes a State: see plugin/evaluate.h.
  struct Evaluation {
    SyntheticEngine& engine;
    int forwards = 0;

    std::optional<Trajectory> kept(const State& state) { return engine.kept_.find(state); }
    Trajectory begin(const Noise& noise, const std::string& key) {
      return std::visit(
          [&](const auto& form) -> Trajectory {
            if constexpr (requires { form.seed; }) {
              return {0, form.seed, form.seed, "", noise};
            } else {
              Trajectory of = begin(*form.parent, key);
              return {0, of.seed, keyed(of.value, key), "", noise};
            }
          },
          noise.form());
    }
    void advance(Trajectory& t, int step) { forwards += engine.advance(t, step); }
    void fork(Trajectory& t, const std::string& key) { rekey(t, key); }
    void renoise(Trajectory& t, int, std::uint64_t, const std::string& key) {
      rekey(t, key);
      t.value = keyed(t.value, key + "/renoise");
    }
  };

  static void rekey(Trajectory& t, const std::string& key) {
    t.key = key;
    t.state = State::parse(key);
  }

  /// Returns the forwards that it took.
  int advance(Trajectory& t, int step) {
    const int took = price(t) * (step - t.step());
    forwards += took;
    if (!t.key.empty()) {
      for (int k = t.step(); k < std::min(step, what.stochastic_until); ++k) {
        t.value = keyed(t.value, t.key + "/step " + std::to_string(k));
      }
    }
    t.state = State::at(t.state, step);
    return took;
  }

  int price(const Trajectory& t) const { return t.draft ? 1 : 2; }

  /// All of `works` at once; what the first of them throws.
  static void in_threads(const std::vector<std::function<void()>>& works) {
    std::exception_ptr first;
    std::mutex mutex;
    {
      std::vector<std::jthread> threads;
      for (const auto& work : works) {
        threads.emplace_back([&] {
          try {
            work();
          } catch (...) {
            const std::scoped_lock lock(mutex);
            if (!first) first = std::current_exception();
          }
        });
      }
    }
    if (first) std::rethrow_exception(first);
  }

  void four_threads(std::span<const Start> starts, SamplerCallback& callback) {
    std::vector<std::vector<Start>> shares(4);
    for (std::size_t i = 0; i < starts.size(); ++i) shares[i % 4].push_back(starts[i]);
    std::vector<std::function<void()>> works;
    for (const auto& share : shares) works.push_back([&] { wave(share, callback); });
    in_threads(works);
  }

  void wave(std::span<const Start> starts, SamplerCallback& callback) {
    std::vector<Trajectory> all;
    for (const Start& start : starts) {
      Evaluation evaluation{*this};
      Trajectory t = evaluate<Trajectory>(start.state, evaluation);
      t.id = start.id;
      t.draft = start.draft;
      if (evaluation.forwards > 0) callback.restored(start.id, {1.0 * evaluation.forwards, 0, 0});
      all.push_back(std::move(t));
    }
    int step = starts.empty() ? 0 : starts.front().state.step();
    while (step < what.steps && !all.empty()) {
      const int next = callback.next_stop(step);
      std::vector<char> there(all.size(), 0);
      if (hands_ == Hands::kMany) {
        std::vector<std::size_t> order(all.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::shuffle(order.begin(), order.end(), std::mt19937_64(mixed(chance + step)));
        std::vector<std::function<void()>> works;
        for (const std::size_t i : order) {
          works.push_back([&, i] { there[i] = leg(all[i], next, callback); });
        }
        in_threads(works);
      } else {
        for (std::size_t i = 0; i < all.size(); ++i) there[i] = leg(all[i], next, callback);
      }
      step = next;
      if (step == what.steps) return;
      std::vector<Trajectory> arrived;
      std::vector<CandidateId> ids;
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (!there[i]) continue;
        arrived.push_back(all[i]);
        ids.push_back(all[i].id);
      }
      if (hands_ == Hands::kFour && ids.empty()) return;
      all = resample(arrived, hands_ == Hands::kFour ? callback.arrive(ids, step)
                                                     : callback.resample_at(step));
    }
  }

  std::vector<Trajectory> resample(const std::vector<Trajectory>& arrived,
                                   const std::vector<Assignment>& assignments) {
    std::vector<Trajectory> next;
    for (const Assignment& assignment : assignments) {
      const auto parent = std::find_if(arrived.begin(), arrived.end(), [&](const Trajectory& each) {
        return each.id == assignment.parent;
      });
      if (parent == arrived.end()) throw std::logic_error("the parent is not there");
      Trajectory child = *parent;
      child.id = assignment.id;
      if (assignment.parent != assignment.id) {
        rekey(child, State::fork(child.state, assignment.key).text());
      }
      next.push_back(std::move(child));
    }
    return next;
  }

  /// Whether it has come to `to` and may go on from there.
  bool leg(Trajectory& t, int to, SamplerCallback& callback) {
    const int from = t.step();
    if (!callback.request_steps(t.id, from, to)) return false;
    try {
      before_leg(t.seed, from);
    } catch (const Error& error) {
      callback.failed(t.id, from, {error.code(), error.what()}, {});
      return false;
    }
    const auto spent = [&] { return Cost{1.0 * price(t) * (t.step() - from), 0.5, 1000 + t.id}; };
    if (starve(t.seed)) {
      callback.failed(t.id, from, Failure{"out_of_memory", "[synthetic] no memory"}, spent());
      return false;
    }
    const auto broken = breaks.find(t.seed);
    const bool breaks_here =
        broken != breaks.end() && broken->second > from && broken->second <= to;
    const int end = breaks_here ? broken->second : to;
    while (t.step() < end) {
      advance(t, t.step() + 1);
      if (t.step() < end && !callback.stepped(t.id, t.step())) {
        callback.on_steps_done(t.id, t.step(), spent());
        return false;
      }
    }
    if (breaks_here) {
      callback.failed(t.id, end, Failure{"nan_latents", "[synthetic] NaN in latents"}, spent());
      return false;
    }
    callback.on_steps_done(t.id, to, spent());
    if (what.keeps_states && !t.draft && callback.keep_state(t.id, to)) kept_.put(t.state, t, 1000);
    if (to == what.steps) {
      const double quality = quality_of(t.value + (t.draft ? 1 : 0));
      callback.finished(t.id, video_of_quality(quality + offset), {0, 0.25, 0});
      return false;
    }
    if (const auto request = callback.wants_preview(t.id, to)) show(t, *request, callback);
    return true;
  }

  /// A lookahead draws no noise: the value stays, and the preview is that of a later step.
  void show(const Trajectory& t, const PreviewRequest& request, SamplerCallback& callback) {
    const int ahead = std::min(request.lookahead, what.steps - t.step());
    forwards += price(t) * ahead;
    DecodedFrames shown = Failure{"preview_broken", "[synthetic] no preview"};
    if (!unshowable.contains(t.seed)) {
      const int at = t.step() + ahead;
      const double quality = quality_of(t.value + (t.draft ? 1 : 0));
      shown = at == what.steps ? video_of_quality(quality + offset)
                               : video_of_quality(preview(t.seed, quality, at));
    }
    callback.preview(t.id, t.step(), std::move(shown), {1.0 * price(t) * ahead, 0.125, 0});
  }

  bool starve(std::uint64_t seed) {
    const std::scoped_lock lock(starving_);
    const auto found = starved.find(seed);
    if (found == starved.end() || found->second == 0) return false;
    --found->second;
    return true;
  }

  const Hands hands_;
  std::mutex starving_;
  StateCache<Trajectory> kept_;
};

}  // namespace bestreel::testing
