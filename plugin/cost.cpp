#include "plugin/cost.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "plugin/json_fields.h"
#include "plugin/result.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

double seconds_of(const Json& body) {
  return body.contains("seconds") ? strictly_at<double>(body, "seconds") : 0;
}

void charge_judgement(CostTotals& ledger, const Json& body) {
  ++ledger.judgements;
  const auto place = strictly_at<std::size_t>(body, "judge");
  if (ledger.judges.size() <= place) ledger.judges.resize(place + 1);
  JudgeCost& cost = ledger.judges[place];
  ++cost.judgements;
  const Result result = result_from_json(body.at("result").dump());
  const auto* judgement = std::get_if<Judgement>(&result);
  if (judgement == nullptr) return;
  cost.seconds += judgement->seconds;
  ledger.judge_seconds += judgement->seconds;
  if (!judgement->transcript) return;
  const std::int64_t prefill = std::ssize(judgement->transcript->prompt_tokens);
  const std::int64_t decode = std::ssize(judgement->transcript->output_tokens);
  cost.prefill_tokens += prefill;
  cost.decode_tokens += decode;
  ledger.prefill_tokens += prefill;
  ledger.decode_tokens += decode;
}

}  // namespace

double CostTotals::hidden_share() const {
  if (judge_seconds <= 0) return 0;
  return std::clamp(1 - waited_seconds / judge_seconds, 0.0, 1.0);
}

void add(CostTotals& ledger, const Event& event) {
  if (event.kind == "judged" || event.kind == "preview_judged") {
    charge_judgement(ledger, Json::parse(event.body));
  } else if (event.kind == "steps_done" || event.kind == "failed") {
    const Json body = Json::parse(event.body);
    ledger.forwards += strictly_at<double>(body, "forwards");
    ledger.denoise_seconds += seconds_of(body);
    ledger.peak_bytes = std::max(ledger.peak_bytes, strictly_at<std::int64_t>(body, "peak_bytes"));
  } else if (event.kind == "previewed") {
    ++ledger.previews;
    ledger.preview_seconds += seconds_of(Json::parse(event.body));
  } else if (event.kind == "decoded") {
    ++ledger.decodes;
    ledger.decode_seconds += seconds_of(Json::parse(event.body));
  } else if (event.kind == "waited") {
    ledger.waited_seconds += seconds_of(Json::parse(event.body));
  } else if (event.kind == "redone") {
    ledger.redone_forwards += strictly_at<double>(Json::parse(event.body), "forwards");
  }
}

CostTotals project_costs(const std::vector<Event>& events) {
  CostTotals ledger;
  for (const Event& event : events) add(ledger, event);
  return ledger;
}

}  // namespace bestreel
