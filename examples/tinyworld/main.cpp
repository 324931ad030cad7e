// bestreel-tinyworld: makes clips of the tiny world, judges them, draws contact sheets.
#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/media/video_writer.h"
#include "examples/tinyworld/oracle.h"
#include "examples/tinyworld/oracle_judge.h"
#include "examples/tinyworld/render.h"
#include "examples/tinyworld/sheet.h"

namespace bestreel::tinyworld {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kHelp = R"(bestreel-tinyworld: clips whose truth can be computed

  render --prompt TEXT --out FILE.mp4 [--flaw KIND:SEVERITY]... [--seed S]
  render --prompt TEXT --count N --out FOLDER     N clips, the first flawless, the others with flaws
  render --sample N [--split train|dev|test] --out FOLDER     N clips of drawn prompts, and clips.jsonl
  oracle VIDEO... --prompt TEXT [--json | --scores FILE]      the truth in three dimensions, and why;
                     with --scores (lines of `bestreel score --json`) beside what a judge said
  sheet VIDEO... --out FILE.png [--prompt TEXT] [--scores FILE] [--columns C] [--frames F]
                     a contact sheet; with --prompt the oracle's truth under each clip, with --scores
                     the judge's scores, its choice framed

Prompts: a small red circle moves left [and a large blue square stays still] over a gray background
Flaws: noise blur flicker blocking | colour shape size direction background count |
       teleport deform vanish pulse jerk; severity 0..1

Exit status: 0 done, 1 something failed (the sentence says what), 2 usage.
)";

std::string text_of(const po::variables_map& given, const char* command, const char* name) {
  if (given.count(name) == 0 || given[name].as<std::string>().empty()) {
    fail_usage(command, "{} must not be empty: pass --{}", name, name);
  }
  return given[name].as<std::string>();
}

Flaw parse_flaw(const std::string& text) {
  const std::size_t colon = text.find(':');
  Flaw flaw;
  double severity = 0;
  const char* const end = text.data() + text.size();
  if (colon == std::string::npos ||
      std::from_chars(text.data() + colon + 1, end, severity).ptr != end ||
      !(severity > 0 && severity <= 1)) {
    fail_usage("render",
               "flaw must be KIND:SEVERITY with 0 < SEVERITY <= 1, such as noise:0.5, but got {}",
               text);
  }
  flaw.kind = flaw_from_name(text.substr(0, colon));
  flaw.severity = severity;
  return flaw;
}

void write_clip(const Clip& clip, const std::string& path, const std::string& prompt,
                std::uint64_t seed) {
  VideoWriterOptions options;
  options.fps = {kFps, 1};
  options.crf = 10;  // what is judged is the clip, not the encoder
  options.metadata = {{"prompt", prompt}, {"seed", std::to_string(seed)}};
  VideoWriter writer(path, options);
  const VideoPtr video = to_video(clip);
  std::vector<std::int64_t> all(std::size_t(clip.frames));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  writer.add(video->read_host(all));
  writer.finish();
}

FlawMix every_flaw(double clean) {
  FlawMix mix;
  for (std::size_t i = 0; i < kFlawNames.size(); ++i) mix.kinds.push_back(static_cast<FlawKind>(i));
  mix.clean = clean;
  return mix;
}

