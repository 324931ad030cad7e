// Whether an engine keeps to plugin/engine.h: for whoever writes one. See README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plugin/engine.h"

namespace bestreel::conformance {

/// What is examined.
struct Subject {
  /// An engine that has kept nothing yet; called many times. Three steps or more, few and small
  /// frames: some forty candidates are made.
  std::function<std::unique_ptr<Engine>()> make;
  Condition condition{"a red ball", ""};
  std::uint64_t seed = 7;  ///< this one and the next two
};

/// One property and what was found.
struct Finding {
  std::string property;  ///< such as "company"
  std::string sentence;  ///< what the property asks
  /// The engine does not claim what the property is about, so that nothing was examined.
  bool claimed = true;
  std::vector<std::string> violations;  ///< sentences; empty: it holds
};

/// Examines all that the engine claims (EngineCapabilities), in the order of README.md. What run()
/// throws is a violation.
std::vector<Finding> examine(const Subject& subject);

/// The sentences of all violations, one a line: empty where the engine conforms.
std::string violations(const std::vector<Finding>& findings);

/// A host that owns its loop, as an engine: `loop` makes one wave by the protocol of
/// SamplerCallback.
class LoopEngine final : public Engine {
 public:
  using Loop = std::function<void(std::span<const Start>, SamplerCallback&)>;
  LoopEngine(EngineCapabilities what, Loop loop) : what_(std::move(what)), loop_(std::move(loop)) {}
  const EngineCapabilities& capabilities() const override { return what_; }
  void run(std::span<const Start> starts, SamplerCallback& callback) override {
    loop_(starts, callback);
  }

 private:
  const EngineCapabilities what_;
  const Loop loop_;
};

}  // namespace bestreel::conformance
