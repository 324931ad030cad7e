#include "cli/judges.h"

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>

#include "cli/machine.h"
#include "cli/planning.h"
#include "core/base/fail.h"
#include "examples/tinyworld/oracle_judge.h"
#include "plugin/cascade.h"
#include "reward/encoded_judge/encoded_judge.h"
#include "reward/pixels/pixels_judge.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/device.h"
#include "reward/videoscore2/videoscore2_judge.h"
#endif

namespace bestreel::cli {
namespace {

constexpr const char* kSpecs =
    "`pixels` (no weights), `tinyworld-oracle` (clips of the tiny world) or the folder of a "
    "VideoScore2 "
    "checkpoint";

int threads_of(const po::variables_map& given, const Command& command) {
  const int threads = given.count("threads") != 0 ? given["threads"].as<int>() : usable_cores();
  if (threads < 1 || threads > 1024) {
    fail_usage(command.name, "threads must be between 1 and 1024, but got {}", threads);
  }
  return threads;
}

void check_device(const std::string& device) {
#ifdef BESTREEL_WITH_TORCH
  nn::parse_device(device);
#else
  if (device != "cpu")
    fail_usage("device", "device must be cpu in a build without libtorch, but got {}", device);
#endif
}

#ifdef BESTREEL_WITH_TORCH
/// `--weights` says what the judge's weights are stored as or, with numbers, what each judge
/// weighs: given twice, it says both.
std::optional<std::string> precision_of(const po::variables_map& given) {
  if (given.count("weights") == 0) return std::nullopt;
  for (const std::string& word : given["weights"].as<std::vector<std::string>>())
    if (word == "int8" || word == "file") return word;
  return std::nullopt;
}

VideoScore2Options videoscore2_options(const std::string& folder, const po::variables_map& given,
                                       const Command& command) {
  VideoScore2Options options;
  options.folder = folder;
  options.threads = threads_of(given, command);
  options.device = device_of(given);
  if (given.count("template") != 0) options.template_file = given["template"].as<std::string>();
  if (given.count("dtype") != 0) options.dtype = given["dtype"].as<std::string>();
  if (given.count("rationale") != 0) {
    const std::string text = given["rationale"].as<std::string>();
    if (text == "none") {
      options.rationale = 0;
    } else {
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, options.rationale);
      if (error != std::errc() || stop != end || options.rationale < 0) {
        fail_usage(command.name, "rationale must be a number of tokens or none, but got {}", text);
      }
    }
  }
  if (given.count("readings") != 0) options.samples = given["readings"].as<int>();
  if (given.count("temperature") != 0) options.temperature = given["temperature"].as<double>();
  if (given.count("seed") != 0) options.seed = given["seed"].as<std::uint64_t>();
  if (precision_of(given)) options.weights = *precision_of(given);
  if (given.count("judge-slots") != 0) options.slots = given["judge-slots"].as<int>();
  return options;
}

JudgePtr make_checkpoint_judge(const std::string& folder, const po::variables_map& given,
                               const Command& command) {
  const VideoScore2Options options = videoscore2_options(folder, given, command);
  JudgePtr judge = make_videoscore2_judge(options);
  if (inspect_videoscore2(folder, options.template_file).template_fallback) {
    std::cerr
        << "[" << command.name << "] warning: " << folder << " has no model card with a query "
        << "template, so Bestreel's own wording is used and scores will differ from published "
        << "ones: download the whole checkpoint, or pass --template FILE\n";
  }
  return judge;
}
#else
JudgePtr make_checkpoint_judge(const std::string& folder, const po::variables_map&,
                               const Command& command) {
  fail("no_libtorch", command.name,
       "{} is a checkpoint, and this build has no libtorch: build with "
       "-DBESTREEL_TORCH=ON",
       folder);
}
#endif

JudgePtr make_judge(const std::string& spec, const po::variables_map& given,
                    const Command& command) {
  if (spec == "pixels") return make_pixels_judge();
  if (spec == "tinyworld-oracle") return tinyworld::make_oracle_judge();
  if (!std::filesystem::exists(spec)) {
    fail_usage(command.name, "judge must be {}, but got {}, which does not exist", kSpecs, spec);
  }
  if (!std::filesystem::is_directory(spec)) {
    fail_usage(command.name, "judge must be {}, but got {}, which is a file", kSpecs, spec);
  }
  return make_checkpoint_judge(spec, given, command);
}

std::vector<double> weights_of(const po::variables_map& given, const Command& command,
                               std::size_t judges) {
  if (given.count("weights") == 0) return {};
  std::string text;
  for (const std::string& word : given["weights"].as<std::vector<std::string>>())
    if (word != "int8" && word != "file") text = word;
  if (text.empty()) return {};
  std::vector<double> weights;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at <= end) {
    double value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || !(value > 0) || (next != end && *next != ',')) break;
    weights.push_back(value);
    if (next == end) {
      if (weights.size() != judges) break;
      return weights;
    }
    at = next + 1;
  }
  fail_usage(command.name,
             "weights must be {} positive numbers with commas, one for each --judge, "
             "but got {}",
             judges, text);
}

}  // namespace