int run_render(const po::variables_map& given) {
  const std::string out = text_of(given, "render", "out");
  const auto seed = given["seed"].as<std::uint64_t>();
  const int sample = given["sample"].as<int>();
  const int count = given["count"].as<int>();
  if (sample < 0 || count < 0 || sample > 100000 || count > 100000) {
    fail_usage("render", "count and sample must be between 1 and 100000");
  }
  std::vector<Flaw> flaws;
  if (given.count("flaw") != 0) {
    for (const std::string& text : given["flaw"].as<std::vector<std::string>>())
      flaws.push_back(parse_flaw(text));
  }
  if (sample == 0 && count == 0) {
    const Scene scene = parse_prompt(text_of(given, "render", "prompt"));
    write_clip(render(scene, flaws, seed), out, to_prompt(scene), seed);
    return 0;
  }
  Split split = Split::kTest;
  const std::string name = given["split"].as<std::string>();
  if (name != "train" && name != "dev" && name != "test") {
    fail_usage("render", "split must be train, dev or test, but got {}", name);
  }
  if (name != "test") split = name == "dev" ? Split::kDev : Split::kTrain;
  if (sample == 0) parse_prompt(text_of(given, "render", "prompt"));
  std::error_code error;
  fs::create_directories(out, error);
  if (error) fail("write_failed", "render", "{} could not be made: {}", out, error.message());
  std::string lines;
  for (int i = 0; i < std::max(sample, count); ++i) {
    const std::uint64_t own = seed + static_cast<std::uint64_t>(i);
    Random random(own);
    const Scene scene =
        sample > 0 ? random_scene(random, split) : parse_prompt(text_of(given, "render", "prompt"));
    const bool flawless = sample == 0 && i == 0;
    const std::vector<Flaw> drawn =
        flawless ? flaws : random_flaws(random, every_flaw(sample > 0 ? 0.25 : 0));
    const std::string file = fmt::format("{:05}.mp4", i);
    write_clip(render(scene, drawn, own), (fs::path(out) / file).string(), to_prompt(scene), own);
    ordered_json line{
        {"file", file}, {"prompt", to_prompt(scene)}, {"seed", own}, {"flaws", json::array()}};
    for (const Flaw& flaw : drawn) {
      line["flaws"].push_back(
          {{"kind", kFlawNames[std::size_t(flaw.kind)]}, {"severity", flaw.severity}});
    }
    lines += line.dump() + "\n";
  }
  write_file_atomically((fs::path(out) / "clips.jsonl").string(), lines);
  return 0;
}

std::vector<std::string> videos_of(const po::variables_map& given, const char* command) {
  if (given.count("video") == 0)
    fail_usage(command, "at least one video must be given: pass VIDEO...");
  return given["video"].as<std::vector<std::string>>();
}

std::string scores_line(const char* who, const Judgement& judgement) {
  std::string line = fmt::format("{} {:.2f} :", who, judgement.reward);
  for (const Dimension& dimension : judgement.dimensions)
    line += fmt::format(" {:.1f}", dimension.expected);
  return line;
}

std::string indented(const std::string& text) {
  std::string out = "    ";
  for (const char c : text) out += c == '\n' ? std::string("\n    ") : std::string(1, c);
  return out;
}

/// Lines of `bestreel score --json` by video.
std::map<std::string, Judgement> read_scores(const std::string& path) {
  std::map<std::string, Judgement> scores;
  std::istringstream stream(read_file(path));
  for (std::string line; std::getline(stream, line);) {
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("video")) {
      fail("json_malformed", "sheet",
           "{} must hold the lines of `bestreel score --json`, but has: {}", path, line);
    }
    json rest = object;
    rest.erase("video");
    const Result result = result_from_json(rest.dump());
    if (!failed(result)) scores[object["video"].get<std::string>()] = std::get<Judgement>(result);
  }
  return scores;
}

int run_oracle(const po::variables_map& given) {
  const std::string prompt = text_of(given, "oracle", "prompt");
  parse_prompt(prompt);
  std::map<std::string, Judgement> scores;
  if (given.count("scores") != 0) scores = read_scores(given["scores"].as<std::string>());
  const JudgePtr judge = make_oracle_judge();
  int code = 0;
  for (const std::string& path : videos_of(given, "oracle")) {
    const Result result = result_of([&]() -> Result {
      const Request request{open_video(path), {prompt, ""}};
      return judge->judge({&request, 1}, {}).front();
    });
    if (failed(result)) {
      code = 1;
      std::cerr << std::get<Failure>(result).sentence << "\n";
    }
    if (given.count("json") != 0) {
      std::cout << "{\"video\":" << json(path).dump() << "," << to_json(result).substr(1) << "\n";
    } else if (!failed(result)) {
      const auto& judgement = std::get<Judgement>(result);
      std::cout << fmt::format("{}\n  {}\n{}\n", path, scores_line("truth", judgement),
                               indented(judgement.rationale));
      if (const auto score = scores.find(path); score != scores.end()) {
        std::cout << fmt::format("  {}\n{}\n", scores_line("judge", score->second),
                                 indented(score->second.rationale));
      }
    }
  }
  return code;
}

