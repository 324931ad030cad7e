// Private to the session: the run's events by their key, each recorded once.
//
// Note [Resume by recorded results]. A session is a deterministic program whose inputs are results:
// judgements, failures, files, arrivals. Each is recorded under its key (kind, wave, step,
// candidate, judge, index) as soon as it is known. Resuming runs the same program again; what is
// recorded is taken from here instead of being made, and what is made again must be what was
// recorded. So the order in which results arrived, and where the process died, change nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "plugin/cost.h"
#include "plugin/engine.h"
#include "plugin/result.h"
#include "plugin/runs/events.h"
#include "plugin/runs/run_store.h"

namespace bestreel::session {

template <typename T, std::size_t I = 0>
constexpr std::size_t kind_of() {
  if constexpr (std::is_same_v<T, std::variant_alternative_t<I, events::Body>>) {
    return I;
  } else {
    return kind_of<T, I + 1>();
  }
}

struct EventKey {
  std::size_t kind = 0;  ///< kind_of()
  std::int64_t wave = 0;
  std::string candidate;  ///< candidate_name(), or empty for the whole run
  std::int64_t step = 0;
  std::size_t judge = 0;
  std::size_t index = 0;
  friend auto operator<=>(const EventKey&, const EventKey&) = default;
};

template <typename T>
EventKey key_of(std::int64_t wave, std::string candidate, std::int64_t step, std::size_t judge = 0,
                std::size_t index = 0) {
  return {kind_of<T>(), wave, std::move(candidate), step, judge, index};
}

class Journal {
 public:
  /// Reads what `store` holds.
  explicit Journal(RunStore store);

  bool has(const EventKey& key) const { return recorded_.contains(key); }
  /// The recorded event, or null. T is the kind of `key`.
  template <typename T>
  const T* find(const EventKey& key) const {
    const auto found = recorded_.find(key);
    return found == recorded_.end() ? nullptr : std::get_if<T>(&found->second.body);
  }

  /// The recorded event of this kind, wave and candidate with the largest step, or null.
  template <typename T>
  const RunEvent* last(std::int64_t wave, CandidateId id) const {
    return last(kind_of<T>(), wave, candidate_name(id));
  }

  /// Those of one kind, ascending by key.
  template <typename T>
  std::vector<const T*> all() const {
    std::vector<const T*> found;
    for (const auto& [key, event] : recorded_) {
      if (const auto* body = std::get_if<T>(&event.body)) found.push_back(body);
    }
    return found;
  }

  /// Appends those that are not there yet, together, durably. Throws Error "run_mismatch" where one
  /// is there and was otherwise: what made it is not deterministic, or is another version.
  void record(const std::vector<RunEvent>& events);

  /// Appends without a key: what this process has to say about itself.
  void note(const RunEvent& event);

  const CostTotals& ledger() const { return ledger_; }
  const std::string& directory() const { return store_.directory(); }
  std::vector<Event> events() const { return store_.events(); }

 private:
  const RunEvent* last(std::size_t kind, std::int64_t wave, const std::string& name) const;

  RunStore store_;
  std::map<EventKey, RunEvent> recorded_;
  CostTotals ledger_;
};

/// A judgement or Failure recorded at `key`, of a video or a preview; nullopt: none.
std::optional<Result> recorded_result(const Journal& journal, const EventKey& key);

}  // namespace bestreel::session
