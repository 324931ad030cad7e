// Private to the session: the run's events by their place, each recorded once.
//
// Note [Resume by recorded results]. A session is a deterministic program whose inputs are results:
// judgements, failures, files. Each is recorded under its place in the run (kind, wave, step,
// candidate, judge) as soon as it is known. Resuming runs the same program again; what is recorded
// is taken from here instead of being made, and what is made again must be what was recorded. So
// the order in which results arrived, and where the process died, change nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "plugin/cost.h"
#include "plugin/engine.h"
#include "plugin/result.h"
#include "plugin/runs/run_store.h"

namespace bestreel::session {

using Json = nlohmann::ordered_json;

struct EventKey {
  std::string kind;
  std::int64_t wave = 0;
  std::string candidate;  ///< candidate_name(), or empty for the whole run
  std::int64_t step = 0;
  std::size_t judge = 0;
  friend auto operator<=>(const EventKey&, const EventKey&) = default;
};

class Journal {
 public:
  /// Reads what `store` holds.
  explicit Journal(RunStore store);

  /// The recorded body, or null.
  const Json* find(const EventKey& key) const;

  /// The recorded event of this kind and candidate with the largest step, or null.
  const EventKey* last(const std::string& kind, std::int64_t wave, CandidateId id) const;

  /// Appends those that are not there yet, together, durably. True if any was new. Throws Error
  /// "run_mismatch" where one is there and was otherwise: what made it is not deterministic, or is
  /// another version.
  bool record(std::vector<Event> events);

  /// Appends without a place: what this process has to say about itself.
  void note(Event event);

  const CostTotals& ledger() const { return ledger_; }
  const std::string& directory() const { return store_.directory(); }
  std::vector<Event> events() const { return store_.events(); }

 private:
  RunStore store_;
  std::map<EventKey, Json> recorded_;
  CostTotals ledger_;
};

/// A judgement or Failure recorded at `place`, or null.
std::optional<Result> recorded_result(const Journal& journal, const EventKey& key);

}  // namespace bestreel::session
