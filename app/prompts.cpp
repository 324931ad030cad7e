#include "app/prompts.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <sstream>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/runs/run_view.h"

namespace bestreel::app {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

void append_utf8(std::string& out, char32_t c) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

[[noreturn]] void fail_text(const std::string& file) {
  fail("text_malformed", "generate",
       "{} must be UTF-8 text, or UTF-16 with its mark: save it as UTF-8", file);
}

std::string from_utf16(const std::string& file, const std::string& bytes, bool little) {
  std::string out;
  char32_t high = 0;
  if (bytes.size() % 2 != 0) fail_text(file);
  for (std::size_t i = 2; i < bytes.size(); i += 2) {
    const auto a = static_cast<unsigned char>(bytes[i]);
    const auto b = static_cast<unsigned char>(bytes[i + 1]);
    const char32_t unit = little ? a | b << 8 : a << 8 | b;
    const bool is_low = unit >= 0xDC00 && unit < 0xE000;
    if (is_low != (high != 0)) fail_text(file);
    if (unit >= 0xD800 && unit < 0xDC00) {
      high = unit;
      continue;
    }
    append_utf8(out, is_low ? 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00) : unit);
    high = 0;
  }
  if (high != 0) fail_text(file);
  return out;
}

/// Editors of Windows write a mark first, and PowerShell writes UTF-16.
std::string utf8_of(const std::string& file, const std::string& bytes) {
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF"))
    return from_utf16(file, bytes, bytes[0] == '\xFF');
  const std::string text = bytes.starts_with("\xEF\xBB\xBF") ? bytes.substr(3) : bytes;
  try {
    [[maybe_unused]] const std::string checked = json(text).dump();
  } catch (const json::exception&) {
    fail_text(file);
  }
  return text;
}

/// A safe name of a folder.
bool is_name(const std::string& id) {
  return !id.empty() && id.size() <= 100 && id[0] != '.' &&
         id.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string::npos;
}

Job job_of_line(const RunConfig& usual, const std::string& file, int number,
                const std::string& line) {
  Job job{.id = fmt::format("{:03}", number), .directory = {}, .config = usual};
  const std::string where = fmt::format("{}, line {}", file, number);
  OptionValues& values = job.config.values;
  if (line[line.find_first_not_of(" \t")] != '{') {
    values.set("prompt", line);
    return job;
  }
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("prompt") || !object["prompt"].is_string()) {
    fail("json_malformed", "generate",
         "{}: must be a prompt, or a JSON object with \"prompt\" and, if wanted, \"id\", \"seed\" "
         "and "
         "\"negative_prompt\", but is {}",
         where, line);
  }
  static const std::vector<std::string> keys{"prompt", "id", "seed", "negative_prompt"};
  for (const auto& [key, value] : object.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      fail_usage("generate", "{}: a prompt's keys must be {}, but got {}{}", where, one_of(keys),
                 key, did_you_mean(key, keys));
    }
    if (key == "seed") {
      const std::string text = value.dump();
      values.set("seed", parse_option(where, *usual.command->find("seed"), std::span(&text, 1)));
    } else if (!value.is_string()) {
      fail_usage("generate", "{}: {} must be a text, but got {}", where, key, value.dump());
    }
  }
  values.set("prompt", object["prompt"].get<std::string>());
  job.id = object.value("id", job.id);
  if (object.contains("negative_prompt"))
    values.set("negative-prompt", object["negative_prompt"].get<std::string>());
  if (!is_name(job.id)) {
    fail_usage("generate",
               "{}: id must be letters, digits, dots, dashes and underscores, but got {}", where,
               job.id);
  }
  return job;
}

bool to_be_drawn(const Job& job) {
  return std::holds_alternative<std::int64_t>(job.config.values.at("seed"));
}

/// The seed of the run that is already there: the same command goes on with it.
std::optional<std::uint64_t> recorded_seed(const Job& job) {
  if (!RunStore::exists(job.directory)) return std::nullopt;
  const RunSettings settings = project(RunStore::open_read_only(job.directory).events()).settings;
  if (settings.command != "generate") return std::nullopt;
  const RunConfig then =
      stored_config(job.directory, settings.command, settings.recipe, settings.place);
  const auto* seed = std::get_if<std::uint64_t>(&then.values.at("seed"));
  return seed == nullptr ? std::nullopt : std::optional(*seed);
}

/// One seed for all jobs that leave it open.
void draw_seeds(std::vector<Job>& jobs) {
  std::optional<std::uint64_t> seed;
  for (Job& job : jobs) {
    if (to_be_drawn(job) && !seed) seed = recorded_seed(job);
  }
  if (std::none_of(jobs.begin(), jobs.end(), to_be_drawn)) return;
  if (!seed) {
    // As many digits as other programs' seeds have.
    seed = std::random_device()();
    std::cerr << fmt::format(
        "[generate] note: the seed {} was drawn; the run's recipe records it\n", *seed);
  }
  for (Job& job : jobs) {
    if (to_be_drawn(job)) job.config.values.set("seed", *seed);
  }
}

}  // namespace

std::vector<Job> jobs_of(const RunConfig& config) {
  const std::string out = required_text(config, "out", "DIR");
  std::vector<Job> jobs;
  if (!config.values.has("prompts")) {
    required_text(config, "prompt", "TEXT, or --prompts FILE");
    jobs.push_back({.id = "", .directory = out, .config = config});
    draw_seeds(jobs);
    return jobs;
  }
  if (config.values.has("prompt"))
    fail_usage(config.op, "either --prompt or --prompts may be given, but not both");
  const std::string file = config.values.text("prompts");
  RunConfig usual = config;
  usual.values.erase("prompts");
  std::set<std::string> ids;
  std::istringstream stream(utf8_of(file, read_file(file)));
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    Job job = job_of_line(usual, file, number, line);
    job.directory = (fs::path(out) / job.id).string();
    job.config.values.set("out", job.directory);
    if (!ids.insert(job.id).second)
      fail_usage(config.op, "{}, line {}: the id {} is given twice", file, number, job.id);
    jobs.push_back(std::move(job));
  }
  if (jobs.empty()) fail_usage(config.op, "{} must hold at least one prompt", file);
  draw_seeds(jobs);
  return jobs;
}

}  // namespace bestreel::app
