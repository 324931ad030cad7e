#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "plugin/json_fields.h"
#include "plugin/result.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

/// A number of a result; JSON has no infinity, and a score that is none must not pass as null.
double finite(double value, const char* what) {
  if (!std::isfinite(value)) {
    fail("judge_broken", "judge",
         "{} must be a finite number but got {}: the judge's weights or "
         "arithmetic are broken",
         what, value);
  }
  return value;
}

Json dimension_json(const Dimension& dimension) {
  Json json{{"name", dimension.name},
            {"score", dimension.score},
            {"expected", finite(dimension.expected, "expected")}};
  if (dimension.reference_soft) {
    json["reference_soft"] = finite(*dimension.reference_soft, "reference_soft");
  }
  if (dimension.probabilities) {
    Json list = Json::array();
    for (const double p : *dimension.probabilities) list.push_back(finite(p, "probability"));
    json["probabilities"] = std::move(list);
  }
  if (dimension.std) json["std"] = finite(*dimension.std, "std");
  return json;
}

template <std::size_t N, typename T>
std::array<T, N> array_at(const Json& json, const char* name) {
  const std::vector<T> values = strict_list<T>(json, name);
  if (values.size() != N) {
    fail("json_malformed", "json",
         "{} must have {} entries but has {}: use a file that Bestreel wrote", name, N,
         values.size());
  }
  std::array<T, N> array{};
  std::copy(values.begin(), values.end(), array.begin());
  return array;
}

Dimension dimension_from(const Json& json) {
  Dimension dimension;
  dimension.name = strictly_at<std::string>(json, "name");
  dimension.score = strictly_at<int>(json, "score");
  dimension.expected = strictly_at<double>(json, "expected");
  if (json.contains("reference_soft")) {
    dimension.reference_soft = strictly_at<double>(json, "reference_soft");
  }
  if (json.contains("probabilities")) {
    dimension.probabilities = array_at<5, double>(json, "probabilities");
  }
  if (json.contains("std")) dimension.std = strictly_at<double>(json, "std");
  return dimension;
}

Json judgement_json(const Judgement& judgement, bool with_seconds) {
  Json json{{"dimensions", Json::array()},      {"reward", finite(judgement.reward, "reward")},
            {"rationale", judgement.rationale}, {"measures", Json::object()},
            {"frames", judgement.frames},       {"judge", judgement.judge}};
  for (const Dimension& dimension : judgement.dimensions) {
    json["dimensions"].push_back(dimension_json(dimension));
  }
  for (const auto& [name, value] : judgement.measures) {
    if (json["measures"].contains(name)) {
      fail("judge_broken", "judge",
           "measures must have names of their own but {} is there twice: "
           "report it to the judge's author",
           name);
    }
    json["measures"][name] = finite(value, "measure");
  }
  if (judgement.transcript) {
    const Transcript& transcript = *judgement.transcript;
    json["forced"] = transcript.forced;
    json["grid_thw"] = transcript.grid_thw;
    json["prompt_tokens"] = transcript.prompt_tokens;
    json["output_tokens"] = transcript.output_tokens;
    json["digit_positions"] = transcript.digit_positions;
    json["template_hash"] = transcript.template_hash;
  }
  if (with_seconds) json["seconds"] = finite(judgement.seconds, "seconds");
  return json;
}

Judgement judgement_from(const Json& json) {
  Judgement judgement;
  const Json& dimensions = json.at("dimensions");
  if (!dimensions.is_array()) {
    fail("json_malformed", "json",
         "dimensions must be a list but is {}: use a file that Bestreel wrote",
         dimensions.type_name());
  }
  for (const Json& dimension : dimensions)
    judgement.dimensions.push_back(dimension_from(dimension));
  judgement.reward = strictly_at<double>(json, "reward");
  judgement.rationale = strictly_at<std::string>(json, "rationale");
  const Json& measures = json.at("measures");
  if (!measures.is_object()) {
    fail("json_malformed", "json",
         "measures must be an object but is {}: use a file that Bestreel "
         "wrote",
         measures.type_name());
  }
  for (const auto& [name, value] : measures.items()) {
    judgement.measures.emplace_back(name, strictly<double>(value, "measure"));
  }
  judgement.frames = strict_list<std::int64_t>(json, "frames");
  judgement.judge = strictly_at<std::string>(json, "judge");
  if (json.contains("grid_thw")) {
    Transcript transcript;
    transcript.forced = strictly_at<bool>(json, "forced");
    transcript.grid_thw = array_at<3, std::int64_t>(json, "grid_thw");
    transcript.prompt_tokens = strict_list<std::int64_t>(json, "prompt_tokens");
    transcript.output_tokens = strict_list<std::int64_t>(json, "output_tokens");
    transcript.digit_positions = strict_list<std::int64_t>(json, "digit_positions");
    transcript.template_hash = strictly_at<std::string>(json, "template_hash");
    judgement.transcript = std::move(transcript);
  }
  if (json.contains("seconds")) judgement.seconds = strictly_at<double>(json, "seconds");
  return judgement;
}

}  // namespace

std::string to_json(const Result& result, bool with_seconds) {
  Json json;
  if (const auto* failure = std::get_if<Failure>(&result)) {
    json["failure"] = {{"code", failure->code}, {"sentence", failure->sentence}};
  } else {
    json = judgement_json(std::get<Judgement>(result), with_seconds);
  }
  // A file name in a sentence may hold any bytes: what is not UTF-8 becomes U+FFFD.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result result_from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    if (json.contains("failure")) {
      const Json& failure = json["failure"];
      return Failure{strictly_at<std::string>(failure, "code"),
                     strictly_at<std::string>(failure, "sentence")};
    }
    return judgement_from(json);
  } catch (const nlohmann::json::exception& error) {
    fail("json_malformed", "result",
         "a stored result must be the JSON that Bestreel wrote, but: {}", error.what());
  }
}

bool is_machine_failure(std::string_view code) {
  for (const char* each : {"out_of_memory", "disk_full", "write_failed", "store_failed",
                           "too_many_files", "thread_failed"}) {
    if (code == each) return true;
  }
  return false;
}

}  // namespace bestreel
