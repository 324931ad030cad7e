#include "plugin/runs/stored_paths.h"

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

namespace bestreel::runs {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, const char*>, 2> kPaths{
    {{"path", "path_absolute"}, {"lossless", "lossless_absolute"}}};

fs::path absolute(const std::string& path) { return fs::absolute(path).lexically_normal(); }

bool is_below(const fs::path& relative) {
  return !relative.empty() && *relative.begin() != ".." && !relative.is_absolute();
}

}  // namespace

std::string with_stored_paths(const std::string& body, const std::string& directory) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return body;
  bool changed = false;
  for (const auto& [name, name_absolute] : kPaths) {
    if (!json.contains(name) || !json[name].is_string()) continue;
    const fs::path path = json[name].get<std::string>();
    if (!path.is_absolute()) continue;
    const fs::path relative = path.lexically_relative(absolute(directory) / "");
    if (relative.empty()) continue;
    if (!is_below(relative)) json[name_absolute] = path.string();
    json[name] = relative.string();
    changed = true;
  }
  return changed ? json.dump() : body;
}

std::string with_real_paths(const std::string& body, const std::string& directory) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return body;
  bool changed = false;
  for (const auto& [name, name_absolute] : kPaths) {
    if (!json.contains(name) || !json[name].is_string()) continue;
    const fs::path stored = json[name].get<std::string>();
    const bool outside = json.contains(name_absolute) && json[name_absolute].is_string();
    if (stored.empty() || (stored.is_absolute() && !outside)) continue;
    fs::path path = (absolute(directory) / stored).lexically_normal();
    if (outside) {
      std::error_code error;
      const fs::path then = json[name_absolute].get<std::string>();
      if (!fs::exists(path, error) && fs::exists(then, error)) path = then;
      json.erase(name_absolute);
    }
    json[name] = path.string();
    changed = true;
  }
  return changed ? json.dump() : body;
}

}  // namespace bestreel::runs
