#include "plugin/session/journal.h"

#include <limits>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "plugin/json_fields.h"
#include "plugin/runs/canonical.h"

namespace bestreel::session {
namespace {

EventKey key_of(const Event& event, const Json& body) {
  return {event.kind, event.wave, event.candidate, event.step,
          body.contains("judge") ? strictly_at<std::size_t>(body, "judge") : 0};
}

}  // namespace

Journal::Journal(RunStore store) : store_(std::move(store)) {
  for (const Event& event : store_.events()) {
    try {
      const Json body = Json::parse(event.body);
      recorded_.emplace(key_of(event, body), body);
      add(ledger_, event);
    } catch (const std::exception&) {
      fail("run_foreign", "run",
           "{}/run.sqlite holds an event, number {}, that this version cannot read: use the "
           "version that made it, or take a copy of it from a backup",
           store_.directory(), event.seq);
    }
  }
}

const Json* Journal::find(const EventKey& key) const {
  const auto found = recorded_.find(key);
  return found == recorded_.end() ? nullptr : &found->second;
}

const EventKey* Journal::last(const std::string& kind, std::int64_t wave, CandidateId id) const {
  const std::string name = candidate_name(id);
  const EventKey end{kind, wave, name, std::numeric_limits<std::int64_t>::max(), 0};
  auto after = recorded_.upper_bound(end);
  if (after == recorded_.begin()) return nullptr;
  const EventKey& key = std::prev(after)->first;
  return key.kind == kind && key.wave == wave && key.candidate == name ? &key : nullptr;
}

bool Journal::record(std::vector<Event> events) {
  std::vector<Event> fresh;
  for (Event& event : events) {
    const EventKey key = key_of(event, Json::parse(event.body));
    const Json* then = find(key);
    if (then == nullptr) {
      fresh.push_back(std::move(event));
    } else if (canonical_body(then->dump()) != canonical_body(event.body)) {
      fail(
          "run_mismatch", "resume",
          "{} recorded \"{}\" {}at step {} otherwise than it comes out now: the engine, a judge or "
          "the strategy is not deterministic or not the same; start a new run with another --out",
          directory(), event.kind, event.candidate.empty() ? "" : "of " + event.candidate + " ",
          event.step);
    }
  }
  if (fresh.empty()) return false;
  store_.append(fresh);
  for (const Event& event : fresh) {
    Json body = Json::parse(event.body);
    EventKey key = key_of(event, body);
    recorded_.emplace(std::move(key), std::move(body));
    add(ledger_, event);
  }
  return true;
}

void Journal::note(Event event) {
  add(ledger_, event);
  store_.append(std::move(event));
}

std::optional<Result> recorded_result(const Journal& journal, const EventKey& key) {
  const Json* body = journal.find(key);
  if (body == nullptr) return std::nullopt;
  return result_from_json(body->at("result").dump());
}

}  // namespace bestreel::session
