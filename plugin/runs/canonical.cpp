#include "plugin/runs/canonical.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "core/base/fail.h"
#include "plugin/runs/events.h"

namespace bestreel {
namespace {

/// Without clocks and folders.
struct Strip {
  static void clock(Cost& cost) { cost.seconds = 0, cost.peak_bytes = 0; }
  static void clock(Result& result) {
    if (auto* judgement = std::get_if<Judgement>(&result)) judgement->seconds = 0;
  }
  static void folder(std::string& path) { path = std::filesystem::path(path).filename().string(); }

  void operator()(events::Arrived& e) const { folder(e.path); }
  void operator()(events::StepsDone& e) const { clock(e.cost); }
  void operator()(events::Previewed& e) const { clock(e.cost), folder(e.path); }
  void operator()(events::PreviewJudged& e) const { clock(e.result); }
  void operator()(events::Decoded& e) const { e.seconds = 0; }
  void operator()(events::Candidate& e) const { folder(e.path), folder(e.lossless); }
  void operator()(events::Judged& e) const { clock(e.result); }
  void operator()(events::Failed& e) const { clock(e.cost); }
  void operator()(events::Stopped& e) const { clock(e.cost); }
  void operator()(auto&) const {}
};

}  // namespace

std::string canonical_body(const RunEvent& event) {
  RunEvent stripped = event;
  std::visit(Strip{}, stripped.body);
  return encode(stripped).body;
}

std::string canonical_table(const std::vector<Event>& events) {
  using Row = std::tuple<std::int64_t, std::int64_t, std::string, std::string, std::string>;
  std::vector<Row> rows;
  for (const Event& row : events) {
    const RunEvent event = decode(row);
    if (std::holds_alternative<events::Waited>(event.body) ||
        std::holds_alternative<events::Redone>(event.body)) {
      continue;
    }
    rows.emplace_back(row.wave, row.step, row.candidate, row.kind, canonical_body(event));
  }
  std::sort(rows.begin(), rows.end());
  std::string table;
  for (const auto& [wave, step, candidate, kind, body] : rows) {
    table += fmt::format("{} {} {} {} {}\n", wave, step, candidate, kind, body);
  }
  return table;
}

}  // namespace bestreel
