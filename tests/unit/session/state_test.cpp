#include "plugin/state.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "core/base/error.h"
#include "plugin/evaluate.h"

namespace bestreel {
namespace {

const State kSeed = Noise::seed(7);

std::string code_of(const std::string& text) {
  try {
    State::parse(text);
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

// A state is text: what is written is read back.
TEST(State, TextReadsBack) {
  const auto largest = std::numeric_limits<std::uint64_t>::max();
  const State state =
      State::at(State::renoise(State::at(State::fork(State::at(kSeed, 12), largest), 20), 8, 1), 9);
  EXPECT_EQ(state.text(), "at(renoise(at(fork(at(seed(7),12),18446744073709551615),20),8,1),9)");
  EXPECT_EQ(State::parse(state.text()), state);
  EXPECT_EQ(State::parse(state.text()).step(), 9);
  EXPECT_EQ(kSeed.text(), Noise::seed(7).text()) << "a noise is its own state";
  const State mixed = State::at(Noise::mix(Noise::seed(1), 0.25, 3), 2);
  EXPECT_EQ(State::parse("at(mix(seed(1),0.25,3),2)"), mixed);
}

// One state, one text: at() is what collapses.
TEST(State, IsInNormalForm) {
  EXPECT_EQ(State::at(State::at(kSeed, 3), 8), State::at(kSeed, 8));
  EXPECT_EQ(State::at(State::at(kSeed, 3), 3), State::at(kSeed, 3));
  EXPECT_EQ(State::at(kSeed, 0), kSeed);
  const State fork = State::fork(State::at(kSeed, 5), 1);
  EXPECT_EQ(State::at(fork, 5), fork);
  EXPECT_EQ(fork.step(), 5);
  const State back = State::renoise(State::at(kSeed, 5), 2, 1);
  EXPECT_EQ(back.step(), 2);
  EXPECT_EQ(State::at(back, 2), back);
  EXPECT_FALSE(State::fork(kSeed, 1) == State::fork(kSeed, 2));
  EXPECT_EQ(State::at(fork, 9).without_at(), fork);
  EXPECT_EQ(kSeed.without_at(), kSeed);
}

// A fork that no noise follows is the trajectory that it was made from.
TEST(State, TrajectoriesAreToldApart) {
  const State fork = State::fork(State::at(kSeed, 5), 1), again = State::fork(fork, 2);
  EXPECT_EQ(State::at(fork, 8).trajectory_of(6), fork);
  EXPECT_EQ(State::at(fork, 8).trajectory_of(5), kSeed) << "noise ends before it";
  EXPECT_EQ(again.trajectory_of(0), kSeed);
  EXPECT_EQ(again.trajectory_of(6), again);
  const State later = State::fork(State::at(fork, 9), 3);
  EXPECT_EQ(later.trajectory_of(6), fork);
  const State back = State::renoise(fork, 2, 1);
  EXPECT_EQ(back.trajectory_of(0), back) << "its eps is of its own text";
}

TEST(State, RangesAreChecked) {
  EXPECT_NO_THROW(State::at(State::at(kSeed, 5), 5));
  EXPECT_THROW(State::at(State::at(kSeed, 5), 4), UsageError);
  EXPECT_THROW(State::at(kSeed, -1), UsageError);
  EXPECT_NO_THROW(State::renoise(State::at(kSeed, 5), 0, 1));
  EXPECT_THROW(State::renoise(State::at(kSeed, 5), 5, 1), UsageError);
  EXPECT_THROW(State::renoise(State::at(kSeed, 5), -1, 1), UsageError);
  State deep = kSeed;
  for (int i = 0; i < State::kMaxDepth; ++i) deep = State::fork(State::at(deep, i + 1), 1);
  EXPECT_EQ(State::parse(State::at(deep, 2000).text()), State::at(deep, 2000));
  EXPECT_THROW(State::fork(deep, 1), UsageError);
}

// Whatever is no expression, or not in normal form, is refused, and nothing overflows the stack.
TEST(State, MalformedTextIsRefused) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "fork(";
  EXPECT_EQ(code_of("fork(at(seed(7),12),3)"), "");
  for (const std::string& text : {std::string(),
                                  std::string("at"),
                                  std::string("at(seed(7))"),
                                  std::string("at(seed(7),)"),
                                  std::string("at(seed(7),12"),
                                  std::string("at(seed(7),12) "),
                                  std::string("seed(7),12"),
                                  std::string("at(seed(7),0)"),
                                  std::string("at(seed(7),-1)"),
                                  std::string("at(seed(7),+1)"),
                                  std::string("at(seed(7),012)"),
                                  std::string("at(seed(7),99999999999)"),
                                  std::string("at(at(seed(7),3),8)"),
                                  std::string("at(at(seed(7),3),2)"),
                                  std::string("fork(seed(7),-1)"),
                                  std::string("fork(seed(7),1,2)"),
                                  std::string("renoise(seed(7),0,1)"),
                                  std::string("renoise(at(seed(7),5),6,1)"),
                                  std::string("renoise(at(seed(7),5),2)"),
                                  std::string("mix(seed(7),2,1)"),
                                  std::string("fork(at(seed(7,12),3)"),
                                  std::string(")"),
                                  deep}) {
    EXPECT_EQ(code_of(text), "state_malformed") << text.substr(0, 60);
  }
}

/// An expression of chance, of about `size` forms.
State any_state(std::mt19937_64& chance, int size) {
  State state = chance() % 2 == 0 ? State(Noise::seed(chance()))
                                  : State(Noise::mix(Noise::seed(chance() % 9), 0.5, chance()));
  for (int i = 0; i < size; ++i) {
    switch (chance() % 3) {
      case 0:
        state = State::at(state, state.step() + static_cast<int>(chance() % 4));
        break;
      case 1:
        state = State::fork(state, chance() % 100);
        break;
      default:
        if (state.step() == 0) break;
        state = State::renoise(
            state, static_cast<int>(chance() % static_cast<std::uint64_t>(state.step())), chance());
    }
  }
  return state;
}

// Any expression reads back; any byte of it that is changed is another expression or none.
TEST(State, ExpressionsOfChance) {
  std::mt19937_64 chance(12);
  int refused = 0;
  for (int run = 0; run < 2000; ++run) {
    const State state = any_state(chance, run % 12);
    const std::string text = state.text();
    const State back = State::parse(text);
    ASSERT_EQ(back, state);
    ASSERT_EQ(back.step(), state.step());
    ASSERT_EQ(State::parse(state.trajectory_of(run % 5).text()), state.trajectory_of(run % 5));
    std::string other = text;
    other[chance() % other.size()] = "()0123456789,atforkrenise"[chance() % 25];
    try {
      const std::string read = State::parse(other).text();
      ASSERT_TRUE(read == other || other.find("0") != std::string::npos) << other;
    } catch (const Error& error) {
      ++refused;
      ASSERT_EQ(error.code(), "state_malformed") << other;
    }
  }
  EXPECT_GT(refused, 500);
}

/// Writes down what it is asked to do.
struct Recorder {
  StateCache<std::string> cache{1000};
  std::optional<std::string> kept(const State& state) { return cache.find(state); }
  std::string begin(const Noise&, const std::string& key) { return "begin " + key; }
  void advance(std::string& made, int step) { made += "; to " + std::to_string(step); }
  void fork(std::string& made, const std::string& key) { made += "; key " + key; }
  void renoise(std::string& made, int step, std::uint64_t eps, const std::string& key) {
    made += "; back to " + std::to_string(step) + " by " + std::to_string(eps) + ", key " + key;
  }
};

// What an engine does for an expression, from the noise and from what it has kept.
TEST(State, IsEvaluated) {
  Recorder engine;
  const State middle = State::at(State::fork(State::at(kSeed, 5), 1), 8);
  const State state = State::renoise(middle, 2, 9);
  const std::string whole =
      "begin seed(7); to 5; key fork(at(seed(7),5),1); to 8; "
      "back to 2 by 9, key renoise(at(fork(at(seed(7),5),1),8),2,9)";
  EXPECT_EQ(evaluate<std::string>(state, engine), whole);
  engine.cache.put(middle, "kept", 10);
  EXPECT_EQ(evaluate<std::string>(state, engine),
            "kept; back to 2 by 9, key renoise(at(fork(at(seed(7),5),1),8),2,9)");
}

TEST(StateCache, GivesUpTheLeastRecentlyUsed) {
  StateCache<int> cache(100);
  cache.put(Noise::seed(1), 1, 40);
  cache.put(Noise::seed(2), 2, 40);
  EXPECT_EQ(cache.find(Noise::seed(1)), 1);
  cache.put(Noise::seed(3), 3, 40);
  EXPECT_EQ(cache.find(Noise::seed(2)), std::nullopt);
  EXPECT_EQ(cache.find(Noise::seed(1)), 1);
  EXPECT_EQ(cache.find(Noise::seed(3)), 3);
  EXPECT_EQ(cache.bytes(), 80u);
  cache.put(Noise::seed(4), 4, 101);
  EXPECT_EQ(cache.find(Noise::seed(4)), std::nullopt);
  EXPECT_EQ(cache.bytes(), 80u) << "what does not fit drives nobody out";
  cache.put(Noise::seed(1), 5, 90);
  EXPECT_EQ(cache.find(Noise::seed(1)), 5);
  EXPECT_EQ(cache.bytes(), 90u);
}

}  // namespace
}  // namespace bestreel
