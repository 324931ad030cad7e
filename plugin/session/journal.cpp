#include "plugin/session/journal.h"

#include <limits>
#include <utility>

#include "core/base/fail.h"
#include "plugin/runs/canonical.h"

namespace bestreel::session {
namespace {

EventKey key_of_event(const RunEvent& event) {
  EventKey key{event.body.index(), event.wave, event.candidate, event.step, 0, 0};
  if (const auto* judged = std::get_if<events::Judged>(&event.body)) {
    key.judge = judged->judge;
    key.index = judged->index;
  } else if (const auto* seen = std::get_if<events::PreviewJudged>(&event.body)) {
    key.judge = seen->judge;
  }
  return key;
}

}  // namespace

Journal::Journal(RunStore store) : store_(std::move(store)) {
  for (RunEvent& event : decode(store_.events())) {
    add(ledger_, event);
    EventKey key = key_of_event(event);
    recorded_.emplace(std::move(key), std::move(event));
  }
}

const RunEvent* Journal::last(std::size_t kind, std::int64_t wave, const std::string& name) const {
  constexpr auto kEnd = std::numeric_limits<std::int64_t>::max();
  auto after = recorded_.upper_bound({kind, wave, name, kEnd, 0, 0});
  if (after == recorded_.begin()) return nullptr;
  const auto& [key, event] = *std::prev(after);
  return key.kind == kind && key.wave == wave && key.candidate == name ? &event : nullptr;
}

void Journal::record(const std::vector<RunEvent>& events) {
  std::vector<Event> rows;
  std::vector<const RunEvent*> fresh;
  for (const RunEvent& event : events) {
    const auto then = recorded_.find(key_of_event(event));
    if (then == recorded_.end()) {
      rows.push_back(encode(event));
      fresh.push_back(&event);
    } else if (canonical_body(then->second) != canonical_body(event)) {
      fail(
          "run_mismatch", "resume",
          "{} recorded \"{}\" {}at step {} otherwise than it comes out now: the engine, a judge or "
          "the strategy is not deterministic or not the same; start a new run with another --out",
          directory(), encode(event).kind,
          event.candidate.empty() ? "" : "of " + event.candidate + " ", event.step);
    }
  }
  if (fresh.empty()) return;
  store_.append(rows);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    // As it was written: what JSON cannot hold is another thing in the store.
    RunEvent event = decode(rows[i]);
    add(ledger_, event);
    EventKey key = key_of_event(event);
    recorded_.emplace(std::move(key), std::move(event));
  }
}

void Journal::note(const RunEvent& event) {
  add(ledger_, event);
  store_.append(encode(event));
}

std::optional<Result> recorded_result(const Journal& journal, const EventKey& key) {
  if (const auto* judged = journal.find<events::Judged>(key)) return judged->result;
  if (const auto* seen = journal.find<events::PreviewJudged>(key)) return seen->result;
  return std::nullopt;
}

}  // namespace bestreel::session
