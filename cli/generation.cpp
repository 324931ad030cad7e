#include "cli/generation.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/judges.h"
#include "cli/machine.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/device.h"
#include "plugin/strategies/best_of_n.h"
#include "plugin/strategies/cascade.h"
#include "plugin/strategies/halving.h"
#include "plugin/strategies/race.h"
#include "plugin/strategies/rerank.h"
#include "sampler/wan/engine.h"

namespace bestreel::cli {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

std::string text_or(const po::variables_map& given, const char* name,
                    const std::string& otherwise) {
  return given.count(name) != 0 ? given[name].as<std::string>() : otherwise;
}

int number_of(const po::variables_map& given, const Command& command, const char* name, int low,
              int high) {
  const int value = given[name].as<int>();
  if (value < low || value > high) {
    fail_usage(command.name, "{} must be between {} and {}, but got {}", name, low, high, value);
  }
  return value;
}

std::vector<int> integers_of(const po::variables_map& given, const Command& command,
                             const char* name) {
  std::vector<int> values;
  if (given.count(name) == 0) return values;
  const std::string text = given[name].as<std::string>();
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) {
    int value = 0;
    const char* const end = word.data() + word.size();
    if (word.empty() || std::from_chars(word.data(), end, value).ptr != end) {
      fail_usage(command.name, "{} must be steps with commas, such as 4,8, but got {}", name, text);
    }
    values.push_back(value);
  }
  return values;
}

std::vector<wan::LoraFile> lora_of(const po::variables_map& given) {
  std::vector<wan::LoraFile> files;
  if (given.count("lora") == 0) return files;
  for (const std::string& text : given["lora"].as<std::vector<std::string>>())
    files.push_back(wan::parse_lora(text));
  return files;
}

/// A safe name of a folder.
bool is_name(const std::string& id) {
  return !id.empty() && id.size() <= 100 && id[0] != '.' &&
         id.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string::npos;
}

Job job_of_line(const std::string& file, int number, const std::string& line, const Job& usual) {
  Job job = usual;
  job.id = fmt::format("{:03}", number);
  if (line[line.find_first_not_of(" \t")] != '{') {
    job.prompt = line;
    return job;
  }
  const json object = json::parse(line, nullptr, false);
  try {
    if (!object.is_object()) throw std::invalid_argument("not JSON");
    job.prompt = object.at("prompt").get<std::string>();
    job.id = object.value("id", job.id);
    job.seed = object.value("seed", job.seed);
    job.negative = object.value("negative_prompt", job.negative);
  } catch (const std::exception&) {
    fail("json_malformed", "generate",
         "{}, line {}: must be a prompt, or a JSON object with \"prompt\" and, if "
         "wanted, \"id\", \"seed\" and \"negative_prompt\", but is {}",
         file, number, line);
  }
  if (!is_name(job.id)) {
    fail_usage("generate",
               "{}, line {}: id must be letters, digits, dots, dashes and underscores, but got {}",
               file, number, job.id);
  }
  return job;
}

}  // namespace

std::vector<Job> jobs_of(const po::variables_map& given, const Command& command) {
  const Job usual{"", "", text_or(given, "negative", ""),
                  given.count("seed") != 0 ? given["seed"].as<std::uint64_t>() : 0};
  if (given.count("prompts") == 0) {
    Job job = usual;
    job.prompt = required_text(given, command, "prompt", "TEXT, or --prompts FILE");
    return {job};
  }
  if (given.count("prompt") != 0)
    fail_usage(command.name, "either --prompt or --prompts may be given, but not both");
  const std::string file = given["prompts"].as<std::string>();
  std::vector<Job> jobs;
  std::set<std::string> ids;
  std::istringstream stream(read_file(file));
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    jobs.push_back(job_of_line(file, number, line, usual));
    if (!ids.insert(jobs.back().id).second) {
      fail_usage(command.name, "{}, line {}: the id {} is given twice", file, number,
                 jobs.back().id);
    }
  }
  if (jobs.empty()) fail_usage(command.name, "{} must hold at least one prompt", file);
  return jobs;
}

po::variables_map options_of(const po::variables_map& given, const Job& job,
                             const std::string& out) {
  po::variables_map one = given;
  const auto set = [&](const char* name, boost::any value) {
    one.erase(name);
    one.insert({name, po::variable_value(std::move(value), false)});
  };
  one.erase("prompts");
  set("prompt", job.prompt);
  set("out", out);
  set("seed", job.seed);
  if (!job.negative.empty()) set("negative", job.negative);
  return one;
}

void add_model_options(po::options_description& options) {
  const auto file = [&](const char* name, const char* what) {
    options.add_options()(name, po::value<std::string>()->value_name("FILE"), what);
  };
  options.add_options()("model,m", po::value<std::string>()->value_name("FOLDER"),
                        "a Wan checkpoint, diffusers layout");
  file("model-file", "the denoiser as one file, .safetensors or .gguf (high noise, of two)");
  file("model-file-2", "the low-noise denoiser of Wan2.2 as one file");
  file("vae-file", "the autoencoder as one file");
  file("text-encoder-file", "the text encoder as one file");
  file("tokenizer", "a folder, tokenizer.json or spiece.model");
  options.add_options()("scheduler", po::value<std::string>()->value_name("S"),
                        "unipc, dpm++ or euler (the checkpoint's)")(
      "flow-shift", po::value<double>()->value_name("F"), "of the noise levels (the checkpoint's)");
}

