// Runs over synthetic engines in a folder that goes with the test.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../plugin/fakes.h"
#include "../plugin/store_fixture.h"
#include "core/base/file.h"
#include "plugin/runs/canonical.h"
#include "plugin/session.h"
#include "plugin/strategies/best_of_n.h"
#include "plugin/strategies/cascade.h"
#include "plugin/strategies/halving.h"
#include "plugin/strategies/race.h"
#include "synthetic_engine.h"

namespace bestreel::testing {

using Hands = SyntheticEngine::Hands;

/// Resamples at its barriers: each candidate goes on from the better of itself and the next.
class Pairs final : public Strategy {
 public:
  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  Ask ask() override {
    if (std::exchange(asked_, true)) return {};
    Ask ask{.barriers = {4, 9}, .lag = 2};
    for (CandidateId id = 0; id < 4; ++id) {
      ask.starts.push_back({id, Noise::seed(static_cast<std::uint64_t>(id) + 1)});
    }
    return ask;
  }
  using Strategy::tell;
  Answer tell(const Barrier& barrier) override {
    Answer answer;
    const auto& all = barrier.candidates;
    for (std::size_t i = 0; i < all.size(); ++i) {
      // The last of four ends at the first barrier, and its state lives on in the one before.
      if (all[i].id == 3) continue;
      const auto& other = all[(i + 1) % all.size()];
      const bool better = reward_of(other.result) > reward_of(all[i].result) || other.id == 3;
      answer.assignments.push_back({all[i].id, better ? other.id : all[i].id, better ? i + 10 : 0});
    }
    return answer;
  }
  void tell(const Finished& finished) override { finished_.push_back(finished); }
  std::vector<Ranked> ranking() const override { return best_first(finished_, {}); }

 private:
  const std::string id_ = "pairs(1)";
  const Needs needs_{
      .scheduling = Scheduling::kLockstep, .previews = true, .branching = true, .stochastic = true};
  bool asked_ = false;
  std::vector<Finished> finished_;
};

class SessionFixture : public StoreFixture {
 protected:
  /// In memory where there is such a folder: thousands of durable appends, and no disk to be
  /// tested.
  void SetUp() override {
    if (!std::filesystem::is_directory("/dev/shm")) return StoreFixture::SetUp();
    std::string pattern = "/dev/shm/bestreel-session-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    run_ = (folder_ / "run").string();
  }

  static SessionOptions options_for(const std::string& directory) {
    SessionOptions options;
    options.settings.command = "generate";
    options.settings.judges = options.settings.judge_ids = {"fake/1"};
    options.settings.threads = 1;
    options.settings.versions = "test";
    options.condition = {"a red ball", "blurry"};
    options.keep = [directory](const std::string& name, const VideoPtr& video) {
      const std::filesystem::path path = directory + "/" + name + ".txt";
      std::filesystem::create_directories(path.parent_path());
      write_file_atomically(path.string(), std::to_string(video->info().fps.num));
      return path.string();
    };
    return options;
  }

  Outcome run(const std::string& directory, Engine& engine, StrategyPtr strategy,
              std::function<void(SessionOptions&)> change = {},
              std::vector<JudgePtr> judges = {rate_judge()}) {
    SessionOptions options = options_for(directory);
    options.settings.judges.assign(judges.size(), "fake/1");
    options.settings.judge_ids = options.settings.judges;
    if (change) change(options);
    Session session(directory, engine.capabilities(), std::move(strategy), std::move(judges),
                    std::move(options));
    return session.run(engine);
  }

  std::string table(const std::string& directory) const {
    return canonical_table(RunStore::open_read_only(directory).events());
  }

  std::string best(const std::string& directory) const {
    return read_file(directory + "/best.txt");
  }

  /// The noise of the winner: what a candidate is, whatever its number.
  static std::string winning_noise(const RunView& view) {
    for (const TrajectoryRecord& trajectory : view.trajectories) {
      if (trajectory.id == view.winner) return trajectory.state;
    }
    return "";
  }

  static const TrajectoryRecord& trajectory(const RunView& view, CandidateId id) {
    return view.trajectories.at(static_cast<std::size_t>(id));
  }

  static std::uint64_t best_seed(const std::vector<std::uint64_t>& seeds) {
    return *std::max_element(seeds.begin(), seeds.end(), [](std::uint64_t a, std::uint64_t b) {
      return quality_of(a) < quality_of(b);
    });
  }
};

}  // namespace bestreel::testing
