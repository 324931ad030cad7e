#include "plugin/runs/canonical.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/base/fail.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

void strip(Json& json) {
  if (json.is_object()) {
    json.erase("seconds");
    json.erase("peak_bytes");
    if (json.contains("path") && json["path"].is_string()) {
      json["path"] = std::filesystem::path(json["path"].get<std::string>()).filename().string();
    }
  }
  if (json.is_structured()) {
    for (Json& child : json) strip(child);
  }
}

}  // namespace

std::string canonical_body(const std::string& body) {
  Json json = Json::parse(body);
  strip(json);
  return json.dump();
}

std::string canonical_table(const std::vector<Event>& events) {
  using Row = std::tuple<std::int64_t, std::int64_t, std::string, std::string, std::string>;
  std::vector<Row> rows;
  for (const Event& event : events) {
    if (event.kind == "waited" || event.kind == "redone" || event.kind == "best_written") continue;
    rows.emplace_back(event.wave, event.step, event.candidate, event.kind,
                      canonical_body(event.body));
  }
  std::sort(rows.begin(), rows.end());
  std::string table;
  for (const auto& [wave, step, candidate, kind, body] : rows) {
    table += fmt::format("{} {} {} {} {}\n", wave, step, candidate, kind, body);
  }
  return table;
}

}  // namespace bestreel
