#include "tests/conformance/engine_conformance.h"

#include <algorithm>
#include <exception>
#include <optional>

#include <fmt/format.h>

#include "tests/conformance/watcher.h"

namespace bestreel::conformance {
namespace {

using Who = std::vector<Assignment>;

/// What one property needs: an engine, waves, and where its sentences go.
class Examination {
 public:
  Examination(const Subject& subject, std::vector<std::string>& violations)
      : subject_(subject), violations_(violations), engine_(subject.make()) {}

  const EngineCapabilities& what() const { return engine_->capabilities(); }
  bool lockstep() const { return what().scheduling >= Scheduling::kLockstep; }
  int middle() const { return std::max(1, what().steps / 2); }
  State seed(int offset = 0) const {
    return Noise::seed(subject_.seed + static_cast<std::uint64_t>(offset));
  }

  /// An engine that has kept nothing.
  void renew() { engine_ = subject_.make(); }

  /// One wave; candidates that the engine takes one by one stop at barriers by themselves.
  Seen wave(const std::vector<std::pair<CandidateId, State>>& begin, Plan plan = {},
            bool draft = false) {
    std::vector<Start> starts;
    for (const auto& [id, state] : begin) {
      starts.push_back({id, subject_.condition, state, draft, ""});
    }
    return wave_of(starts, std::move(plan));
  }

  /// The video of one state by itself, on an engine that knows nothing of it.
  std::string alone(const State& state) {
    const std::unique_ptr<Engine> fresh = subject_.make();
    const std::vector<Start> starts{{0, subject_.condition, state, false, ""}};
    Watcher watcher(what(), starts, {});
    run(*fresh, starts, watcher);
    return watcher.videos[0];
  }

  void require(bool holds, std::string sentence) {
    if (!holds) violations_.push_back(std::move(sentence));
  }

  /// Two videos of two states.
  void require_same(const std::string& a, const std::string& b, const std::string& of) {
    require(!a.empty() && a == b, fmt::format("{} must be the same video, but differ", of));
  }
  void require_different(const std::string& a, const std::string& b, const std::string& of) {
    require(!a.empty() && !b.empty() && a != b,
            fmt::format("{} must be different videos, but are the same", of));
  }

  /// Interruption passes; whether it came.
  bool interrupted(const std::vector<std::pair<CandidateId, State>>& begin, Plan plan) {
    try {
      std::vector<Start> starts;
      for (const auto& [id, state] : begin) {
        starts.push_back({id, subject_.condition, state, false, ""});
      }
      Watcher watcher(what(), starts, std::move(plan));
      engine_->run(starts, watcher);
      return false;
    } catch (const Interruption&) {
      return true;
    }
  }

 private:
  Seen wave_of(const std::vector<Start>& starts, Plan plan) {
    Watcher watcher(what(), starts, std::move(plan));
    run(*engine_, starts, watcher);
    return watcher;
  }

  void run(Engine& engine, std::span<const Start> starts, Watcher& watcher) {
    engine.run(starts, watcher);
    watcher.require_end();
    violations_.insert(violations_.end(), watcher.violations.begin(), watcher.violations.end());
    watcher.violations.clear();
  }