int run_sheet(const po::variables_map& given) {
  const std::string out = text_of(given, "sheet", "out");
  const std::string prompt = given.count("prompt") != 0 ? given["prompt"].as<std::string>() : "";
  std::map<std::string, Judgement> scores;
  if (given.count("scores") != 0) scores = read_scores(given["scores"].as<std::string>());
  const JudgePtr oracle = make_oracle_judge();
  std::vector<SheetEntry> entries;
  int best = -1;
  double best_reward = -1;
  for (const std::string& path : videos_of(given, "sheet")) {
    const VideoPtr video = open_video(path);
    SheetEntry entry{from_video(*video), {}, false};
    entry.lines.push_back(fs::path(path).filename().string());
    if (!prompt.empty()) {
      const Request request{video, {prompt, ""}};
      const Result truth = oracle->judge({&request, 1}, {}).front();
      if (failed(truth))
        fail(std::get<Failure>(truth).code, "sheet", "{}", std::get<Failure>(truth).sentence);
      entry.lines.push_back(scores_line("truth", std::get<Judgement>(truth)));
    }
    if (const auto score = scores.find(path); score != scores.end()) {
      entry.lines.push_back(scores_line("judge", score->second));
      if (score->second.reward > best_reward) {
        best_reward = score->second.reward;
        best = static_cast<int>(entries.size());
      }
    }
    entries.push_back(std::move(entry));
  }
  if (best >= 0) entries[std::size_t(best)].framed = true;
  write_sheet(out, prompt, entries, given["columns"].as<int>(),
              std::clamp(given["frames"].as<int>(), 1, 17),
              std::clamp(given["scale"].as<int>(), 1, 8));
  return 0;
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "--help";
  if (command == "--help" || command == "-h" || command == "help") {
    (argc > 1 ? std::cout : std::cerr) << kHelp;
    return argc > 1 ? 0 : 2;
  }
  po::options_description options;
  options.add_options()("help,h", "")("prompt,p", po::value<std::string>())(
      "out,o", po::value<std::string>())("seed", po::value<std::uint64_t>()->default_value(0))(
      "flaw", po::value<std::vector<std::string>>()->composing())(
      "count", po::value<int>()->default_value(0))("sample", po::value<int>()->default_value(0))(
      "split", po::value<std::string>()->default_value("test"))("json", "")(
      "scores", po::value<std::string>())("columns", po::value<int>()->default_value(2))(
      "frames", po::value<int>()->default_value(6))("scale", po::value<int>()->default_value(1))(
      "video", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("video", -1);
  po::variables_map given;
  try {
    po::store(
        po::command_line_parser(argc - 1, argv + 1).options(options).positional(positional).run(),
        given);
  } catch (const po::error& error) {
    fail_usage(command, "{}: see bestreel-tinyworld --help", error.what());
  }
  if (given.count("help") != 0) {
    std::cout << kHelp;
    return 0;
  }
  if (command == "render") return run_render(given);
  if (command == "oracle") return run_oracle(given);
  if (command == "sheet") return run_sheet(given);
  fail_usage("tinyworld", "command must be render, oracle or sheet, but got {}", command);
}

}  // namespace
}  // namespace bestreel::tinyworld

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return bestreel::tinyworld::run(argc, argv);
  } catch (const bestreel::UsageError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
