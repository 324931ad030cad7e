#include "plugin/cost.h"

#include <algorithm>

namespace bestreel {
namespace {

struct Adder {
  CostTotals& ledger;

  void operator()(const events::Judged& e) const { judgement(e.judge, e.result); }
  void operator()(const events::PreviewJudged& e) const { judgement(e.judge, e.result); }
  void operator()(const events::StepsDone& e) const { denoising(e.cost); }
  void operator()(const events::Failed& e) const { denoising(e.cost); }
  void operator()(const events::Stopped& e) const { denoising(e.cost); }
  void operator()(const events::Previewed& e) const {
    if (!e.path.empty()) ++ledger.previews;
    ledger.forwards += e.cost.forwards;
    ledger.preview_seconds += e.cost.seconds;
  }
  void operator()(const events::Decoded& e) const {
    ++ledger.decodes;
    ledger.decode_seconds += e.seconds;
  }
  void operator()(const events::Waited& e) const { ledger.waited_seconds += e.seconds; }
  void operator()(const events::Redone& e) const { ledger.redone_forwards += e.forwards; }
  void operator()(const auto&) const {}

 private:
  void denoising(const Cost& cost) const {
    ledger.forwards += cost.forwards;
    ledger.denoise_seconds += cost.seconds;
    ledger.peak_bytes = std::max(ledger.peak_bytes, cost.peak_bytes);
  }

  void judgement(std::size_t place, const Result& result) const {
    ++ledger.judgements;
    if (ledger.judges.size() <= place) ledger.judges.resize(place + 1);
    JudgeCost& cost = ledger.judges[place];
    ++cost.judgements;
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
};

}  // namespace

double CostTotals::hidden_share() const {
  if (judge_seconds <= 0) return 0;
  return std::clamp(1 - waited_seconds / judge_seconds, 0.0, 1.0);
}

void add(CostTotals& ledger, const RunEvent& event) { std::visit(Adder{ledger}, event.body); }

CostTotals project_costs(const std::vector<RunEvent>& events) {
  CostTotals ledger;
  for (const RunEvent& event : events) add(ledger, event);
  return ledger;
}

}  // namespace bestreel