std::vector<int> keep_of(const po::variables_map& given, const Command& command,
                         std::size_t judges) {
  if (given.count("keep") == 0) return {};
  const auto refuse = [&](const char* other) {
    fail_usage(command.name,
               "either --keep or --{} may be given, but not both: with --keep the judges judge one "
               "after the other and are not combined",
               other);
  };
  if (given.count("combine") != 0) refuse("combine");
  if (given.count("weights") != 0) {
    for (const std::string& word : given["weights"].as<std::vector<std::string>>()) {
      if (word != "int8" && word != "file") refuse("weights");
    }
  }
  const std::string text = given["keep"].as<std::string>();
  std::vector<int> keep;
  const char* at = text.data();
  for (const char* const end = at + text.size();; ++at) {
    int count = 0;
    const auto [next, error] = std::from_chars(at, end, count);
    if (error != std::errc() || (next != end && *next != ',')) {
      fail_usage(command.name, "keep must be counts with commas, such as 8,3, but got {}", text);
    }
    keep.push_back(count);
    at = next;
    if (next == end) break;
  }
  check_keep(command.name, judges, keep);
  return keep;
}

namespace {

/// The command as given, with every path absolute: it means the same from any folder.
std::vector<std::string> canonical_argv(const po::variables_map& given, const Command& command) {
  const auto path = [](const std::string& text) {
    if (text == "pixels" || text == "tinyworld-oracle")
      return text;  // a judge, whatever lies beside
    return std::filesystem::exists(text) || text.find('/') != std::string::npos
               ? std::filesystem::absolute(text).lexically_normal().string()
               : text;
  };
  std::vector<std::string> argv{"bestreel", command.name};
  if (given.count(command.positional) != 0) {
    for (const auto& word : given[command.positional].as<std::vector<std::string>>()) {
      argv.push_back(std::filesystem::absolute(word).lexically_normal().string());
    }
  }
  const po::options_description options = command.options();
  for (const auto& option : options.options()) {
    const std::string& name = option->long_name();
    if (name == command.positional || given.count(name) == 0 || given[name].defaulted()) continue;
    const boost::any& value = given[name].value();
    const auto add = [&](const std::string& text) {
      argv.push_back("--" + name);
      argv.push_back(text);
    };
    if (const auto* words = boost::any_cast<std::vector<std::string>>(&value)) {
      for (const std::string& word : *words) {
        // Of two denoisers a LoRA names one first: high=FILE.
        const std::size_t at =
            name == "lora" && (word.starts_with("high=") || word.starts_with("low="))
                ? word.find('=') + 1
                : 0;
        add(name == "weights" ? word : word.substr(0, at) + path(word.substr(at)));
      }
    } else if (const auto* word = boost::any_cast<std::string>(&value)) {
      const bool is_path = name == "out" || name == "template" || name == "model" ||
                           name == "prompts" || name == "trace" || name == "preview-decoder" ||
                           name == "tokenizer" || name.ends_with("-file") ||
                           name.ends_with("-file-2");
      if (word->empty()) {
        argv.push_back("--" + name);
      } else {
        add(is_path ? std::filesystem::absolute(*word).lexically_normal().string() : *word);
      }
    } else if (const auto* number = boost::any_cast<int>(&value)) {
      add(std::to_string(*number));
    } else if (const auto* seed = boost::any_cast<std::uint64_t>(&value)) {
      add(std::to_string(*seed));
    } else if (const auto* real = boost::any_cast<double>(&value)) {
      add(fmt::format("{}", *real));
    }
  }
  return argv;
}

}  // namespace

std::string device_of(const po::variables_map& given) {
  return given.count("device") != 0 ? given["device"].as<std::string>() : "cpu";
}

