// The options that are nobody's in particular, and how those of the registry join them.
#include "app/options.h"

#include <algorithm>
#include <utility>

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

OptionSpec option(OptionKind kind, const char* group, const char* name, const char* metavar,
                  std::string help, std::string fallback = "", OptionScope scope = kRecipe) {
  return {.name = name,
          .kind = kind,
          .scope = scope,
          .metavar = metavar,
          .help = std::move(help),
          .group = group,
          .fallback = std::move(fallback)};
}

OptionSpec number(OptionSpec spec, double low, double high, std::vector<std::string> aliases = {}) {
  spec.low = low;
  spec.high = high;
  spec.aliases = std::move(aliases);
  return spec;
}

OptionSpec positive(OptionSpec spec) {
  spec.low = 0;
  spec.above = true;
  return spec;
}

OptionSpec choice(OptionSpec spec, std::vector<std::string> choices) {
  spec.choices = std::move(choices);
  return spec;
}

OptionSpec with_letter(OptionSpec spec, char letter) {
  spec.letter = letter;
  return spec;
}

OptionSpec with_example(OptionSpec spec, const char* example) {
  spec.example = example;
  return spec;
}

OptionSpec flag(const char* group, const char* name, const char* help, OptionScope scope) {
  return option(kFlag, group, name, "", help, "", scope);
}

OptionSpec cascade_option() {
  return with_example(
      number(
          option(
              kIntegers, kJudging, "cascade", "K,...",
              "a cascade, the cheapest judge first: each judge sees the best K of the one before"),
          1, 1e6),
      "8,3");
}

OptionSpec threads_option(const char* help) {
  return number(option(kInteger, kMachine, "threads", "N", help), 1, 1024);
}

OptionSpec directory_option() {
  return option(kPath, "", "directory", "DIR", "the run's directory", "", kCall);
}

OptionSpec json_option(const char* help) { return flag(kOutput, "json", help, kCall); }

OptionSpec out_option(const char* metavar, const char* help) {
  return with_letter(option(kPath, kOutput, "out", metavar, help, "", kCall), 'o');
}

OptionSpec top_option() {
  return number(
      option(kInteger, kOutput, "top", "K", "show the K best in the table (all)", "", kPlace), 1,
      1e9);
}

OptionSpec negative_option() {
  return option(kText, kVideo, "negative-prompt", "TEXT", "what to avoid");
}

OptionSpec overlap_option(const char* fallback) {
  return choice(option(kChoice, kMachine, "overlap", "O",
                       "judge while denoising: on, off, or auto: where the cores suffice for both",
                       fallback, kPlace),
                {"auto", "on", "off"});
}

OptionSpec videos_option(const char* metavar, const char* help) {
  return option(kPaths, "", "video", metavar, help, "", kCall);
}

OptionSpec template_option() {
  for (const JudgeRegistration& judge : registry().judges) {
    for (const OptionSpec& spec : judge.options) {
      if (spec.name == "template") return spec;
    }
  }
  return option(kPath, "", "template", "FILE", "query template");
}

void add_judging(std::vector<OptionSpec>& options) {
  add(options,
      with_letter(option(kText, kJudging, "prompt", "TEXT", "what the videos were asked to show"),
                  'p'));
  add(options,
      with_letter(choice(option(kPaths, kJudging, "judge", "SPEC",
                                judge_specs() + "; may be given several times", "", kPlace),
                         judge_names()),
                  'j'));
  for (const DecoratorRegistration& decorator : registry().decorators)
    add_group(options, decorator.options, kJudging);
  for (const JudgeRegistration& judge : registry().judges)
    add_group(options, judge.options, "Judge " + judge.name);
  add(options, option(kText, kMachine, "device", "D",
                      "cpu, cuda or cuda:1: of the judges that have weights, and of the model",
                      "cpu", kPlace));
  add(options, threads_option("CPU threads (all cores)"));
  add(options, option(kMemory, kMachine, "memory", "SIZE",
                      "obey a plan for this much memory, such as 24G: fewer samples together, or a "
                      "refusal that names the remedy",
                      "", kPlace));
}

void add_combining(std::vector<OptionSpec>& options) {
  add(options, choice(option(kChoice, kJudging, "combine", "HOW",
                             "with several judges: rank-mean (default) or weights"),
                      {"rank-mean", "weights"}));
  add(options, with_example(positive(option(kReals, kJudging, "judge-weights", "W,...",
                                            "one positive weight per judge, for --combine weights "
                                            "(equal)")),
                            "1,2"));
  add(options, cascade_option());
}

void add_strategies(std::vector<OptionSpec>& options) {
  const std::vector<std::string> names = strategy_names();
  OptionSpec strategy =
      choice(option(kChoice, kSearch, "strategy", "S", one_of(names), names.front()), names);
  strategy.hint = "; judges that judge one after the other are --cascade K,...";
  add(options, std::move(strategy));
  for (const StrategyRegistration& strategy : registry().strategies)
    add_group(options, strategy.options, kSearch);
}

void add_limits(std::vector<OptionSpec>& options) {
  add(options,
      positive(option(kReal, kSearch, "max-forwards", "F",
                      "stop with the best so far after so many forwards of the denoiser")));
  add(options, positive(option(kReal, kSearch, "max-seconds", "S", "stop with the best so far")));
}

