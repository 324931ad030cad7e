// The options that are nobody's in particular, and how those of the registry join them.
#include "app/options.h"

#include <algorithm>

#include "core/base/fail.h"

namespace bestreel::app {
namespace {

using enum OptionKind;
using enum OptionScope;

constexpr const char* kJudging = "Judging";
constexpr const char* kVideo = "Model and video";
constexpr const char* kSearch = "Search";
constexpr const char* kMachine = "Machine";
constexpr const char* kOutput = "Output";

void add(std::vector<OptionSpec>& options, OptionSpec spec) {
  const auto same = std::find_if(options.begin(), options.end(),
                                 [&](const OptionSpec& each) { return each.name == spec.name; });
  // Two strategies may share an option ("rungs"): it is one option then, said alike by both.
  if (same == options.end()) options.push_back(std::move(spec));
}

void add_group(std::vector<OptionSpec>& options, const std::vector<OptionSpec>& more,
               const std::string& group) {
  for (OptionSpec spec : more) {
    if (spec.group.empty()) spec.group = group;
    add(options, std::move(spec));
  }
}

std::vector<std::string> judge_names() {
  std::vector<std::string> names;
  for (const JudgeRegistration& judge : registry().judges) {
    if (!judge.accepts) names.push_back(judge.name);
  }
  return names;
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const StrategyRegistration& strategy : registry().strategies) names.push_back(strategy.name);
  return names;
}

OptionSpec cascade_option() {
  return {
      .name = "cascade",
      .kind = kIntegers,
      .metavar = "K,...",
      .help = "a cascade, the cheapest judge first: each judge sees the best K of the one before",
      .group = kJudging,
      .low = 1,
      .high = 1e6,
      .example = "8,3"};
}

OptionSpec threads_option() {
  return {.name = "threads",
          .kind = kInteger,
          .metavar = "N",
          .help = "CPU threads (all cores)",
          .group = kMachine,
          .low = 1,
          .high = 1024};
}

OptionSpec directory_option() {
  return {.name = "directory",
          .kind = kPath,
          .scope = kCall,
          .metavar = "DIR",
          .help = "the run's directory"};
}

OptionSpec json_option(const std::string& help) {
  return {.name = "json", .kind = kFlag, .scope = kCall, .help = help, .group = kOutput};
}

OptionSpec out_option(const std::string& metavar, const std::string& help) {
  return {.name = "out",
          .letter = 'o',
          .kind = kPath,
          .scope = kCall,
          .metavar = metavar,
          .help = help,
          .group = kOutput};
}

OptionSpec top_option() {
  return {.name = "top",
          .kind = kInteger,
          .scope = kPlace,
          .metavar = "K",
          .help = "show the K best in the table (all)",
          .group = kOutput,
          .low = 1,
          .high = 1e9};
}

OptionSpec overlap_option(const std::string& fallback) {
  return {.name = "overlap",
          .kind = kChoice,
          .scope = kPlace,
          .metavar = "O",
          .help = "judge while denoising: on, off, or auto: where the cores suffice for both",
          .group = kMachine,
          .fallback = fallback,
          .choices = {"auto", "on", "off"}};
}

OptionSpec template_option() {
  for (const JudgeRegistration& judge : registry().judges) {
    for (const OptionSpec& spec : judge.options) {
      if (spec.name == "template") return spec;
    }
  }
  return {.name = "template", .kind = kPath, .metavar = "FILE", .help = "query template"};
}

OptionSpec paths_option(const std::string& name, const std::string& metavar,
                        const std::string& help) {
  return {.name = name, .kind = kPaths, .scope = kCall, .metavar = metavar, .help = help};
}

void add_judging(std::vector<OptionSpec>& options) {
  add(options, {.name = "prompt",
                .letter = 'p',
                .metavar = "TEXT",
                .help = "what the videos were asked to show",
                .group = kJudging});
  add(options, {.name = "judge",
                .letter = 'j',
                .kind = kPaths,
                .scope = kPlace,
                .metavar = "SPEC",
                .help = judge_specs() + "; may be given several times",
                .group = kJudging,
                .choices = judge_names()});
  for (const DecoratorRegistration& decorator : registry().decorators)
    add_group(options, decorator.options, kJudging);
  for (const JudgeRegistration& judge : registry().judges)
    add_group(options, judge.options, "Judge " + judge.name);
  add(options, {.name = "device",
                .scope = kPlace,
                .metavar = "D",
                .help = "cpu, cuda or cuda:1: of the judges that have weights, and of the model",
                .group = kMachine,
                .fallback = "cpu"});
  add(options, threads_option());
  add(options,
      {.name = "memory",
       .kind = kMemory,
       .scope = kPlace,
       .metavar = "SIZE",
       .help = "obey a plan for this much memory, such as 24G: fewer samples together, or a "
               "refusal that names the remedy",
       .group = kMachine});
}

void add_combining(std::vector<OptionSpec>& options) {
  add(options, {.name = "combine",
                .kind = kChoice,
                .metavar = "HOW",
                .help = "with several judges: rank-mean (default) or weights",
                .group = kJudging,
                .choices = {"rank-mean", "weights"}});
  add(options, {.name = "judge-weights",
                .kind = kReals,
                .metavar = "W,...",
                .help = "one positive weight per judge, for --combine weights (equal)",
                .group = kJudging,
                .low = 0,
                .above = true,
                .example = "1,2"});
  add(options, cascade_option());
}

void add_strategies(std::vector<OptionSpec>& options) {
  add(options, {.name = "strategy",
                .kind = kChoice,
                .metavar = "S",
                .help = one_of(strategy_names()),
                .group = kSearch,
                .fallback = strategy_names().front(),
                .choices = strategy_names()});
  for (const StrategyRegistration& strategy : registry().strategies)
    add_group(options, strategy.options, kSearch);
}

void add_limits(std::vector<OptionSpec>& options) {
  add(options, {.name = "max-forwards",
                .kind = kReal,
                .metavar = "F",
                .help = "stop with the best so far after so many forwards of the denoiser",
                .group = kSearch,
                .low = 0,
                .above = true});
  add(options, {.name = "max-seconds",
                .kind = kReal,
                .metavar = "S",
                .help = "stop with the best so far",
                .group = kSearch,
                .low = 0,
                .above = true});
}

void add_generating(std::vector<OptionSpec>& options) {
  add(options, {.name = "model",
                .letter = 'm',
                .kind = kPath,
                .scope = kPlace,
                .metavar = "FOLDER",
                .help = registry().engines.front().summary,
                .group = kVideo});
  add(options,
      {.name = "prompts",
       .kind = kPath,
       .scope = kCall,
       .metavar = "FILE",
       .help = "many prompts: a line each, or JSON lines with prompt, id, seed, negative_prompt",
       .group = kVideo});
  add(options,
      {.name = "negative-prompt", .metavar = "TEXT", .help = "what to avoid", .group = kVideo});
  add(options, {.name = "size",
                .kind = kSize,
                .metavar = "WxH",
                .help = "pixels",
                .group = kVideo,
                .fallback = "832x480",
                .low = 1,
                .high = 32768,
                .example = "832x480"});
  add(options, {.name = "frames",
                .aliases = {"num-frames"},
                .kind = kInteger,
                .metavar = "F",
                .help = "of a video (Wan: 4 k + 1)",
                .group = kVideo,
                .fallback = "81",
                .low = 1,
                .high = 100000});
  add(options, {.name = "fps",
                .kind = kInteger,
                .metavar = "FPS",
                .help = "of the videos",
                .group = kVideo,
                .fallback = "16",
                .low = 1,
                .high = 240});
  add(options, {.name = "steps",
                .aliases = {"num-inference-steps"},
                .kind = kInteger,
                .metavar = "T",
                .help = "denoising steps",
                .group = kVideo,
                .fallback = "50",
                .low = 1,
                .high = 1000});
  add(options, {.name = "guidance",
                .aliases = {"guidance-scale"},
                .kind = kReal,
                .metavar = "G",
                .help = "1: none, half the forwards",
                .group = kVideo,
                .fallback = "5"});
  for (const EngineRegistration& engine : registry().engines)
    add_group(options, engine.options, kVideo);
  add(options, {.name = "n",
                .letter = 'n',
                .kind = kInteger,
                .metavar = "N",
                .help = "candidates; the first has --seed",
                .group = kSearch,
                .fallback = "4",
                .low = 1,
                .high = 10000});
  add(options, overlap_option("auto"));
}

}  // namespace

