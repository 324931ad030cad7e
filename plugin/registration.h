// What a folder says of the judge, the strategy or the model family that it adds: enough for every
// command to offer it. Nothing else has to change:
//
//   registration.cpp   void register_NAME(Registry& registry) { registry.judges.push_back(...); }
//   CMakeLists.txt     bestreel_register(NAME Bestreel::library)
//
// CMake writes the calls of all of them into one file of the program, in the order of the
// bestreel_register() lines: static initialisers of static libraries would be dropped by the
// linker.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/media/video.h"
#include "plugin/engine.h"
#include "plugin/judge.h"
#include "plugin/options.h"
#include "plugin/plan.h"
#include "plugin/strategy.h"

namespace bestreel {

/// A change of options that lowers the memory of a plan that does not fit.
struct Remedy {
  std::string words;  ///< half a sentence: "pass --model-dtype bf16"
  OptionValues changes;
};

// ---- Judges ------------------------------------------------------------------------------------
struct JudgeContext {
  std::string op;  ///< the command, for sentences: "[rank] ..."
  int threads = 1;
  std::string device = "cpu";
};

/// What a judge is asked to do, for its estimate.
struct JudgeLoad {
  VideoInfo video;                 ///< the largest
  std::int64_t videos = 1;         ///< there is never more to judge together
  std::int64_t prompt_bytes = 80;  ///< of the user's prompt
};

struct JudgeNeeds {
  JudgeEstimate estimate;
  std::int64_t frames = 0, prompt_tokens = 0;  ///< 0: no language model
  bool from_headers = true;  ///< false: some weights are absent and were counted from configs
};

struct JudgeRegistration {
  std::string name;     ///< for the help: "pixels", "VideoScore2"
  std::string summary;  ///< one line
  std::string spec;     ///< what --judge takes: "`pixels` (no weights)", "the folder of a ..."
  std::vector<OptionSpec> options;
  /// Whether it judges with the checkpoint in this folder; the first that accepts does. None: the
  /// judge has no weights, and SPEC is its name.
  std::function<bool(const std::string& folder)> accepts = nullptr;
  /// Errors: those of the judge. What the user should know is written to stderr.
  std::function<JudgePtr(const std::string& spec, const OptionValues&, const JudgeContext&)> make;
  std::function<JudgeNeeds(const std::string& spec, const OptionValues&, const JudgeLoad&)>
      estimate;
  /// In the order of their price; may be empty.
  std::vector<Remedy> remedies = {};
};

/// What wraps every judge, such as judging the encoded file. Returns the judge itself where the
/// options do not ask for it.
struct DecoratorRegistration {
  std::string name;
  std::vector<OptionSpec> options;
  std::function<JudgePtr(JudgePtr inner, const OptionValues&)> wrap;
};

// ---- Strategies --------------------------------------------------------------------------------
struct StrategyContext {
  std::vector<std::uint64_t> seeds;  ///< one candidate each
  int steps = 0;                     ///< EngineCapabilities::steps; 0: files in place of seeds
  std::size_t judges = 1;
  Selection selection;
  std::vector<int> cascade;  ///< --cascade K,...; empty: not given
};

/// What the memory plan has to know before an engine is there.
struct StrategyResources {
  bool all_in_flight = false;  ///< all candidates advance together: latents of each
  bool keeps_videos = false;   ///< finished candidates wait in memory for a later judge
};

struct StrategyRegistration {
  std::string name;     ///< --strategy NAME
  std::string summary;  ///< one line of the help
  std::vector<OptionSpec> options;
  bool cascades = false;  ///< takes --cascade
  std::function<StrategyPtr(const OptionValues&, const StrategyContext&)> make;
  std::function<StrategyResources(const OptionValues&, const StrategyContext&)> resources;
};

// ---- Engines (model families) ------------------------------------------------------------------
struct EngineContext {
  std::string op;
  std::string folder;  ///< --model
  int threads = 1;
  std::string device = "cpu";
};

struct EngineNeeds {
  GeneratorEstimate estimate;
  std::int64_t tokens = 0;  ///< patches of the latent
  bool from_headers = true;
};

struct EngineRegistration {
  std::string name;     ///< "wan"
  std::string summary;  ///< what --model takes
  std::vector<OptionSpec> options;
  /// Whether `folder` (--model, may be empty) or files among the options hold a model of this
  /// family. The first that recognises it makes it; where none does and a folder is given, the
  /// first one, so that its sentence says what is missing.
  std::function<bool(const OptionValues&, const std::string& folder)> recognises;
  std::function<std::unique_ptr<Engine>(const OptionValues&, const EngineContext&)> make;
  /// Checks the size and the length that are asked for. Errors as `make`, but for absent weights.
  std::function<EngineNeeds(const OptionValues&, const EngineContext&)> estimate;
  /// Label and value, in the order to show them; reads configs and the headers of weights.
  std::function<std::vector<std::pair<std::string, std::string>>(const OptionValues&,
                                                                 const std::string& folder)>
      summarize;
  /// In the order of their price: what keeps the picture but for its precision; what changes it.
  std::function<std::vector<Remedy>(const OptionValues&)> precision_remedies, picture_remedies;
};

/// Memory of a judge without weights: pictures of a few frames in float and what it derives from
/// them.
inline JudgeNeeds pixels_at_work(const VideoInfo& video) {
  JudgeNeeds needs;
  needs.estimate.activations = 24 * 4 * static_cast<std::int64_t>(video.width) * video.height;
  return needs;
}

/// Everything that a program links, in the order of the help.
struct Registry {
  std::vector<JudgeRegistration> judges;
  std::vector<DecoratorRegistration> decorators;
  std::vector<StrategyRegistration> strategies;
  std::vector<EngineRegistration> engines;
};

}  // namespace bestreel
