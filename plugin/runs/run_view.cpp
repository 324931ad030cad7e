#include "plugin/runs/run_view.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

/// A path may hold any bytes and JSON holds UTF-8: other bytes are stored as hexadecimal.
Json bytes_json(const std::string& bytes) {
  try {
    Json(bytes).dump();
    return bytes;
  } catch (const nlohmann::json::exception&) {
    std::string hex;
    for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return {{"hex", hex}};
  }
}

std::string bytes_from(const Json& json) {
  if (json.is_string()) return json;
  const std::string hex = json.at("hex");
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

Json list_json(const std::vector<std::string>& items) {
  Json list = Json::array();
  for (const std::string& item : items) list.push_back(bytes_json(item));
  return list;
}

std::vector<std::string> list_from(const Json& json) {
  std::vector<std::string> items;
  for (const Json& item : json) items.push_back(bytes_from(item));
  return items;
}

Json settings_json(const RunSettings& settings) {
  return {{"command", settings.command},
          {"argv", list_json(settings.argv)},
          {"prompt", bytes_json(settings.prompt)},
          {"judges", list_json(settings.judges)},
          {"judge_ids", list_json(settings.judge_ids)},
          {"combination", settings.combination == Combination::kRankMean ? "rank-mean" : "weights"},
          {"weights", settings.weights},
          {"top", settings.top},
          {"threads", settings.threads},
          {"versions", settings.versions}};
}

RunSettings settings_from(const Json& json) {
  RunSettings settings;
  settings.command = json.at("command");
  settings.argv = list_from(json.at("argv"));
  settings.prompt = bytes_from(json.at("prompt"));
  settings.judges = list_from(json.at("judges"));
  settings.judge_ids = list_from(json.at("judge_ids"));
  settings.combination =
      json.at("combination") == "rank-mean" ? Combination::kRankMean : Combination::kWeights;
  json.at("weights").get_to(settings.weights);
  settings.top = json.at("top");
  settings.threads = json.at("threads");
  settings.versions = json.at("versions");
  return settings;
}

Json candidate_json(const Candidate& candidate) {
  const VideoInfo& video = candidate.video;
  return {{"id", bytes_json(candidate.id)},
          {"path", bytes_json(candidate.path)},
          {"sha256", candidate.sha256},
          {"frame_count", video.frame_count},
          {"width", video.width},
          {"height", video.height},
          {"fps", {video.fps.num, video.fps.den}},
          {"duration", video.duration},
          {"container", video.container},
          {"codec", video.codec},
          {"pixel_format", video.pixel_format},
          {"rotation", video.rotation},
          {"has_audio", video.has_audio},
          {"has_alpha", video.has_alpha},
          {"variable_frame_rate", video.variable_frame_rate}};
}

Candidate candidate_from(const Json& json) {
  Candidate candidate;
  candidate.id = bytes_from(json.at("id"));
  candidate.path = bytes_from(json.at("path"));
  candidate.sha256 = json.at("sha256");
  VideoInfo& video = candidate.video;
  video.frame_count = json.at("frame_count");
  video.width = json.at("width");
  video.height = json.at("height");
  video.fps = {json.at("fps").at(0), json.at("fps").at(1)};
  video.duration = json.at("duration");
  video.container = json.at("container");
  video.codec = json.at("codec");
  video.pixel_format = json.at("pixel_format");
  video.rotation = json.at("rotation");
  video.has_audio = json.at("has_audio");
  video.has_alpha = json.at("has_alpha");
  video.variable_frame_rate = json.at("variable_frame_rate");
  return candidate;
}

/// Combines the judges, sorts best first, gives ranks and the winner.
void rank(RunView& view) {
  std::vector<std::vector<std::optional<double>>> rewards(view.settings.judges.size());
  for (std::size_t j = 0; j < rewards.size(); ++j) {
    for (const Candidate& candidate : view.candidates) {
      const auto& result = candidate.results[j];
      const Judgement* judgement = result ? std::get_if<Judgement>(&*result) : nullptr;
      rewards[j].push_back(judgement ? std::optional(judgement->reward) : std::nullopt);
    }
  }
  const auto combined = combine(view.settings.combination, rewards, view.settings.weights);
  for (std::size_t c = 0; c < combined.size(); ++c) view.candidates[c].reward = combined[c];
  std::sort(view.candidates.begin(), view.candidates.end(), [](const Candidate& a, const Candidate& b) {
    if (a.reward.has_value() != b.reward.has_value()) return a.reward.has_value();
    if (a.reward && *a.reward != *b.reward) return *a.reward > *b.reward;
    return a.id < b.id;
  });
  int next = 1;
  for (Candidate& candidate : view.candidates) candidate.rank = candidate.reward ? next++ : 0;
  view.winner = !view.candidates.empty() && view.candidates.front().rank == 1
                    ? view.candidates.front().id
                    : "";
}

}  // namespace

RunView project(const std::vector<Event>& events) {
  RunView view;
  std::map<std::string, Candidate> candidates;
  try {
    for (const Event& event : events) {
      const Json body = Json::parse(event.body);
      if (event.kind == "run") {
        view.settings = settings_from(body);
      } else if (event.kind == "candidate") {
        Candidate candidate = candidate_from(body);
        candidate.results.resize(view.settings.judges.size());
        candidates[candidate.id] = std::move(candidate);  // written again: judged again
      } else if (event.kind == "judged") {
        candidates.at(event.candidate).results.at(body.at("judge")) =
            result_from_json(body.at("result").dump());
      }
      view.finished = event.kind == "finished";
    }
  } catch (const std::exception& error) {
    fail("run_foreign", "run", "the run holds an event that this version cannot read ({}): use the "
         "version that made it", error.what());
  }
  for (auto& [id, candidate] : candidates) view.candidates.push_back(std::move(candidate));
  rank(view);
  if (!events.empty()) view.seconds = events.back().at - events.front().at;
  return view;
}

Event run_event(const RunSettings& settings) {
  return {.kind = "run", .body = settings_json(settings).dump()};
}

Event candidate_event(const Candidate& candidate) {
  return {.candidate = candidate.id, .kind = "candidate",
          .body = candidate_json(candidate).dump()};
}

Event judged_event(const std::string& candidate, std::size_t judge, const Result& result) {
  const Json body{{"judge", judge}, {"result", Json::parse(to_json(result))}};
  return {.candidate = candidate, .kind = "judged", .body = body.dump()};
}

Event finished_event(const std::string& winner) {
  return {.candidate = winner, .kind = "finished", .body = "{}"};
}

}  // namespace bestreel
