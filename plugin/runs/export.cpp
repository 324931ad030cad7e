#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/fail.h"
#include "plugin/runs/run_view.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

std::vector<const Candidate*> by_id(const RunView& view) {
  std::vector<const Candidate*> sorted;
  for (const Candidate& candidate : view.candidates) sorted.push_back(&candidate);
  std::sort(sorted.begin(), sorted.end(),
            [](const Candidate* a, const Candidate* b) { return a->id < b->id; });
  return sorted;
}

/// The id of the judge whose reward it is, in a cascade.
std::string judged_by(const RunView& view, const Candidate& candidate) {
  return candidate.decided_by ? view.settings.judge_ids.at(*candidate.decided_by) : "";
}

std::string jsonl(const RunView& view) {
  std::string out;
  for (const Candidate* candidate : by_id(view)) {
    Json json{{"video", candidate->id}, {"sha256", candidate->sha256}};
    if (view.settings.lossless) {
      json["lossless"] = fs::path(candidate->lossless).filename().string();
      json["lossless_sha256"] = candidate->lossless_sha256;
    }
    json.update({{"rank", candidate->rank == 0 ? Json() : Json(candidate->rank)},
                 {"reward", candidate->reward ? Json(*candidate->reward) : Json()},
                 {"winner", candidate->id == view.winner}});
    if (!view.settings.keep.empty()) {
      json["judged_by"] = judged_by(view, *candidate);
      json["dropped"] = candidate->dropped;
    }
    json["results"] = Json::array();
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

/// A text, RFC 4180: quoted where needed, quotes doubled. Spreadsheets run what begins like a
/// formula, and names come from elsewhere: an apostrophe before it makes it a text to them. Numbers
/// do not go through here.
std::string field(const std::string& bytes) {
  const std::string json = Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace);
  auto text = Json::parse(json).get<std::string>();
  if (!text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos)
    text.insert(0, 1, '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') out += c;
  }
  return out + "\"";
}

std::string number(double value) { return Json(value).dump(); }

const Judgement* judgement_of(const Candidate& candidate, std::size_t judge) {
  const auto& result = candidate.results[judge];
  return result ? std::get_if<Judgement>(&*result) : nullptr;
}

/// A dimension as a group of columns.
struct Column {
  std::string name;
  bool has_soft = false;  ///< some candidate has a reference_soft
};

/// The dimensions that a judge gave to anyone.
std::vector<Column> columns_of(const std::vector<const Candidate*>& candidates, std::size_t judge) {
  std::vector<Column> columns;
  for (const Candidate* candidate : candidates) {
    const Judgement* judgement = judgement_of(*candidate, judge);
    if (judgement == nullptr) continue;
    for (const Dimension& dimension : judgement->dimensions) {
      auto column = std::find_if(columns.begin(), columns.end(),
                                 [&](const Column& each) { return each.name == dimension.name; });
      if (column == columns.end()) column = columns.insert(column, {dimension.name});
      column->has_soft = column->has_soft || dimension.reference_soft.has_value();
    }
  }
  return columns;
}

std::string header_of(const std::vector<Column>& columns, const std::string& prefix) {
  std::string header;
  const auto add = [&](const std::string& name, const char* what) {
    header += ',';
    header += field(fmt::format("{}{}.{}", prefix, name, what));
  };
  for (const Column& column : columns) {
    add(column.name, "score");
    add(column.name, "expected");
    if (column.has_soft) add(column.name, "reference_soft");
  }
  return header +
         fmt::format(",{0}reward,{0}failure_code,{0}failure", prefix.empty() ? "judge." : prefix);
}

/// What one judge says of one candidate.
std::string cells_of(const Candidate& candidate, std::size_t judge,
                     const std::vector<Column>& columns) {
  std::string cells;
  const auto add = [&](const std::string& number) { cells += "," + number; };
  const Judgement* judgement = judgement_of(candidate, judge);
  for (const Column& column : columns) {
    const Dimension* dimension = nullptr;
    if (judgement != nullptr) {
      for (const Dimension& each : judgement->dimensions) {
        if (each.name == column.name) dimension = &each;
      }
    }
    add(dimension ? std::to_string(dimension->score) : "");
    add(dimension ? number(dimension->expected) : "");
    if (!column.has_soft) continue;
    add(dimension && dimension->reference_soft ? number(*dimension->reference_soft) : "");
  }
  add(judgement ? number(judgement->reward) : "");
  const auto& result = candidate.results[judge];
  const Failure* failure = result ? std::get_if<Failure>(&*result) : nullptr;
  add(field(failure ? failure->code : ""));
  add(field(failure ? failure->sentence : ""));
  return cells;
}

std::string csv(const RunView& view) {
  const std::vector<const Candidate*> candidates = by_id(view);
  const std::size_t judges = view.settings.judges.size();
  const bool lossless = view.settings.lossless;
  std::string out =
      fmt::format("video,sha256,{}rank,reward,winner", lossless ? "lossless,lossless_sha256," : "");
  if (!view.settings.keep.empty()) out += ",judged_by,dropped";
  std::vector<std::vector<Column>> columns;
  for (std::size_t j = 0; j < judges; ++j) {
    columns.push_back(columns_of(candidates, j));
    out += header_of(columns[j], judges > 1 ? fmt::format("judge{}.", j + 1) : "");
  }
  out += "\r\n";
  for (const Candidate* candidate : candidates) {
    out += fmt::format("{},{},", field(candidate->id), field(candidate->sha256));
    if (lossless) {
      out += fmt::format("{},{},", field(fs::path(candidate->lossless).filename().string()),
                         candidate->lossless_sha256);
    }
    out += fmt::format("{},{},{}", candidate->rank == 0 ? "" : std::to_string(candidate->rank),
                       candidate->reward ? number(*candidate->reward) : "",
                       candidate->id == view.winner ? 1 : 0);
    if (!view.settings.keep.empty()) {
      out += "," + field(judged_by(view, *candidate)) + "," + field(candidate->dropped);
    }
    for (std::size_t j = 0; j < judges; ++j) out += cells_of(*candidate, j, columns[j]);
    out += "\r\n";
  }
  return out;
}

}  // namespace

std::string export_run(const RunView& view, ExportFormat format) {
  return format == ExportFormat::kCsv ? csv(view) : jsonl(view);
}

}  // namespace bestreel
