#include "plugin/plan.h"

#include <charconv>
#include <cmath>
#include <map>

#include "core/base/fail.h"

namespace bestreel {
namespace {

std::int64_t resident_judges(const PlanRequest& request) {
  std::int64_t sum = 0;
  for (const JudgeEstimate& judge : request.judges) sum += judge.weights;
  return sum;
}

/// The most expensive judge's work: one prompt is read while the others' samples are decoded.
/// Several judges judge at once where nothing orders them, so their work adds up.
std::int64_t judging(const PlanRequest& request, int slots) {
  std::int64_t sum = 0;
  for (const JudgeEstimate& judge : request.judges) {
    const int used = std::min(slots, std::max(1, judge.max_slots));
    const int videos = (used + judge.samples - 1) / judge.samples;
    sum += judge.activations + videos * judge.prompt_cache + used * judge.slot;
  }
  return sum;
}

MemoryPlan with_slots(const PlanRequest& request, int slots) {
  MemoryPlan plan;
  plan.slots = slots;
  const std::int64_t judges = resident_judges(request), judge_work = judging(request, slots);
  if (request.generator) {
    const GeneratorEstimate& g = *request.generator;
    plan.trajectories = request.lockstep ? request.n : 1;
    const std::int64_t waiting = request.keeps_videos ? request.n : 1;
    const std::int64_t engine =
        request.process + g.vae + g.denoiser + g.conditioning + plan.trajectories * g.trajectory;
    // From the second candidate on the judges' weights are there as well.
    const std::int64_t others =
        (request.n > 1 || request.lockstep ? judges + (waiting - 1) * g.video : 0) +
        (request.overlap ? judge_work + g.video : 0);
    if (g.loading > 0)
      plan.phases.push_back({"loading", request.process + g.vae + g.denoiser + g.loading});
    plan.phases.push_back({"encoding the prompt",
                           request.process + g.vae +
                               (request.prompts > 1 ? g.denoiser + judges : g.denoiser_at_text) +
                               g.text_encoder + g.text_activations + g.conditioning});
    plan.phases.push_back({"denoising", engine + others + g.denoise_activations});
    plan.phases.push_back({"decoding", engine + others + g.decode_activations + g.video});
    plan.phases.push_back({"judging", engine + judges + judge_work + waiting * g.video});
  } else {
    plan.phases.push_back({"judging", request.process + judges + judge_work});
  }
  for (const PlanPhase& phase : plan.phases) {
    if (phase.bytes <= plan.peak) continue;
    plan.peak = phase.bytes;
    plan.worst = phase.name;
  }
  plan.fits = plan.peak <= request.memory;
  return plan;
}

}  // namespace

std::int64_t parse_memory(const std::string& op, const std::string& text) {
  static const std::map<std::string, double> units{
      {"", 1},          {"B", 1},           {"K", 1024.0},   {"KIB", 1024.0}, {"KB", 1e3},
      {"M", 1048576.0}, {"MIB", 1048576.0}, {"MB", 1e6},     {"G", 0x1p30},   {"GIB", 0x1p30},
      {"GB", 1e9},      {"T", 0x1p40},      {"TIB", 0x1p40}, {"TB", 1e12}};
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  std::string unit(stop, end);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto found = units.find(unit);
  if (error != std::errc() || found == units.end() || !(number > 0) ||
      number * found->second > 0x1p60) {
    fail_usage(op, "memory must be a size such as 24G, 24GiB, 24GB or 24000M, but got \"{}\"",
               text);
  }
  return static_cast<std::int64_t>(number * found->second);
}

std::string memory_text(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.0f} MB", value / 1e6);
  return fmt::format("{:.0f} kB", value / 1e3);
}

MemoryPlan plan_memory(const PlanRequest& request) {
  int slots = 1;
  for (const JudgeEstimate& judge : request.judges) slots = std::max(slots, judge.max_slots);
  if (request.slots > 0) slots = std::min(slots, request.slots);
  MemoryPlan plan = with_slots(request, slots);
  while (!plan.fits && slots > 1) plan = with_slots(request, --slots);
  return plan;
}

std::string cheapest_remedy(const std::vector<Alternative>& alternatives) {
  for (const Alternative& alternative : alternatives) {
    if (plan_memory(alternative.request).fits) return alternative.remedy;
  }
  return "";
}

PlanSeconds plan_seconds(const PlanRequest& request, const MemoryPlan& plan,
                         const MachineRates& rates) {
  PlanSeconds seconds;
  const auto n = static_cast<double>(request.n);
  if (request.generator) {
    const GeneratorEstimate& g = *request.generator;
    seconds.text =
        g.text_flops / rates.flops + static_cast<double>(g.text_encoder) / rates.bytes_per_second;
    seconds.denoise = g.forwards_per_candidate * g.forward_flops / rates.flops;
    seconds.decode = g.decode_flops / rates.flops;
    seconds.total = seconds.text + n * (seconds.denoise + seconds.decode);
  }
  for (std::size_t j = 0; j < request.judges.size(); ++j) {
    const JudgeEstimate& judge = request.judges[j];
    const double share = j < request.judged_share.size() ? request.judged_share[j] : 1;
    // A step reads the weights once for all that share it.
    const double others =
        std::min<double>(std::min(plan.slots, judge.max_slots), n * share * judge.samples);
    const double step = std::max(judge.decode_bytes / rates.bytes_per_second,
                                 std::max(1.0, others) * judge.decode_flops / rates.flops);
    const double one = judge.seconds + judge.prefill_flops / rates.flops +
                       judge.samples * judge.tokens * step / std::max(1.0, others);
    seconds.judges.push_back(one);
    seconds.total += n * share * one;
  }
  return seconds;
}

}  // namespace bestreel