void add_judge_options(po::options_description& options) {
  options.add_options()("prompt,p", po::value<std::string>()->value_name("TEXT"),
                        "what the videos were asked to show")(
      "judge,j", po::value<std::vector<std::string>>()->value_name("SPEC")->composing(),
      "`pixels` (no weights needed), or the folder of a VideoScore2 checkpoint")(
      "template", po::value<std::string>()->value_name("FILE"),
      "query template with $t2v_prompt (the checkpoint's model card)")(
      "rationale", po::value<std::string>()->value_name("N|none"),
      "tokens of reasons before the scores (1024); none: scores at once")(
      "readings", po::value<int>()->value_name("K"),
      "read each video K times: mean and standard deviation (1)")(
      "temperature", po::value<double>()->value_name("T"), "sample the reasons (0: greedy)")(
      "seed", po::value<std::uint64_t>()->value_name("S"), "of the sampling (0)")(
      "dtype", po::value<std::string>()->value_name("D"), "fp32 or bf16 activations (fp32)")(
      "weights", po::value<std::vector<std::string>>()->value_name("int8|W,...")->composing(),
      "int8: the judge's weights in a byte each, converted once; numbers: one positive weight per "
      "judge, for --combine weights (equal)")(
      "judge-slots", po::value<int>()->value_name("B"),
      "readings that a checkpoint decodes together, 1 to 32 (8): speed and memory, no score")(
      "judge-from", po::value<std::string>()->value_name("WHAT"),
      "memory: the frames as decoded (default); file: the frames after H.264")(
      "device", po::value<std::string>()->value_name("D"),
      "cpu, cuda or cuda:1: of the judges that have weights, and of the model (cpu)")(
      "threads", po::value<int>()->value_name("N"), "CPU threads of the judges (all cores)");
  add_memory_option(options);
}

std::vector<JudgePtr> make_judges(const po::variables_map& given, const Command& command) {
  if (given.count("judge") == 0) {
    fail_usage(command.name, "judge must be given: pass --judge SPEC, where SPEC is {}", kSpecs);
  }
  const std::string from =
      given.count("judge-from") != 0 ? given["judge-from"].as<std::string>() : "memory";
  if (from != "memory" && from != "file") {
    fail_usage(command.name, "judge-from must be memory or file, but got {}", from);
  }
  threads_of(given, command);  // a bad number is refused whatever the judge
  keep_of(given, command, given["judge"].as<std::vector<std::string>>().size());
  check_device(device_of(given));
  if (given.count("weights") != 0)
    for (const std::string& word : given["weights"].as<std::vector<std::string>>())
      if (word != "int8" && word != "file" && (word.empty() || word[0] < '0' || word[0] > '9'))
        fail_usage(command.name,
                   "weights must be int8, file, or positive numbers with commas, but got {}", word);
  std::vector<JudgePtr> judges;
  for (const std::string& spec : given["judge"].as<std::vector<std::string>>()) {
    judges.push_back(make_judge(spec, given, command));
    if (from == "file") judges.back() = encoded_judge(judges.back());
  }
  return judges;
}

RunSettings make_settings(const po::variables_map& given, const Command& command,
                          const std::vector<JudgePtr>& judges) {
  RunSettings settings;
  settings.command = command.name;
  settings.argv = canonical_argv(given, command);
  settings.prompt = required_text(given, command, "prompt", "TEXT");
  settings.judges = given["judge"].as<std::vector<std::string>>();
  for (const JudgePtr& judge : judges) settings.judge_ids.push_back(judge->info().id);
  settings.keep = keep_of(given, command, judges.size());
  // `--strategy rerank` is the cascade of two judges, and has a count of its own where none is
  // given.
  if (settings.keep.empty() && judges.size() == 2 && given.count("strategy") != 0 &&
      given["strategy"].as<std::string>() == "rerank") {
    settings.keep = {kRerankKeep};
  }
  if (settings.keep.empty() && (given.count("combine") != 0 || judges.size() > 1)) {
    const std::string how =
        given.count("combine") != 0 ? given["combine"].as<std::string>() : "rank-mean";
    if (how != "rank-mean" && how != "weights") {
      fail_usage(command.name, "combine must be rank-mean or weights, but got {}", how);
    }
    settings.combination = how == "weights" ? Combination::kWeights : Combination::kRankMean;
  }
  settings.weights = weights_of(given, command, judges.size());
  settings.top = given.count("top") != 0 ? given["top"].as<int>() : 0;
  if (settings.top < 0)
    fail_usage(command.name, "top must be at least 1, but got {}", settings.top);
  settings.threads = threads_of(given, command);
  settings.versions = version_line();
  return settings;
}

}  // namespace bestreel::cli
