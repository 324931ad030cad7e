#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "plugin/result.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

/// A number of a result; JSON has no infinity, and a score that is none must not pass as null.
double finite(double value, const char* what) {
  if (!std::isfinite(value)) {
    fail("judge_broken", "judge", "{} must be a finite number but got {}: the judge's weights or "
         "arithmetic are broken", what, value);
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

Dimension dimension_from(const Json& json) {
  Dimension dimension{json.at("name"), json.at("score"), json.at("expected"), {}, {}, {}};
  if (json.contains("reference_soft")) dimension.reference_soft = json["reference_soft"];
  if (json.contains("probabilities")) {
    dimension.probabilities = json["probabilities"].get<std::array<double, 5>>();
  }
  if (json.contains("std")) dimension.std = json["std"];
  return dimension;
}

Json judgement_json(const Judgement& judgement, bool with_seconds) {
  Json json{{"dimensions", Json::array()},
            {"reward", finite(judgement.reward, "reward")},
            {"rationale", judgement.rationale},
            {"measures", Json::object()},
            {"frames", judgement.frames},
            {"judge", judgement.judge}};
  for (const Dimension& dimension : judgement.dimensions) {
    json["dimensions"].push_back(dimension_json(dimension));
  }
  for (const auto& [name, value] : judgement.measures) json["measures"][name] = finite(value, "measure");
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
  for (const Json& dimension : json.at("dimensions")) {
    judgement.dimensions.push_back(dimension_from(dimension));
  }
  judgement.reward = json.at("reward");
  judgement.rationale = json.at("rationale");
  for (const auto& [name, value] : json.at("measures").items()) {
    judgement.measures.emplace_back(name, value.get<double>());
  }
  json.at("frames").get_to(judgement.frames);
  judgement.judge = json.at("judge");
  if (json.contains("grid_thw")) {
    Transcript transcript;
    transcript.forced = json.at("forced");
    json.at("grid_thw").get_to(transcript.grid_thw);
    json.at("prompt_tokens").get_to(transcript.prompt_tokens);
    json.at("output_tokens").get_to(transcript.output_tokens);
    json.at("digit_positions").get_to(transcript.digit_positions);
    transcript.template_hash = json.at("template_hash");
    judgement.transcript = std::move(transcript);
  }
  judgement.seconds = json.value("seconds", 0.0);
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
      return Failure{json["failure"].at("code"), json["failure"].at("sentence")};
    }
    return judgement_from(json);
  } catch (const nlohmann::json::exception& error) {
    fail("json_malformed", "result", "a stored result must be the JSON that Bestreel wrote, but: {}",
         error.what());
  }
}

}  // namespace bestreel