wan::ModelOverrides overrides_of(const po::variables_map& given) {
  const auto file = [&](const char* name) { return text_or(given, name, ""); };
  wan::ModelOverrides overrides{.model_file = file("model-file"),
                                .model_file_2 = file("model-file-2"),
                                .vae_file = file("vae-file"),
                                .text_encoder_file = file("text-encoder-file"),
                                .tokenizer = file("tokenizer"),
                                .scheduler = {.solver = file("scheduler")}};
  if (given.count("flow-shift") != 0) overrides.scheduler.shift = given["flow-shift"].as<double>();
  return overrides;
}

std::string model_of(const po::variables_map& given, const Command& command) {
  // Three files make a model; what is missing of them is said where it is read.
  for (const char* name : {"model-file", "vae-file", "text-encoder-file"})
    if (given.count(name) != 0) return text_or(given, "model", "");
  return required_text(given, command, "model", "FOLDER");
}

wan::VideoSize size_of(const po::variables_map& given, const Command& command) {
  wan::VideoSize size;
  const std::string text = given["size"].as<std::string>();
  const std::size_t cross = text.find_first_of("xX*");
  const char* const end = text.data() + text.size();
  if (cross == std::string::npos ||
      std::from_chars(text.data(), text.data() + cross, size.width).ptr != text.data() + cross ||
      std::from_chars(text.data() + cross + 1, end, size.height).ptr != end) {
    fail_usage(command.name, "size must be WIDTHxHEIGHT, such as 832x480, but got {}", text);
  }
  size.frames = number_of(given, command, "frames", 1, 100000);
  return size;
}

std::unique_ptr<Engine> make_engine(const po::variables_map& given, const Command& command) {
  wan::EngineOptions options;
  options.settings.size = size_of(given, command);
  options.settings.steps = number_of(given, command, "steps", 1, 1000);
  options.settings.guidance = given["guidance"].as<double>();
  if (given.count("guidance-2") != 0)
    options.settings.guidance_2 = given["guidance-2"].as<double>();
  options.settings.noise.stochastic = parse_stochastic(given["stochastic"].as<std::string>());
  options.settings.noise.eta = given["eta-noise"].as<double>();
  options.fps = {number_of(given, command, "fps", 1, 240), 1};
  options.threads = given.count("threads") != 0 ? given["threads"].as<int>() : usable_cores();
  options.preview_decoder = text_or(given, "preview-decoder", "");
  const auto pipeline = wan::Pipeline::load({.folder = model_of(given, command),
                                             .dtype = given["model-dtype"].as<std::string>(),
                                             .vae_dtype = given["vae-dtype"].as<std::string>(),
                                             .device = nn::parse_device(device_of(given)),
                                             .lora = lora_of(given),
                                             .overrides = overrides_of(given),
                                             .on_warning = [](const std::string& warning) {
                                               std::fprintf(stderr, "[generate] warning: %s\n",
                                                            printable(warning).c_str());
                                             }});
  return wan::make_engine(pipeline, options);
}

StrategyPtr make_strategy(const po::variables_map& given, const Command& command,
                          std::uint64_t seed, int steps, const RunSettings& settings) {
  const auto n = static_cast<std::size_t>(number_of(given, command, "n", 1, 10000));
  const std::vector<std::uint64_t> seeds = consecutive_seeds(seed, n);
  const Selection selection{settings.combination, settings.weights};
  const std::string name = given["strategy"].as<std::string>();
  const std::vector<int> rungs = integers_of(given, command, "rungs");
  if (name == "best-of-n") {
    return settings.keep.empty() ? best_of_n({seeds, selection}) : cascade({seeds, settings.keep});
  }
  if (name == "rerank") {
    return rerank(
        {seeds, static_cast<std::size_t>(settings.keep.empty() ? kRerankKeep : settings.keep[0])});
  }
  if (!settings.keep.empty()) {
    fail_usage(
        command.name,
        "keep belongs to the strategies best-of-n and rerank, but got it with {}: leave it out",
        name);
  }
  if (name == "race") {
    RaceOptions options;
    options.seeds = seeds;
    options.steps = steps;
    options.checks = rungs;
    options.lag = number_of(given, command, "lag", 0, steps);
    options.selection = selection;
    return race(options);
  }
  if (name == "halving") {
    HalvingOptions options;
    options.seeds = seeds;
    options.steps = steps;
    options.eta = given["eta"].as<double>();
    options.finalists =
        static_cast<std::size_t>(number_of(given, command, "finalists", 1, static_cast<int>(n)));
    options.rungs = rungs;
    options.lag = number_of(given, command, "lag", 0, steps);
    options.selection = selection;
    return halving(options);
  }
  fail_usage(command.name, "strategy must be best-of-n, rerank, race or halving, but got {}", name);
}

}  // namespace bestreel::cli
