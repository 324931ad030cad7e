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
#include "plugin/strategies/halving.h"
#include "plugin/strategies/race.h"
#include "plugin/strategies/rerank.h"
#include "synthetic_engine.h"

namespace bestreel::testing {

using Hands = SyntheticEngine::Hands;

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
    options.settings.argv = {"bestreel", "generate"};
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
    for (const Making& making : view.makings) {
      if (making.id == view.winner) return making.noise;
    }
    return "";
  }

  static const Making& making(const RunView& view, CandidateId id) {
    return view.makings.at(static_cast<std::size_t>(id));
  }

  static std::uint64_t best_seed(const std::vector<std::uint64_t>& seeds) {
    return *std::max_element(seeds.begin(), seeds.end(), [](std::uint64_t a, std::uint64_t b) {
      return quality_of(a) < quality_of(b);
    });
  }
};

}  // namespace bestreel::testing
