#include "plugin/runs/run_view.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "plugin/json_fields.h"
#include "plugin/runs/cascade_view.h"
#include "plugin/runs/trajectory_records.h"

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
  if (json.is_string()) return json.get<std::string>();
  const auto hex = strictly_at<std::string>(json, "hex");
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail("json_malformed", "json",
         "hex must be pairs of hexadecimal digits but is {}: use a file that "
         "Bestreel wrote",
         hex);
  }
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
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
  Json json{
      {"command", settings.command},
      {"argv", list_json(settings.argv)},
      {"prompt", bytes_json(settings.prompt)},
      {"judges", list_json(settings.judges)},
      {"judge_ids", list_json(settings.judge_ids)},
      {"combination", settings.combination == Combination::kRankMean ? "rank-mean" : "weights"},
      {"weights", settings.weights},
      {"top", settings.top},
      {"threads", settings.threads},
      {"versions", settings.versions}};
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) json[name] = bytes_json(text);
  };
  add("negative", settings.negative);
  add("engine", settings.engine);
  add("strategy", settings.strategy);
  add("limits", settings.limits);
  if (!settings.keep.empty()) json["keep"] = settings.keep;
  if (settings.lossless) json["lossless"] = true;
  if (settings.judge_threads != 0) json["judge_threads"] = settings.judge_threads;
  return json;
}

RunSettings settings_from(const Json& json) {
  RunSettings settings;
  settings.command = strictly_at<std::string>(json, "command");
  settings.argv = list_from(json.at("argv"));
  settings.prompt = bytes_from(json.at("prompt"));
  settings.judges = list_from(json.at("judges"));
  settings.judge_ids = list_from(json.at("judge_ids"));
  if (settings.judges.size() != settings.judge_ids.size()) {
    fail("json_malformed", "json",
         "judges and judge_ids must have equal lengths but have {} and {}: "
         "use a file that Bestreel wrote",
         settings.judges.size(), settings.judge_ids.size());
  }
  settings.combination =
      json.at("combination") == "rank-mean" ? Combination::kRankMean : Combination::kWeights;
  settings.weights = strict_list<double>(json, "weights");
  settings.top = strictly_at<int>(json, "top");
  settings.threads = strictly_at<int>(json, "threads");
  settings.versions = strictly_at<std::string>(json, "versions");
  const auto take = [&](const char* name, std::string& text) {
    if (json.contains(name)) text = bytes_from(json.at(name));
  };
  take("negative", settings.negative);
  take("engine", settings.engine);
  take("strategy", settings.strategy);
  take("limits", settings.limits);
  if (json.contains("keep")) settings.keep = strict_list<int>(json, "keep");
  if (!settings.keep.empty() && settings.keep.size() + 1 != settings.judges.size()) {
    fail("json_malformed", "json",
         "keep must have one count for every judge but the last but has {} for {} "
         "judges: use a file that Bestreel wrote",
         settings.keep.size(), settings.judges.size());
  }
  settings.lossless = json.contains("lossless") && strictly_at<bool>(json, "lossless");
  if (json.contains("judge_threads"))
    settings.judge_threads = strictly_at<int>(json, "judge_threads");
  return settings;
}

Json candidate_json(const Candidate& candidate) {
  const VideoInfo& video = candidate.video;
  Json json{{"id", bytes_json(candidate.id)},
            {"path", bytes_json(candidate.path)},
            {"sha256", candidate.sha256},
            {"frame_count", video.frame_count},
            {"width", video.width},
            {"height", video.height},
            {"fps", {video.fps.num, video.fps.den}},
            // JSON has no infinity, and a container may claim one.
            {"duration", std::isfinite(video.duration) ? video.duration : 0.0},
            {"container", video.container},
            {"codec", video.codec},
            {"pixel_format", video.pixel_format},
            {"rotation", video.rotation},
            {"has_audio", video.has_audio},
            {"has_alpha", video.has_alpha},
            {"variable_frame_rate", video.variable_frame_rate}};
  if (!candidate.lossless.empty()) {
    json["lossless"] = bytes_json(candidate.lossless);
    json["lossless_sha256"] = candidate.lossless_sha256;
  }
  return json;
}

/// 64 hexadecimal digits, or nothing: hashes become names of files.
std::string hash_from(const Json& json, const char* name) {
  auto hash = strictly_at<std::string>(json, name);
  const bool digits = hash.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (hash.empty() || (hash.size() == 64 && digits)) return hash;
  fail(
      "json_malformed", "json",
      "{} must be 64 hexadecimal digits but is {} other characters: use a file that Bestreel wrote",
      name, hash.size());
}

/// A file's name without folders.
std::string name_from(const Json& json, const char* name) {
  auto text = strictly_at<std::string>(json, name);
  if (!text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos)
    return text;
  fail("json_malformed", "json", "{} must be a file's name: use a file that Bestreel wrote", name);
}

