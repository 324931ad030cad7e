#include "app/run_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/machine.h"
#include "core/base/fail.h"

namespace bestreel::app {
namespace {

using Json = nlohmann::ordered_json;

std::string key_of(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Fallbacks, and what belongs to the chosen strategy alone.
void complete(RunConfig& config, const std::string& op) {
  OptionValues& values = config.values;
  for (const OptionSpec& spec : config.command->options) {
    if (!values.has(spec.name) && !spec.fallback.empty())
      values.set(spec.name, parse_option(op, spec, std::span(&spec.fallback, 1)), /*given=*/false);
  }
  if (config.command->find("threads") != nullptr && config.command->name != "resume" &&
      !values.has("threads")) {
    values.set("threads", std::int64_t{usable_cores()}, false);
  }
  if (config.command->find("strategy") == nullptr) return;
  const std::string strategy = values.text("strategy");
  for (const OptionSpec& spec : config.command->options) {
    const std::vector<std::string> owners = strategies_with(spec.name);
    if (owners.empty() || std::find(owners.begin(), owners.end(), strategy) != owners.end())
      continue;
    if (values.given(spec.name)) {
      fail_usage(op, "{} belongs to the strateg{} {}, but got it with {}: leave it out", spec.name,
                 owners.size() > 1 ? "ies" : "y", fmt::join(owners, " and "), strategy);
    }
    values.erase(spec.name);
  }
}

/// A text may hold any bytes and JSON holds UTF-8: other bytes are {"hex": "..."}.
Json bytes_json(const std::string& bytes) {
  try {
    [[maybe_unused]] const std::string checked = Json(bytes).dump();
    return bytes;
  } catch (const Json::exception&) {
    std::string hex;
    for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return {{"hex", hex}};
  }
}

/// nullopt: no text.
std::optional<std::string> bytes_from(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_object() || json.size() != 1 || !json.contains("hex") || !json["hex"].is_string())
    return std::nullopt;
  const auto hex = json["hex"].get<std::string>();
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned value = 0;
    const char* const end = hex.data() + i + 2;
    if (std::from_chars(hex.data() + i, end, value, 16).ptr != end) return std::nullopt;
    bytes += static_cast<char>(value);
  }
  return hex.size() % 2 == 0 ? std::optional(bytes) : std::nullopt;
}

/// The words that a user would have written for a JSON value.
std::vector<std::string> words_of(const std::string& op, const OptionSpec& spec, const Json& json) {
  using enum OptionKind;
  const auto refuse = [&](const char* must) {
    fail_usage(op, "{} must be {}, but got {}", key_of(spec.name), must,
               json.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  const auto number = [](const Json& value) { return value.dump(); };
  switch (spec.kind) {
    case kFlag:
      if (!json.is_boolean()) refuse("true or false");
      return {};
    case kInteger:
    case kSeed:
    case kReal:
    case kMemory:
      if (json.is_number()) return {number(json)};
      if (json.is_string() && (spec.kind == kMemory || json.get<std::string>() == spec.zero))
        return {json.get<std::string>()};
      refuse("a number");
      break;
    case kIntegers:
    case kSeeds:
    case kReals: {
      std::vector<std::string> parts;
      if (!json.is_array()) refuse("a list of numbers");
      for (const Json& each : json) {
        if (!each.is_number()) refuse("a list of numbers");
        parts.push_back(number(each));
      }
      return {fmt::format("{}", fmt::join(parts, ","))};
    }
    case kTexts:
    case kPaths: {
      if (const auto text = bytes_from(json)) return {*text};
      std::vector<std::string> words;
      if (!json.is_array()) refuse("a list of texts");
      for (const Json& each : json) {
        const auto text = bytes_from(each);
        if (!text) refuse("a list of texts");
        words.push_back(*text);
      }
      return words;
    }
    default:
      if (const auto text = bytes_from(json)) return {*text};
      refuse("a text");
  }
  return {};
}

void read_json(RunConfig& config, const std::string& op, const std::string& text, bool recipe) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    fail_usage(op, "{} must be a JSON object, but got {}", recipe ? "recipe" : "place", text);
  for (const auto& [key, value] : json.items()) {
    if (recipe && key == "command") continue;
    const OptionSpec* spec = config.command->find(key);
    if (spec == nullptr) refuse_option(op, *config.command, key);
    if (spec->scope == OptionScope::kCall)
      fail_usage(op, "{} must be said by each call itself, but stands in a config", key);
    if ((spec->scope == OptionScope::kRecipe) != recipe) {
      fail_usage(op, "{} belongs to the {}, but stands in the {}", key, recipe ? "place" : "recipe",
                 recipe ? "recipe" : "place");
    }
    // An empty list is what nobody gave.
    if (value.is_null() || (value.is_array() && value.empty())) continue;
    const std::vector<std::string> words = words_of(op, *spec, value);
    if (spec->kind == OptionKind::kFlag && !value.get<bool>()) continue;
    config.values.set(spec->name, parse_option(op, *spec, words));
  }
}

/// A path as it means the same from any folder; a judge's own name stays what it is.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

std::string anywhere(const OptionSpec& spec, const std::string& word) {
  const bool path = spec.kind == OptionKind::kPath || spec.kind == OptionKind::kPaths;
  const bool name = std::find(spec.choices.begin(), spec.choices.end(), word) != spec.choices.end();
  if (!path || name || word.empty() || word == "-") return word;
  for (const std::string& prefix : spec.prefixes) {
    if (word.starts_with(prefix)) return prefix + absolute(word.substr(prefix.size()));
  }
  return absolute(word);
}

Json json_of(const OptionSpec& spec, const OptionValue& value) {
  return std::visit(
      [&](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return bytes_json(anywhere(spec, v));
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          Json list = Json::array();
          for (const std::string& each : v) list.push_back(bytes_json(anywhere(spec, each)));
          return list;
        } else {
          if (spec.kind == OptionKind::kSize) return option_words(spec, value).front();
          return v;
        }
      },
      value);
}

Json scope_json(const RunConfig& config, OptionScope scope) {
  Json json = Json::object();
  for (const OptionSpec& spec : config.command->options) {
    if (spec.scope == scope && config.values.has(spec.name))
      json[key_of(spec.name)] = json_of(spec, config.values.at(spec.name));
  }
  return json;
}

}  // namespace