std::vector<OptionSpec> score_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add(options, json_option("one JSON object per video on stdout"));
  add(options, paths_option("video", "VIDEO", "a video file; the word --video may be left out"));
  return options;
}

std::vector<OptionSpec> rank_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add_combining(options);
  add(options, out_option("DIR", "the run's directory"));
  add(options, top_option());
  add(options, {.name = "watch",
                .kind = kFlag,
                .scope = kCall,
                .help = "keep ranking as files arrive in the folder; Ctrl-C ends",
                .group = kOutput});
  add(options, {.name = "single-file",
                .kind = kFlag,
                .scope = kPlace,
                .help = "put the videos into report.html",
                .group = kOutput});
  add(options, json_option("one JSON object per video on stdout instead of the table"));
  add(options,
      paths_option("video", "PATH", "a folder or video; the word --video may be left out"));
  return options;
}

std::vector<OptionSpec> generate_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add_combining(options);
  add_generating(options);
  add(options, {.name = "seed",
                .kind = kSeed,
                .metavar = "S",
                .help = "of the first candidate, the others follow; -1: one is drawn and recorded",
                .group = kSearch,
                .fallback = "0"});
  add_strategies(options);
  add_limits(options);
  add(options, {.name = "judge-threads",
                .kind = kInteger,
                .metavar = "N",
                .help = "CPU threads of the judges (as --threads)",
                .group = kMachine,
                .low = 1,
                .high = 1024});
  add(options, out_option("DIR", "the run's directory"));
  add(options, {.name = "lossless",
                .kind = kFlag,
                .help = "keep FFV1 (RGB, bit exact) beside each mp4",
                .group = kOutput});
  add(options, {.name = "trace",
                .kind = kPath,
                .scope = kCall,
                .metavar = "FILE",
                .help = "a time line for ui.perfetto.dev",
                .group = kOutput});
  add(options, top_option());
  add(options, json_option("one JSON object per candidate on stdout instead of the table"));
  return options;
}