void add_generating(std::vector<OptionSpec>& options) {
  add(options, with_letter(option(kPath, kVideo, "model", "FOLDER",
                                  registry().engines.front().summary, "", kPlace),
                           'm'));
  add(options,
      option(kPath, kVideo, "prompts", "FILE",
             "many prompts: a line each, or JSON lines with prompt, id, seed, negative_prompt", "",
             kCall));
  add(options, negative_option());
  add(options,
      with_example(number(option(kSize, kVideo, "size", "WxH", "pixels", "832x480"), 1, 32768),
                   "832x480"));
  add(options, number(option(kInteger, kVideo, "frames", "F", "of a video (Wan: 4 k + 1)", "81"), 1,
                      100000, {"num-frames"}));
  add(options, number(option(kInteger, kVideo, "fps", "FPS", "of the videos", "16"), 1, 240));
  add(options, number(option(kInteger, kVideo, "steps", "T", "denoising steps", "50"), 1, 1000,
                      {"num-inference-steps"}));
  OptionSpec guidance = option(kReal, kVideo, "guidance", "G", "1: none, half the forwards", "5");
  guidance.aliases = {"guidance-scale"};
  add(options, std::move(guidance));
  for (const EngineRegistration& engine : registry().engines)
    add_group(options, engine.options, kVideo);
  add(options, with_letter(number(option(kInteger, kSearch, "n", "N",
                                         "candidates; the first has --seed", "4"),
                                  1, 10000),
                           'n'));
  add(options, overlap_option("auto"));
}

}  // namespace

std::vector<OptionSpec> score_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add(options, json_option("one JSON object per video on stdout"));
  add(options, videos_option("VIDEO", "a video file; the word --video may be left out"));
  return options;
}

std::vector<OptionSpec> rank_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add_combining(options);
  add(options, out_option("DIR", "the run's directory"));
  add(options, top_option());
  add(options,
      flag(kOutput, "watch", "keep ranking as files arrive in the folder; Ctrl-C ends", kCall));
  add(options, flag(kOutput, "single-file", "put the videos into report.html", kPlace));
  add(options, json_option("one JSON object per video on stdout instead of the table"));
  add(options, videos_option("PATH", "a folder or video; the word --video may be left out"));
  return options;
}

std::vector<OptionSpec> generate_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  add_combining(options);
  add_generating(options);
  add(options,
      option(kSeed, kSearch, "seed", "S",
             "of the first candidate, the others follow; -1: one is drawn and recorded", "0"));
  add_strategies(options);
  add_limits(options);
  add(options, number(option(kInteger, kMachine, "judge-threads", "N",
                             "CPU threads of the judges (as --threads)"),
                      1, 1024));
  add(options, out_option("DIR", "the run's directory"));
  add(options, flag(kOutput, "lossless", "keep FFV1 (RGB, bit exact) beside each mp4", kRecipe));
  add(options,
      option(kPath, kOutput, "trace", "FILE", "a time line for ui.perfetto.dev", "", kCall));
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
  add(options, videos_option("PATH",
                             "what is judged, where nothing is made; the word --video may be "
                             "left out"));
  return options;
}

std::vector<OptionSpec> host_options() {
  std::vector<OptionSpec> options;
  add_judging(options);
  std::erase_if(options, [](const OptionSpec& spec) { return spec.name == "memory"; });
  add(options, negative_option());
  add(options,
      with_example(option(kSeeds, kSearch, "seeds", "S,...", "one candidate each"), "0,1,2"));
  add_strategies(options);
  add_limits(options);
  add(options, overlap_option("off"));
  return options;
}

/// What may lie elsewhere now, or go at another speed; the recipe stays the run's.
static void add_moved(std::vector<OptionSpec>& options, const std::vector<OptionSpec>& of_the_run) {
  for (OptionSpec spec : of_the_run) {
    spec.fallback.clear();
    if (spec.scope == kPlace) add(options, std::move(spec));
  }
}

std::vector<OptionSpec> resume_options() {
  std::vector<OptionSpec> options{threads_option("must equal the run's")};
  add(options, json_option("one JSON object per video on stdout instead of the table"));
  add_moved(options, rank_options());
  if (!registry().engines.empty()) add_moved(options, generate_options());
  add(options, directory_option());
  return options;
}

std::vector<OptionSpec> replay_options() {
  std::vector<OptionSpec> options{
      with_letter(option(kText, "", "candidate", "ID", "such as c003, or its number", "", kCall),
                  'k'),
      out_option("FILE.mp4", "DIR/replay-ID.mp4")};
  std::vector<OptionSpec> engine;
  for (const OptionSpec& spec : generate_options()) {
    if (spec.group == kVideo || spec.name == "device") engine.push_back(spec);
  }
  add_moved(options, engine);
  add(options, directory_option());
  return options;
}

std::vector<OptionSpec> export_options() {
  return {
      choice(option(kChoice, "", "format", "F", "csv or jsonl", "csv", kCall), {"csv", "jsonl"}),
      directory_option()};
}

std::vector<OptionSpec> inspect_options() {
  std::vector<OptionSpec> options{
      template_option(), option(kPath, "", "folder", "FOLDER", "the checkpoint", "", kCall)};
  for (const EngineRegistration& engine : registry().engines) {
    for (OptionSpec spec : engine.options) {
      spec.fallback.clear();
      add(options, std::move(spec));
    }
  }
  return options;
}

std::vector<OptionSpec> parse_options() {
  return {json_option("one JSON object per output on stdout"),
          option(kPath, "", "file", "FILE", "- for stdin", "", kCall)};
}

std::vector<OptionSpec> completion_options() {
  return {choice(option(kChoice, "", "shell", "SHELL", "bash, zsh or fish", "", kCall),
                 {"bash", "zsh", "fish"})};
}

}  // namespace bestreel::app