RunConfig config_from_words(const CommandSpec& command, const GivenWords& given) {
  RunConfig config{.command = &command, .op = command.name};
  for (const auto& [name, words] : given) {
    const OptionSpec* spec = command.find(name);
    if (spec == nullptr) refuse_option(command.name, command, name);
    config.values.set(spec->name, parse_option(command.name, *spec, words));
  }
  complete(config, command.name);
  return config;
}

RunConfig config_from_json(const CommandSpec& command, const std::string& op,
                           const std::string& recipe, const std::string& place) {
  RunConfig config{.command = &command, .op = op};
  read_json(config, op, recipe, true);
  read_json(config, op, place, false);
  complete(config, op);
  return config;
}

std::string recipe_json(const RunConfig& config) {
  Json json{{"command", config.command->name}};
  json.update(scope_json(config, OptionScope::kRecipe));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string place_json(const RunConfig& config) {
  return scope_json(config, OptionScope::kPlace)
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

RunConfig stored_config(const std::string& directory, const std::string& command,
                        const std::string& recipe, const std::string& place,
                        const OptionValues& now) {
  const CommandSpec* spec = find_command(command);
  if (spec == nullptr || recipe.empty()) {
    fail("run_foreign", "resume",
         "{} holds a run of {}: repeat what made it, on the same directory", directory, command);
  }
  RunConfig config{.command = spec, .op = command};
  try {
    read_json(config, "recipe", recipe, true);
    read_json(config, "place", place.empty() ? "{}" : place, false);
    complete(config, "recipe");
  } catch (const UsageError& error) {
    fail("run_foreign", "resume",
         "{} holds a run that this version cannot read ({}): use the version that made it",
         directory, error.what());
  }
  for (const OptionSpec& each : spec->options) {
    // What is as without the option was not given, as far as anybody can tell.
    if (!each.fallback.empty() && config.values.has(each.name)) {
      const OptionValue usual = parse_option(command, each, std::span(&each.fallback, 1));
      if (config.values.at(each.name) == usual) config.values.set(each.name, usual, false);
    }
    if (now.given(each.name)) config.values.set(each.name, now.at(each.name));
  }
  return config;
}

std::vector<std::string> command_line(const RunConfig& config) {
  std::vector<std::string> line{"bestreel", config.command->name};
  const auto words = [&](const OptionSpec& spec) {
    std::vector<std::string> list = option_words(spec, config.values.at(spec.name));
    for (std::string& word : list) word = anywhere(spec, word);
    return list;
  };
  for (const OptionSpec& spec : config.command->options) {
    if (!config.values.has(spec.name) ||
        (!config.values.given(spec.name) && spec.name != "threads")) {
      continue;
    }
    const std::vector<std::string> list = words(spec);
    if (spec.name == config.command->positional) {
      line.insert(line.begin() + 2, list.begin(), list.end());
    } else if (list.empty()) {
      if (config.values.flag(spec.name)) line.push_back("--" + spec.name);
    } else {
      for (const std::string& word : list) line.insert(line.end(), {"--" + spec.name, word});
    }
  }
  return line;
}

std::string required_text(const RunConfig& config, const std::string& option,
                          const std::string& metavar) {
  const std::string text = config.values.text(option);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    const OptionSpec* spec = config.command->find(option);
    fail_usage(config.op, "{} must not be empty: pass --{} {}", option, option,
               metavar.empty() && spec != nullptr ? spec->metavar : metavar);
  }
  return text;
}

}  // namespace bestreel::app