std::vector<OptionSpec> plan_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add(options, cascade_option());
  add_generating(options);
  add_strategies(options);
  add(options, json_option("one JSON object on stdout"));
  add(options,
      paths_option("video", "PATH",
                   "what is judged, where nothing is made; the word --video may be left out"));
  return options;
}

std::vector<OptionSpec> host_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  std::erase_if(options, [](const OptionSpec& spec) { return spec.name == "memory"; });
  add(options,
      {.name = "negative-prompt", .metavar = "TEXT", .help = "what to avoid", .group = kVideo});
  add(options, {.name = "seeds",
                .kind = kSeeds,
                .metavar = "S,...",
                .help = "one candidate each",
                .group = kSearch,
                .example = "0,1,2"});
  add_strategies(options);
  add_limits(options);
  add(options, overlap_option("off"));
  return options;
}

std::vector<OptionSpec> resume_options() {
  std::vector<OptionSpec> options;
  OptionSpec threads = threads_option();
  threads.help = "must equal the run's";
  add(options, std::move(threads));
  add(options, json_option("one JSON object per video on stdout instead of the table"));
  // What may lie elsewhere now: the recipe stays the run's.
  for (const auto& more :
       {rank_options(), registry().engines.empty() ? rank_options() : generate_options()}) {
    for (const OptionSpec& spec : more) {
      if (spec.scope != kPlace) continue;
      OptionSpec moved = spec;
      moved.fallback.clear();
      add(options, std::move(moved));
    }
  }
  add(options, directory_option());
  return options;
}

std::vector<OptionSpec> replay_options() {
  std::vector<OptionSpec> options;
  add(options, {.name = "candidate",
                .letter = 'k',
                .scope = kCall,
                .metavar = "ID",
                .help = "such as c003, or its number"});
  add(options, out_option("FILE.mp4", "DIR/replay-ID.mp4"));
  for (const OptionSpec& spec : generate_options()) {
    if (spec.name == "model" || spec.name == "device") {
      OptionSpec moved = spec;
      moved.fallback.clear();
      add(options, std::move(moved));
    }
  }
  add(options, directory_option());
  return options;
}

std::vector<OptionSpec> export_options() {
  return {{.name = "format",
           .kind = kChoice,
           .scope = kCall,
           .metavar = "F",
           .help = "csv or jsonl",
           .fallback = "csv",
           .choices = {"csv", "jsonl"}},
          directory_option()};
}

std::vector<OptionSpec> inspect_options() {
  return {template_option(),
          {.name = "folder",
           .kind = kPath,
           .scope = kCall,
           .metavar = "FOLDER",
           .help = "the checkpoint"}};
}

std::vector<OptionSpec> parse_options() {
  return {
      json_option("one JSON object per output on stdout"),
      {.name = "file", .kind = kPath, .scope = kCall, .metavar = "FILE", .help = "- for stdin"}};
}

std::vector<OptionSpec> completion_options() {
  return {{.name = "shell",
           .kind = kChoice,
           .scope = kCall,
           .metavar = "SHELL",
           .help = "bash, zsh or fish",
           .choices = {"bash", "zsh", "fish"}}};
}

}  // namespace bestreel::app
