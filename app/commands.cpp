#include "app/commands.h"

#include <algorithm>

#include "app/options.h"
#include "core/base/fail.h"

namespace bestreel::app {
namespace {

std::string strategies_text() {
  std::string text = "Strategies:\n";
  for (const StrategyRegistration& strategy : registry().strategies)
    text += fmt::format("  {:<11}{}\n", strategy.name, strategy.summary);
  return text + "\n";
}

constexpr const char* kExit =
    "Exit status: 0 done, 1 something failed (the rest is done), 2 usage, 130 interrupted.\n";

std::vector<CommandSpec> all_commands() {
  std::vector<CommandSpec> all;
  all.push_back(
      {.name = "score",
       .summary = "score videos, each by itself",
       .usage = "VIDEO... --prompt TEXT --judge SPEC [--json]",
       .positional = "video",
       .details = "With --json, one JSON object per video on a line of its own: video, "
                  "dimensions[{name, score, expected, probabilities?}], reward, rationale, "
                  "measures{}, frames (indices that the judge saw), seconds; or video and "
                  "failure{code, sentence}. Messages go to stderr.\n\n"
                  "Exit status: 0 all judged, 1 some video failed (the others are still scored), "
                  "2 usage.\n",
       .examples =
           {"bestreel score clip.mp4 --prompt \"a red ball bounces\" --judge pixels",
            "bestreel score *.mp4 -p \"a red ball bounces\" -j pixels --json > scores.jsonl"},
       .options = score_options()});
  all.push_back(
      {.name = "rank",
       .summary = "rank videos of one prompt, best first, with a report",
       .usage = "FOLDER|VIDEO... --prompt TEXT --judge SPEC... --out DIR [--top K] [--watch]",
       .positional = "video",
       .details =
           "DIR receives best.<ext> (the winner's file, byte for byte), report.html and "
           "run.sqlite. The same command on the same DIR goes on where it was interrupted.\n\n"
           "Several --judge without --cascade all judge everything and are combined. With "
           "--cascade 8,3 they are a cascade, the cheapest first: the second judge sees the "
           "best 8 of the first, the third the best 3 of the second. Who was judged further "
           "comes first; rewards of different judges are never compared. With --json a last "
           "line {\"cascade\": [...]} says what each judge saw, cost and saved.\n\n"
           "Exit status: 0 all judged, 1 some video failed (the others are still ranked), 2 "
           "usage, 130 interrupted (what was judged is ranked and kept).\n",
       .examples =
           {"bestreel rank clips/ --prompt \"a red ball bounces\" --judge pixels --out run1",
            "bestreel rank a.mp4 b.mkv -p \"a cat\" -j pixels -j VideoScore2/ --combine "
            "rank-mean --out run2",
            "bestreel rank clips/ -p \"a cat\" -j pixels -j small/ -j VideoScore2/ --cascade "
            "8,3 --out run3",
            "bestreel rank clips/ -p \"a cat\" -j pixels --out run4 --watch"},
       .options = rank_options()});
  all.push_back(
      {.name = "resume",
       .summary = "go on with an interrupted run",
       .usage = "DIR",
       .positional = "directory",
       .details =
           "Prompt, judges and settings are the run's own recipe. Of its place only what is "
           "read is obeyed, and may be given anew (a model that was moved: --model). Refused "
           "where the thread count, the versions, the model or a judge differ from the run's, "
           "since scores could then differ too.\n",
       .examples = {"bestreel resume run1"},
       .options = resume_options()});
  all.push_back({.name = "export",
                 .summary = "write a run's scores as CSV or JSON lines",
                 .usage = "DIR --format csv|jsonl",
                 .positional = "directory",
                 .details =
                     "Canonical: no clocks, sorted by video; equal runs export equal bytes. To "
                     "stdout.\n",
                 .examples = {"bestreel export run1 --format csv > run1.csv"},
                 .options = export_options()});
  if (!registry().engines.empty()) {
    all.push_back(
        {.name = "generate",
         .summary = "make candidates of a prompt, judge them, keep the best",
         .usage = "--model FOLDER --judge SPEC... --prompt TEXT -n N --out DIR",
         .details = "DIR receives best.mp4, every candidate, report.html and run.sqlite; the same "
                    "command on the same DIR goes on where it was interrupted. Candidate k has the "
                    "seed SEED + k and the initial noise that diffusers draws for it.\n\n" +
                    strategies_text() + kExit,
         .examples =
             {"bestreel generate --model Wan2.1-T2V-1.3B-Diffusers --judge VideoScore2 -p \"a "
              "cat\" -n 8 --out run1",
              "bestreel generate --model wan/ --judge pixels -p \"a cat\" -n 8 --strategy "
              "halving --out run2",
              "bestreel generate --model wan/ --judge pixels --prompts prompts.txt -n 4 --out "
              "runs"},
         .options = generate_options()});
    all.push_back(
        {.name = "replay",
         .summary = "make one candidate of a run again",
         .usage = "DIR --candidate ID [--out FILE]",
         .positional = "directory",
         .details =
             "Makes one candidate of a run again from its noise and compares it with the file "
             "of the run, byte for byte. Where they differ it says what has changed: engine, "
             "checkpoint or versions.\n",
         .examples = {"bestreel replay run1 --candidate c003 --out again.mp4"},
         .options = replay_options()});
    all.push_back({.name = "inspect",
                   .summary = "what a checkpoint holds and how it will be used",
                   .usage = "FOLDER",
                   .positional = "folder",
                   .details =
                       "FOLDER is a judge's or a model's. Reads config files and the headers "
                       "of the weights, no weights.\n",
                   .examples = {"bestreel inspect VideoScore2/",
                                "bestreel inspect Wan2.1-T2V-1.3B-Diffusers/ --model-file "
                                "wan-Q8_0.gguf"},
                   .options = inspect_options()});
    all.push_back(
        {.name = "plan",
         .summary = "what fits into a memory, and how long it takes",
         .usage = "[--model FOLDER] [--judge SPEC...] [--memory SIZE] [VIDEO...]",
         .positional = "video",
         .details =
             "Reads config files and, where the weights are there, the headers of their files; "
             "loads "
             "nothing. The limit and the prediction are the resident set of the process (what "
             "VmHWM "
             "says). Mapped weights count, although the system may drop their pages: with less "
             "memory "
             "a run does not fail but reads its weights from disk for every token. SIZE is 24G or "
             "24GiB (2^30), 24GB (10^9), 24000M; without --memory it is this machine's. Times come "
             "from counted operations and a measurement of one second. Answers are counted at "
             "their "
             "full length, prompts at 4 bytes a token.\n\n"
             "The same numbers rule rank, score and generate with --memory.\n\n"
             "Exit status: 0 it fits, 1 it does not (the sentence names the cheapest remedy), 2 "
             "usage.\n",
         .examples =
             {"bestreel plan --model Wan2.1-T2V-1.3B-Diffusers --judge VideoScore2 --memory 24G "
              "-n 8",
              "bestreel plan --judge VideoScore2 --memory 24G --dtype bf16 --json"},
         .options = plan_options()});
  }
  all.push_back(
      {.name = "parse",
       .summary = "read recorded VideoScore2 outputs",
       .usage = "FILE|- [--json]",
       .positional = "file",
       .details = "FILE holds a JSON array or JSON lines with an `output` field, or one plain "
                  "text. Only what follows the last </think> counts; a missing score is "
                  "reported, never guessed.\n\n"
                  "Exit status: 0 every output had its three scores, 1 some had not, 2 "
                  "usage.\n",
       .examples = {"bestreel parse outputs.json", "some-program | bestreel parse - --json"},
       .options = parse_options()});
  all.push_back({.name = "doctor",
                 .summary = "what of this machine is usable, and what to do about what is missing",
                 .details =
                     "Exit status: 0 everything that Bestreel needs is there, 1 something is "
                     "missing (the line says what to do).\n"});
  all.push_back(
      {.name = "completion",
       .summary = "print the completion script of a shell",
       .usage = "bash|zsh|fish",
       .positional = "shell",
       .examples = {"source <(bestreel completion bash)",
                    "bestreel completion zsh > ~/.zfunc/_bestreel",
                    "bestreel completion fish > ~/.config/fish/completions/bestreel.fish"},
       .options = completion_options()});
  all.push_back({.name = "man",
                 .summary = "print the manual page, bestreel(1)",
                 .examples = {"bestreel man | man -l -"}});
  return all;
}

/// Dashes where JSON has underscores.
std::string dashed(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace

const OptionSpec* CommandSpec::find(const std::string& given) const {
  const std::string wanted = dashed(given);
  for (const OptionSpec& spec : options) {
    if (spec.name == wanted ||
        std::find(spec.aliases.begin(), spec.aliases.end(), wanted) != spec.aliases.end()) {
      return &spec;
    }
  }
  return nullptr;
}

std::vector<std::string> CommandSpec::names() const {
  std::vector<std::string> all;
  for (const OptionSpec& spec : options) {
    all.push_back(spec.name);
    all.insert(all.end(), spec.aliases.begin(), spec.aliases.end());
  }
  return all;
}

std::span<const CommandSpec> commands() {
  static const std::vector<CommandSpec> all = all_commands();
  return all;
}

const CommandSpec* find_command(const std::string& name) {
  for (const CommandSpec& command : commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

const CommandSpec& host_command() {
  static const CommandSpec command{.name = "host", .options = host_options()};
  return command;
}

void refuse_option(const std::string& op, const CommandSpec& command, const std::string& name) {
  fail_usage(op, "{} is no option of {}{}", name, command.name == "host" ? "a run" : command.name,
             did_you_mean(name, command.names()));
}

std::vector<std::string> strategies_with(const std::string& option) {
  std::vector<std::string> names;
  for (const StrategyRegistration& strategy : registry().strategies) {
    const bool takes =
        option == "cascade"
            ? strategy.cascades
            : std::any_of(strategy.options.begin(), strategy.options.end(),
                          [&](const OptionSpec& spec) { return spec.name == option; });
    if (takes) names.push_back(strategy.name);
  }
  return names;
}

std::string judge_specs() {
  std::vector<std::string> specs;
  for (const JudgeRegistration& judge : registry().judges) specs.push_back(judge.spec);
  return one_of(specs);
}

}  // namespace bestreel::app
