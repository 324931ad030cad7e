#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "plugin/runs/run_view.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

std::vector<const Candidate*> by_id(const RunView& view) {
  std::vector<const Candidate*> sorted;
  for (const Candidate& candidate : view.candidates) sorted.push_back(&candidate);
  std::sort(sorted.begin(), sorted.end(),
            [](const Candidate* a, const Candidate* b) { return a->id < b->id; });
  return sorted;
}

std::string jsonl(const RunView& view) {
  std::string out;
  for (const Candidate* candidate : by_id(view)) {
    Json json{{"video", candidate->id},
              {"sha256", candidate->sha256},
              {"rank", candidate->rank == 0 ? Json() : Json(candidate->rank)},
              {"reward", candidate->reward ? Json(*candidate->reward) : Json()},
              {"winner", candidate->id == view.winner},
              {"results", Json::array()}};
    for (std::size_t j = 0; j < candidate->results.size(); ++j) {
      Json result = candidate->results[j]
                        ? Json::parse(to_json(*candidate->results[j], /*with_seconds=*/false))
                        : Json::object();
      // An entry of its own for each judge, also where it failed or has not judged yet.
      result["judge"] = view.settings.judge_ids.at(j);
      json["results"].push_back(std::move(result));
    }
    out += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return out;
}

/// RFC 4180: quoted where needed, quotes doubled.
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') out += c;
  }
  return out + "\"";
}

std::string number(double value) { return Json(value).dump(); }

/// The dimensions that judge `j` gave to anyone.
std::vector<std::string> dimensions_of(const RunView& view, std::size_t j) {
  for (const Candidate* candidate : by_id(view)) {
    const auto& result = candidate->results[j];
    if (!result || failed(*result)) continue;
    std::vector<std::string> names;
    for (const Dimension& dimension : std::get<Judgement>(*result).dimensions) {
      names.push_back(dimension.name);
    }
    return names;
  }
  return {};
}

std::string csv(const RunView& view) {
  std::string header = "video,sha256,rank,reward,winner";
  const std::size_t judges = view.settings.judges.size();
  std::vector<std::vector<std::string>> names;
  for (std::size_t j = 0; j < judges; ++j) {
    names.push_back(dimensions_of(view, j));
    const std::string prefix = judges > 1 ? fmt::format("judge{}.", j + 1) : "";
    for (const std::string& name : names[j]) {
      header += fmt::format(",{0}{1}.score,{0}{1}.expected", prefix, name);
    }
    header += fmt::format(",{0}reward,{0}failure", judges > 1 ? prefix : "judge.");
  }
  std::string out = header + "\r\n";
  for (const Candidate* candidate : by_id(view)) {
    std::string row = fmt::format(
        "{},{},{},{},{}", field(candidate->id), candidate->sha256,
        candidate->rank == 0 ? "" : std::to_string(candidate->rank),
        candidate->reward ? number(*candidate->reward) : "", candidate->id == view.winner ? 1 : 0);
    for (std::size_t j = 0; j < judges; ++j) {
      const auto& result = candidate->results[j];
      const Judgement* judgement = result ? std::get_if<Judgement>(&*result) : nullptr;
      for (std::size_t d = 0; d < names[j].size(); ++d) {
        row += judgement == nullptr
                   ? ",,"
                   : fmt::format(",{},{}", judgement->dimensions.at(d).score,
                                 number(judgement->dimensions.at(d).expected));
      }
      row += judgement == nullptr ? "," : "," + number(judgement->reward);
      row += ",";
      if (result && failed(*result)) row += field(std::get<Failure>(*result).sentence);
    }
    out += row + "\r\n";
  }
  return out;
}

}  // namespace

std::string export_run(const RunView& view, ExportFormat format) {
  return format == ExportFormat::kCsv ? csv(view) : jsonl(view);
}

}  // namespace bestreel
