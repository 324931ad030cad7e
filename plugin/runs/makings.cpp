#include "plugin/runs/makings.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "plugin/json_fields.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

Making::Preview& preview_at(Making& making, std::int64_t step) {
  auto& previews = making.previews;
  auto found = std::lower_bound(previews.begin(), previews.end(), step,
                                [](const auto& each, std::int64_t at) { return each.step < at; });
  if (found == previews.end() || found->step != step) {
    found = previews.insert(found, Making::Preview{step, {}, {}});
  }
  return *found;
}

/// Who was asked about and has no slot is dropped; a slot from another's state is a resampling.
void apply_told(std::map<std::string, Making>& makings, std::int64_t step, const Json& body) {
  std::map<std::string, Making::Resampling> parents;
  for (const Json& slot : body.at("slots")) {
    parents[strictly_at<std::string>(slot, "candidate")] = {
        step, strictly_at<std::string>(slot, "parent"), strictly_at<std::uint64_t>(slot, "key")};
  }
  for (const Json& each : body.at("candidates")) {
    const auto id = strictly<std::string>(each, "candidate");
    Making& making = makings.at(id);
    const auto parent = parents.find(id);
    if (parent == parents.end()) {
      making.end = Making::End::kDropped;
      making.step = step;
    } else if (parent->second.parent != id) {
      making.resamplings.push_back(parent->second);
    }
  }
}

}  // namespace

std::vector<Making> makings_of(const std::vector<Event>& events) {
  std::map<std::string, Making> makings;
  for (const Event& event : events) {
    if (event.kind == "asked") {
      const Json body = Json::parse(event.body);
      for (const Json& start : body.at("starts")) {
        const auto id = strictly_at<std::string>(start, "candidate");
        makings[id].id = id;
        makings[id].wave = event.wave;
        makings[id].noise = strictly_at<std::string>(start, "noise");
      }
      continue;
    }
    if (event.kind == "told") {
      apply_told(makings, event.step, Json::parse(event.body));
      continue;
    }
    const auto found = makings.find(event.candidate);
    if (found == makings.end()) continue;
    Making& making = found->second;
    const Json body = Json::parse(event.body);
    if (event.kind == "advanced") {
      making.step = std::max(making.step, event.step);
    } else if (event.kind == "previewed") {
      preview_at(making, event.step).path = strictly_at<std::string>(body, "path");
    } else if (event.kind == "preview_judged") {
      preview_at(making, event.step).result = result_from_json(body.at("result").dump());
    } else if (event.kind == "candidate") {
      making.end = Making::End::kFinished;
    } else if (event.kind == "failed" || event.kind == "stopped") {
      making.end = event.kind == "failed" ? Making::End::kFailed : Making::End::kStopped;
      making.step = event.step;
      making.reason = strictly_at<std::string>(body, "sentence");
    }
  }
  std::vector<Making> sorted;
  for (auto& [id, making] : makings) sorted.push_back(std::move(making));
  std::sort(sorted.begin(), sorted.end(), [](const Making& a, const Making& b) {
    return a.wave != b.wave ? a.wave < b.wave : a.id < b.id;
  });
  return sorted;
}

}  // namespace bestreel