  const Subject& subject_;
  std::vector<std::string>& violations_;
  std::unique_ptr<Engine> engine_;
};

// ---- Properties ---------------------------------------------------------------------------------

void capabilities(Examination& e) {
  const EngineCapabilities& what = e.what();
  e.require(!what.id.empty() && !what.name.empty(), "id and name must not be empty, but are");
  e.require(what.steps >= 3, fmt::format("steps must be at least 3 for these examinations, but "
                                         "are {}",
                                         what.steps));
  e.require(what.forwards_per_step > 0,
            fmt::format("forwards_per_step must be positive, but is {}", what.forwards_per_step));
  e.require(what.stochastic_until >= 0 && what.stochastic_until <= what.steps,
            fmt::format("stochastic_until must be 0 to {}, but is {}", what.steps,
                        what.stochastic_until));
  const std::string id = what.id;
  e.renew();
  e.require(e.what().id == id,
            fmt::format("id must be the same each time, but was {} and is {}", id, e.what().id));
}

void company(Examination& e) {
  Seen three = e.wave({{0, e.seed(0)}, {1, e.seed(1)}, {2, e.seed(2)}});
  Seen turned = e.wave({{1, e.seed(2)}, {5, e.seed(1)}});
  e.require_same(three.videos[1], e.alone(e.seed(1)), "a candidate in company and alone");
  e.require_same(three.videos[1], turned.videos[5], "a candidate in another order, by another id");
  e.require_same(three.videos[2], turned.videos[1], "a candidate in another order, by another id");
  e.require_different(three.videos[0], three.videos[1], "candidates of two seeds");
  for (const auto& [id, spent] : three.forwards) {
    e.require(spent > 0, fmt::format("{} must report its forwards, but reports none", id));
  }
}

void noise(Examination& e) {
  const Noise seed = *e.seed().noise();
  const State near = Noise::neighbour(seed, 0.5, 3), mix = Noise::mix(seed, 0.5, 3),
              other = Noise::mix(Noise::neighbour(seed, 0.5, 3), 0.5, 4);
  Seen all = e.wave({{0, near}, {1, mix}, {2, other}});
  e.require_same(all.videos[2], e.alone(other), "a mix by itself and in company");
  e.require_different(all.videos[0], e.alone(e.seed()), "a neighbour and its parent");
  e.require_different(all.videos[1], e.alone(e.seed()), "a mix and its parent");
  e.require_different(all.videos[0], all.videos[1], "a neighbour and a mix");
}

/// Candidates 0 and 1 with `plan`, or each by itself where the engine takes one after the other.
std::map<CandidateId, std::string> two(Examination& e, const Plan& plan) {
  if (e.lockstep()) return e.wave({{0, e.seed(0)}, {1, e.seed(1)}}, plan).videos;
  std::map<CandidateId, std::string> videos;
  for (int id = 0; id < 2; ++id) videos.merge(e.wave({{id, e.seed(id)}}, plan).videos);
  return videos;
}

void stops(Examination& e) {
  const std::map<CandidateId, std::string> whole = two(e, {});
  std::vector<int> all;
  for (int step = 1; step < e.what().steps; ++step) all.push_back(step);
  e.require(whole == two(e, {.stops = {e.middle()}}), "a stop in the middle must change no video");
  e.require(whole == two(e, {.stops = all}), "a stop after every step must change no video");
}

void left(Examination& e) {
  const int steps = e.what().steps;
  const std::string second = e.alone(e.seed(1));
  Seen asked = e.wave({{0, e.seed(0)}, {1, e.seed(1)}}, {.leave = {{0, steps - 1}}});
  e.require(!asked.videos.contains(0) && asked.forwards[0] > 0,
            "who is told to stop by stepped() must be left, and what ran reported");
  e.require_same(asked.videos[1], second, "who goes on when another is stopped, and alone");
  Seen refused = e.wave({{0, e.seed(0)}, {1, e.seed(1)}}, {.refuse = {{0, 0}}});
  e.require(!refused.videos.contains(0) && refused.forwards[0] == 0,
            "who is refused by request_steps() must be left where it is");
  e.require_same(refused.videos[1], second, "who goes on when another is refused, and alone");
}

void dropped(Examination& e) {
  const auto last = [](int, const std::vector<CandidateId>& ids) {
    return ids.empty() ? Who{} : Who{{ids.back(), ids.back(), 0}};
  };
  const auto none = [](int, const std::vector<CandidateId>&) { return Who{}; };
  if (e.lockstep()) {
    Seen one = e.wave({{0, e.seed(0)}, {1, e.seed(1)}, {2, e.seed(2)}},
                      {.stops = {e.middle()}, .answer = last});
    e.require(one.videos.size() == 1, "who has no assignment must stop");
    e.require_same(one.videos[2], e.alone(e.seed(2)), "who goes on when others stop, and alone");
  }
  Seen nobody = e.wave({{0, e.seed(0)}}, {.stops = {e.middle()}, .answer = none});
  e.require(nobody.videos.empty(), "an empty answer must end the wave");
}

void interruption(Examination& e) {
  const int end = e.what().steps;
  e.require(e.interrupted({{0, e.seed(0)}, {1, e.seed(1)}}, {.interrupt = {{0, end}}}),
            "what the callback throws must come out of run()");
  Seen again = e.wave({{0, e.seed(0)}});
  e.require_same(again.videos[0], e.alone(e.seed(0)), "a candidate after an interruption");
}

void previews(Examination& e) {
  const Plan shown{.stops = {e.middle()}, .preview = PreviewRequest{}};
  e.require(two(e, {}) == two(e, shown), "previews must change no video");
  Seen once = e.wave({{0, e.seed(0)}}, shown), twice = e.wave({{0, e.seed(0)}}, shown);
  e.require(once.previews == twice.previews, "equal candidates must have equal previews");
  e.wave({{0, e.seed(0)}},
         {.stops = {e.middle()}, .preview = PreviewRequest{.decoder = PreviewDecoder::kFull}});
}

void lookahead(Examination& e) {
  const int at = e.middle(), rest = e.what().steps - at;
  for (const int steps : {1, rest}) {
    const PreviewRequest request{.lookahead = steps, .decoder = PreviewDecoder::kFull};
    Seen seen = e.wave({{0, e.seed(0)}}, {.stops = {at}, .preview = request});
    e.require_same(seen.videos[0], e.alone(e.seed(0)), "a candidate with and without lookahead");
    if (steps == rest && !e.what().stochastic()) {
      e.require_same(seen.previews[{0, at}], seen.videos[0],
                     "a lookahead to the end of a deterministic trajectory and that end");
    }
  }
}

void middles(Examination& e) {
  const int at = e.middle();
  Seen first = e.wave({{0, e.seed(0)}}, {.stops = {at}, .keep = {at}});
  Seen kept = e.wave({{1, State::at(e.seed(0), at)}});
  e.require_same(kept.videos[1], first.videos[0], "at(S, step) and S");
  e.require_same(e.alone(State::at(e.seed(0), at)), first.videos[0],
                 "at(S, step), computed again, and S");
  if (e.what().keeps_states) {
    e.require(kept.redone[1] == 0, "a state that was kept must not be computed again");
  }
  e.renew();
  Seen again = e.wave({{1, State::at(e.seed(0), at)}});
  e.require(again.redone[1] > 0, "a state that was not kept must be reported by restored()");
}

/// c1 goes on as c0's copy by `key`, c0 as it is; `id` may be new.
Plan copies(int step, CandidateId id, std::uint64_t key) {
  return {.stops = {step}, .answer = [id, key](int, const std::vector<CandidateId>&) {
            return Who{{0, 0, 0}, {id, 0, key}};
          }};
}

void branches(Examination& e) {
  const int at = 1;
  const std::vector<std::pair<CandidateId, State>> pair{{0, e.seed(0)}, {1, e.seed(1)}},
      single{{0, e.seed(0)}};
  for (const auto& [id, begin] :
       {std::pair{CandidateId{1}, pair}, std::pair{CandidateId{9}, single}}) {
    if (begin.size() > 1 && !e.lockstep()) continue;
    Seen made = e.wave(begin, copies(at, id, 5));
    e.require_same(made.videos[0], e.alone(e.seed(0)), "a parent with a copy and without");
    const State copy = State::fork(State::at(e.seed(0), at), 5);
    e.require(made.states.contains(id) && made.states.at(id) == copy, "a copy must be taken up");
    e.require_same(made.videos[id], e.alone(copy), "a copy and the same made from its text");
  }
  // A copy of a copy, and both in the middle again.
  const State deep = State::fork(State::at(State::fork(State::at(e.seed(0), 1), 5), 2), 6);
  e.require_same(e.wave({{0, deep}}).videos[0], e.alone(deep), "a copy of a copy, made twice");
}

void divergence(Examination& e) {
  const int until = e.what().stochastic_until, steps = e.what().steps;
  for (int at = 1; at < steps; ++at) {
    if (at != 1 && at != until - 1 && at != until && at != steps - 1) continue;
    Seen made = e.wave({{0, e.seed(0)}}, copies(at, 9, 5));
    if (at < until) {
      e.require_different(made.videos[0], made.videos[9],
                          fmt::format("copies at step {}, before stochastic_until {}", at, until));
      e.require_different(e.alone(State::fork(State::at(e.seed(0), at), 5)),
                          e.alone(State::fork(State::at(e.seed(0), at), 6)), "copies by two keys");
    } else {
      e.require_same(made.videos[0], made.videos[9],
                     fmt::format("copies at step {}, from stochastic_until {} on", at, until));
    }
  }
}

void renoise(Examination& e) {
  const int from = e.what().steps - 1, to = 1;
  const State back = State::renoise(State::at(e.seed(0), from), to, 5);
  Seen made = e.wave({{0, back}, {1, State::renoise(State::at(e.seed(0), from), to, 6)}});
  e.require_same(made.videos[0], e.alone(back), "a renoised state in company and alone");
  e.require_different(made.videos[0], made.videos[1], "states renoised by two keys");
  e.require_different(made.videos[0], e.alone(e.seed(0)), "a renoised state and its parent");
  Seen stopped = e.wave({{0, back}}, {.stops = {from}, .keep = {from}});
  e.require_same(stopped.videos[0], made.videos[0], "a renoised state with a stop and without");
  const State on = State::at(back, from);
  e.require_same(e.wave({{1, on}}).videos[1], e.alone(on), "a renoised state that goes on");
  e.require_same(made.videos[0], e.alone(on), "a renoised state and one that goes on from it");
  // From the very end, which is where a search that refines a finished video begins.
  const int end = e.what().steps;
  const State refined = State::renoise(State::at(e.seed(0), end), to, 5);
  e.wave({{0, e.seed(0)}}, {.keep = {end}});
  Seen kept = e.wave({{1, refined}});
  e.require_same(kept.videos[1], e.alone(refined), "a state renoised from the end, kept and not");
  if (e.what().keeps_states) {
    e.require(kept.redone[1] == 0, "an end that was kept must not be computed again");
  }
  if (e.what().branching) {
    const State copy = State::fork(on, 7);
    e.require_same(e.wave({{1, copy}}).videos[1], e.alone(copy), "a copy of a renoised state");
  }
}

void drafts(Examination& e) {
  Seen whole = e.wave({{0, e.seed(0)}});
  Seen draft = e.wave({{0, e.seed(0)}}, {}, /*draft=*/true);
  Seen again = e.wave({{0, e.seed(0)}}, {}, /*draft=*/true);
  e.require(draft.forwards[0] < whole.forwards[0],
            fmt::format("a draft must take fewer forwards than the {} of the whole, but takes {}",
                        whole.forwards[0], draft.forwards[0]));
  e.require_same(draft.videos[0], again.videos[0], "a draft, made twice");
  e.require_same(e.wave({{0, e.seed(0)}}).videos[0], whole.videos[0],
                 "a candidate before and after its draft");
}

struct Property {
  const char* name;
  const char* sentence;
  bool (*claimed)(const EngineCapabilities&);
  void (*examine)(Examination&);
};

bool always(const EngineCapabilities&) { return true; }

const Property kProperties[] = {
    {"capabilities", "what the engine says of itself can be meant, and stays", always,
     capabilities},
    {"company", "a candidate depends on its state alone, not on the others of its wave", always,
     company},
    {"noise", "neighbours and mixes of noise are what their expressions say", always, noise},
    {"stops", "candidates that stop at a barrier and go on are what they would be without", always,
     stops},
    {"left", "who is stopped by stepped() or request_steps() is left where it is", always, left},
    {"dropped", "who has no assignment stops; an empty answer ends the wave", always, dropped},
    {"interruption", "what the callback throws comes out of run(), and the engine is as before",
     always, interruption},
    {"previews", "previews come where they are wanted, and change nothing",
     [](const EngineCapabilities& what) { return what.previews; }, previews},
    {"lookahead", "a lookahead is charged, forgotten, and true of a deterministic trajectory",
     [](const EngineCapabilities& what) { return what.previews && what.lookahead; }, lookahead},
    {"middles", "a candidate begins in the middle as it would have come there",
     [](const EngineCapabilities& what) { return what.branching; }, middles},
    {"branches", "copies and new ids at barriers are what their texts say",
     [](const EngineCapabilities& what) { return what.branching; }, branches},
    {"divergence", "copies diverge before stochastic_until, and are the same video from there on",
     [](const EngineCapabilities& what) { return what.branching; }, divergence},
    {"renoise", "a renoised state is what its text says",
     [](const EngineCapabilities& what) { return what.renoise; }, renoise},
    {"drafts", "a draft is cheaper, and changes nothing of the whole",
     [](const EngineCapabilities& what) { return what.drafts; }, drafts},
};

}  // namespace

std::vector<Finding> examine(const Subject& subject) {
  std::vector<Finding> findings;
  for (const Property& property : kProperties) {
    Finding finding{property.name, property.sentence, true, {}};
    try {
      Examination examination(subject, finding.violations);
      finding.claimed = property.claimed(examination.what());
      if (finding.claimed) property.examine(examination);
    } catch (const std::exception& error) {
      finding.violations.push_back(
          fmt::format("run() must come to its end, but threw: {}", error.what()));
    } catch (const Interruption&) {
      finding.violations.emplace_back("run() must not throw what it was not given, but did");
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

std::string violations(const std::vector<Finding>& findings) {
  std::string lines;
  for (const Finding& finding : findings) {
    for (const std::string& violation : finding.violations) {
      lines += fmt::format("[{}] {}\n", finding.property, violation);
    }
  }
  return lines;
}

}  // namespace bestreel::conformance