Candidate candidate_from(const Json& json) {
  Candidate candidate;
  candidate.id = bytes_from(json.at("id"));
  candidate.path = bytes_from(json.at("path"));
  candidate.sha256 = hash_from(json, "sha256");
  if (json.contains("lossless")) {
    candidate.lossless = bytes_from(json.at("lossless"));
    candidate.lossless_sha256 = hash_from(json, "lossless_sha256");
  }
  VideoInfo& video = candidate.video;
  video.frame_count = strictly_at<std::int64_t>(json, "frame_count");
  video.width = strictly_at<int>(json, "width");
  video.height = strictly_at<int>(json, "height");
  const auto fps = strict_list<std::int64_t>(json, "fps");
  video.fps = {fps.at(0), fps.at(1)};
  video.duration = strictly_at<double>(json, "duration");
  video.container = strictly_at<std::string>(json, "container");
  video.codec = strictly_at<std::string>(json, "codec");
  video.pixel_format = strictly_at<std::string>(json, "pixel_format");
  video.rotation = strictly_at<int>(json, "rotation");
  video.has_audio = strictly_at<bool>(json, "has_audio");
  video.has_alpha = strictly_at<bool>(json, "has_alpha");
  video.variable_frame_rate = strictly_at<bool>(json, "variable_frame_rate");
  return candidate;
}

/// Sorts by reward, best first, and gives ranks and the winner.
void sort_by_reward(RunView& view) {
  std::sort(view.candidates.begin(), view.candidates.end(),
            [](const Candidate& a, const Candidate& b) {
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

/// The strategy's own order: a dear judge may have seen the best only.
void rank_as_selected(RunView& view, const Json& order) {
  std::map<std::string, int> places;
  std::map<std::string, double> rewards;
  std::map<std::string, std::size_t> judges;
  for (const Json& each : order) {
    const auto id = strictly_at<std::string>(each, "candidate");
    places[id] = static_cast<int>(places.size()) + 1;
    rewards[id] = strictly_at<double>(each, "reward");
    if (each.contains("judge")) judges[id] = strictly_at<std::size_t>(each, "judge");
  }
  for (Candidate& candidate : view.candidates) {
    const auto place = places.find(candidate.id);
    candidate.rank = place == places.end() ? 0 : place->second;
    candidate.reward =
        place == places.end() ? std::nullopt : std::optional(rewards.at(candidate.id));
    const auto judge = judges.find(candidate.id);
    if (judge != judges.end() && judge->second < view.settings.judges.size())
      candidate.decided_by = judge->second;
  }
  std::sort(view.candidates.begin(), view.candidates.end(),
            [](const Candidate& a, const Candidate& b) {
              if ((a.rank == 0) != (b.rank == 0)) return b.rank == 0;
              return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
            });
  view.winner = !view.candidates.empty() && view.candidates.front().rank == 1
                    ? view.candidates.front().id
                    : "";
}

/// Combines the judges and ranks by the result.
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
  sort_by_reward(view);
}

}  // namespace

RunView project(const std::vector<Event>& events, const std::string& name) {
  RunView view;
  std::map<std::string, Candidate> candidates;
  std::optional<Json> order;
  const Event* at = nullptr;
  try {
    for (const Event& event : events) {
      at = &event;
      const Json body = Json::parse(event.body);
      if (event.kind == "run") {
        view.settings = settings_from(body);
      } else if (event.kind == "candidate") {
        Candidate candidate = candidate_from(body);
        candidate.results.resize(view.settings.judges.size());
        candidates[candidate.id] = std::move(candidate);  // written again: judged again
      } else if (event.kind == "judged") {
        candidates.at(event.candidate).results.at(strictly_at<std::size_t>(body, "judge")) =
            result_from_json(body.at("result").dump());
      } else if (event.kind == "winner_selected") {
        order = body.at("order");
      } else if (event.kind == "best_written") {
        view.best_files.emplace_back(name_from(body, "file"), hash_from(body, "sha256"));
      }
      add(view.ledger, event);
      view.finished = event.kind == "finished";
    }
    at = nullptr;
    view.trajectories = project_trajectories(events);
    for (auto& [id, candidate] : candidates) view.candidates.push_back(std::move(candidate));
    if (order) {
      rank_as_selected(view, *order);
    } else if (view.settings.keep.empty()) {
      rank(view);
    }
    if (!view.settings.keep.empty()) rank_cascade(view, order.has_value());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    // A library's words would mean nothing to who reads them.
    const auto* ours = dynamic_cast<const Error*>(&error);
    fail("run_foreign", "run",
         "{} holds {} that this version cannot read ({}): use the version that made it, or take a "
         "copy of it from a backup",
         name, at != nullptr ? fmt::format("an event, number {},", at->seq) : "events",
         ours != nullptr ? ours->sentence() : "a field is missing or is of another kind");
  }
  if (!events.empty()) view.seconds = events.back().at - events.front().at;
  return view;
}

RunView read_view(const std::string& directory) {
  return project(RunStore::open_read_only(directory).events(),
                 (std::filesystem::path(directory) / "run.sqlite").string());
}

Event run_event(const RunSettings& settings) {
  return {.kind = "run", .body = settings_json(settings).dump()};
}

Event candidate_event(const Candidate& candidate) {
  return {.candidate = candidate.id, .kind = "candidate", .body = candidate_json(candidate).dump()};
}

Event judged_event(const std::string& candidate, std::size_t judge, const Result& result) {
  // A judgement that JSON cannot hold (a score that overflowed) is this video's failure. Thrown, it
  // would end the run here, and again at each resume, with the other videos never judged.
  const std::string text = [&] {
    try {
      return to_json(result);
    } catch (const Error& error) {
      return to_json(Failure{error.code(), error.what()});
    }
  }();
  const Json body{{"judge", judge}, {"result", Json::parse(text)}};
  return {.candidate = candidate, .kind = "judged", .body = body.dump()};
}

Event finished_event(const std::string& winner) {
  return {.candidate = winner, .kind = "finished", .body = "{}"};
}

}  // namespace bestreel
