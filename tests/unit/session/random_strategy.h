// A strategy that asks at random for all that may be asked, and once, if told so, for what may not.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/strategy.h"
#include "synthetic_engine.h"

namespace bestreel::testing {

/// What is wrong with an ask or an answer.
enum class Fault {
  kNone,
  // asks
  kKnownId,
  kNegativeId,
  kTwiceInOneAsk,
  kSeveralSteps,
  kAtTheEnd,
  kNeverReached,
  kTwin,
  kBarrierAtTheStart,
  kBarrierAtTheEnd,
  kNegativeLag,
  kLookaheadPastTheEnd,
  kNoSuchPreviewJudge,
  kPreviewByAGroup,
  kNoSuchJudge,
  kSingleByAGroup,
  kJudgementOfNobody,
  kJudgementOfTheUnknown,
  kJudgementTwice,
  kJudgementWithBarriers,
  // answers
  kStrangeParent,
  kAssignedTwice,
  kNegativeCopy,
  kCopyIsKnown,
  kCopyTwice,
  kCopyTooLate,
};
inline constexpr Fault kFirstAnswerFault = Fault::kStrangeParent;
inline constexpr Fault kLastFault = Fault::kCopyTooLate;

struct RandomOptions {
  std::uint64_t seed = 0;
  int steps = 0, stochastic_until = 0;
  std::size_t pointwise = 2;   ///< the judges with lower numbers
  bool group = true;           ///< and one more that compares
  bool lockstep = true;        ///< false: barriers for one candidate at a time
  int waves = 8;               ///< asks before it is done
  Fault fault = Fault::kNone;  ///< at the first opportunity from `fault_after` on
  int fault_after = 3;         ///< asks
};

class RandomStrategy final : public Strategy {
 public:
  /// `spoilt`: set when the fault was asked for.
  explicit RandomStrategy(RandomOptions options, bool* spoilt = nullptr)
      : o_(options),
        id_("random(" + std::to_string(options.seed) + ")"),
        digest_(mixed(options.seed)),
        spoilt_(spoilt) {
    needs_.scheduling = o_.lockstep ? Scheduling::kLockstep : Scheduling::kSequential;
    needs_.previews = needs_.lookahead = needs_.branching = needs_.renoise = needs_.drafts = true;
    needs_.stochastic = o_.stochastic_until > 0;
    needs_.judges = o_.pointwise;
    needs_.groupwise = o_.group;
    needs_.judgements = true;
  }

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }

  Ask ask() override {
    if (asks_ >= o_.waves) return {};
    random_.seed(mixed(digest_ + static_cast<std::uint64_t>(asks_++)));
    if (one_in(6)) return {};  // waits until all that has ended is told
    Ask ask;
    if (one_in(3)) ask_judgements(ask);
    if (ask.judgements.empty() || one_in(2)) ask_starts(ask);
    if (asks_ > o_.fault_after) spoil(ask);
    begin(ask);
    return ask;
  }

  using Strategy::tell;

  Answer tell(const Barrier& barrier) override {
    learn(static_cast<std::uint64_t>(barrier.step));
    const int step = barrier.step + lag_;
    for (const auto& each : barrier.candidates) {
      learn(each.result);
      Known& known = known_.at(each.id);
      known.step = std::max(known.step, step);
    }
    random_.seed(mixed(digest_));
    std::map<CandidateId, Known> next;
    Answer answer;
    for (const auto& each : barrier.candidates) {
      const Known& mine = known_.at(each.id);
      if (one_in(5)) {
        next[each.id] = mine;
        next[each.id].over = true;
        continue;
      }
      const CandidateId other = barrier.candidates[below(barrier.candidates.size())].id;
      const bool copy = step < o_.stochastic_until && other != each.id && one_in(3) &&
                        known_.at(other).draft == mine.draft;
      answer.assignments.push_back({each.id, copy ? other : each.id, copy ? random_() : 0});
      next[each.id] = copy ? copy_of(other, step, answer.assignments.back().key) : mine;
    }
    for (int more = 0; step < o_.stochastic_until && more < 3 && one_in(2); ++more) {
      const CandidateId parent = barrier.candidates[below(barrier.candidates.size())].id;
      answer.assignments.push_back({next_id_++, parent, random_()});
      const Assignment& made = answer.assignments.back();
      next[made.id] = copy_of(parent, step, made.key);
    }
    if (asks_ > o_.fault_after) spoil(barrier, step, answer.assignments);
    for (auto& [id, known] : next) known_.insert_or_assign(id, known);
    std::shuffle(answer.assignments.begin(), answer.assignments.end(), random_);
    return answer;
  }

  void tell(const Finished& finished) override {
    learn(static_cast<std::uint64_t>(finished.id));
    Known& known = known_.at(finished.id);
    known.told = true;
    if (finished.failure) {
      for (const char c : finished.failure->code) learn(static_cast<unsigned char>(c));
      // The budget: what was stopped may be asked for again. A failure is one for good.
      known.over = finished.failure->code == "budget";
      return;
    }
    known.finished = true;
    known.step = o_.steps;
    for (const auto& result : finished.results) {
      if (result) learn(*result);
    }
    if (!known.draft) finished_.push_back(finished);
  }

  void tell(const Judged& judged) override {
    learn(judged.index);
    for (const Result& result : judged.results) learn(result);
  }

  std::vector<Ranked> ranking() const override { return best_first(finished_, {}); }

 private:
  struct Known {
    State state = Noise::seed(0);  ///< without at()
    int step = 0;                  ///< how far it is known to have come
    bool draft = false, over = false, told = false, finished = false;
  };

  // ---- Chance: the same after equal tells
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  void learn(std::uint64_t what) { digest_ = mixed(digest_ ^ mixed(what)); }
  void learn(const Result& result) {
    const std::optional<double> reward = reward_of(result);
    learn(reward ? static_cast<std::uint64_t>(std::llround(*reward * 1000)) : 7);
  }

  Known copy_of(CandidateId parent, int step, std::uint64_t key) const {
    Known copy = known_.at(parent);
    copy.state = State::fork(State::at(copy.state, step), key);
    copy.step = step;
    copy.over = copy.told = copy.finished = false;
    return copy;
  }

  // ---- Asks
  void ask_starts(Ask& ask) {
    const int step = one_in(2) ? 0 : static_cast<int>(below(static_cast<std::uint64_t>(o_.steps)));
    const std::uint64_t count = 1 + below(5);
    std::set<std::string> taken;
    for (const auto& [id, known] : known_) {
      if (!known.over) taken.insert(identity(known.state, known.draft));
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::optional<State> state = state_at(step);
      if (!state) continue;
      const bool draft = one_in(6);
      if (!taken.insert(identity(*state, draft)).second) continue;
      ask.starts.push_back({next_id_++, *state, draft, ""});
    }
    if (ask.starts.empty()) {  // nobody has come so far
      ask.starts.push_back({next_id_++, Noise::seed(fresh_seed()), false, ""});
    }
    if (one_in(4)) ask.judges = std::vector<std::size_t>{below(o_.pointwise)};
    if (one_in(2)) ask.keep_states.push_back(static_cast<int>(below(o_.steps)) + 1);
    if (ask.judgements.empty() && (o_.lockstep || ask.starts.size() == 1)) ask_barriers(ask);
  }

  void ask_barriers(Ask& ask) {
    if (one_in(4)) return;
    ask.lag = static_cast<int>(below(3));
    int after = ask.starts.front().state.step();
    while (one_in(4) == false) {
      const int barrier = after + 1 + static_cast<int>(below(4));
      if (barrier + ask.lag >= o_.steps) break;
      ask.barriers.push_back(barrier);
      after = barrier + ask.lag;
    }
    if (!ask.barriers.empty() && one_in(2)) {
      const auto most = static_cast<std::uint64_t>(o_.steps - ask.barriers.back());
      ask.preview.request.lookahead = static_cast<int>(below(most + 1));
    }
    if (one_in(2)) ask.preview.request.decoder = PreviewDecoder::kFull;
    if (one_in(2)) ask.preview.judge = below(o_.pointwise);
  }

  void ask_judgements(Ask& ask) {
    std::vector<CandidateId> there;
    for (const auto& [id, known] : known_) {
      if (known.told && known.finished) there.push_back(id);
    }
    for (std::uint64_t i = 0; i < 1 + below(2) && there.size() >= 2; ++i) {
      std::shuffle(there.begin(), there.end(), random_);
      const bool group = o_.group && one_in(2);
      const std::size_t count = group ? 2 + below(there.size() - 1) : 1 + below(there.size());
      ask.judgements.push_back(
          {group ? o_.pointwise : below(o_.pointwise),
           {there.begin(), there.begin() + static_cast<std::ptrdiff_t>(count)}});
    }
  }

  std::uint64_t fresh_seed() { return o_.seed * 1000 + static_cast<std::uint64_t>(next_seed_++); }

  /// One that begins at this step, of what there has been so far.
  std::optional<State> state_at(int step) {
    if (step == 0 && !one_in(3)) return noise();
    std::vector<const Known*> there;
    for (const auto& [id, known] : known_) {
      if (!known.draft && known.step >= std::max(step, 1) && known.state.step() <= step) {
        there.push_back(&known);
      }
    }
    if (there.empty()) return std::nullopt;
    const Known& from = *there[below(there.size())];
    const int later =
        step + static_cast<int>(below(static_cast<std::uint64_t>(from.step - step + 1)));
    if (later > step && !one_in(3)) {
      return State::renoise(State::at(from.state, later), step, random_());
    }
    const State at = State::at(from.state, step);
    return one_in(4) ? at : State::fork(at, random_());
  }

  State noise() {
    Noise noise = Noise::seed(fresh_seed());
    for (std::uint64_t deeper = below(3); deeper > 0; --deeper) {
      noise =
          one_in(2) ? Noise::neighbour(noise, 0.5, random_()) : Noise::mix(noise, 0.25, random_());
    }
    return noise;
  }

  std::string identity(const State& state, bool draft) const {
    return state.trajectory_of(o_.stochastic_until).text() + (draft ? " draft" : "");
  }

  void begin(const Ask& ask) {
    lag_ = ask.lag;
    for (const NewTrajectory& start : ask.starts) {
      known_.try_emplace(start.id,
                         Known{start.state.without_at(), start.state.step(), start.draft});
    }
  }

  // ---- What may not be asked
  bool due(Fault fault) {
    if (o_.fault != fault || (spoilt_ != nullptr && *spoilt_)) return false;
    if (spoilt_ != nullptr) *spoilt_ = true;
    return true;
  }

  void spoil(Ask& ask) {
    const Fault fault = o_.fault;
    if (fault == Fault::kNone || fault >= kFirstAnswerFault) return;
    const auto with_start = [&](State state) {
      ask.starts = {{next_id_++, std::move(state), false, ""}};
      ask.barriers.clear();
    };
    const auto with_judgement = [&](JudgementAsk judgement) {
      ask.starts.clear();
      ask.barriers.clear();
      ask.judgements = {std::move(judgement)};
    };
    const auto live = std::find_if(known_.begin(), known_.end(), [](const auto& each) {
      return !each.second.over && !each.second.draft;
    });
    const auto told = std::find_if(known_.begin(), known_.end(),
                                   [](const auto& each) { return each.second.finished; });
    if (live == known_.end() || told == known_.end()) return;
    if (!due(fault)) return;
    const int steps = o_.steps;
    const State fresh = Noise::seed(fresh_seed());
    switch (fault) {
      case Fault::kKnownId:
        with_start(fresh);
        ask.starts[0].id = live->first;
        break;
      case Fault::kNegativeId:
        with_start(fresh);
        ask.starts[0].id = -1;
        break;
      case Fault::kTwiceInOneAsk:
        with_start(fresh);
        ask.starts.push_back({next_id_++, fresh, false, ""});
        break;
      case Fault::kSeveralSteps:
        with_start(fresh);
        ask.starts.push_back(
            {next_id_++, State::renoise(State::at(told->second.state, steps), 1, 1), false, ""});
        break;
      case Fault::kAtTheEnd:
        with_start(State::fork(State::at(told->second.state, steps), 5));
        break;
      case Fault::kNeverReached:
        with_start(State::at(fresh, 2));
        break;
      case Fault::kTwin:
        with_start(live->second.state);
        break;
      case Fault::kBarrierAtTheStart:
        with_start(fresh);
        ask.barriers = {0};
        ask.lag = 0;
        break;
      case Fault::kBarrierAtTheEnd:
        with_start(fresh);
        ask.barriers = {steps - 1};
        ask.lag = 1;
        break;
      case Fault::kNegativeLag:
        with_start(fresh);
        ask.barriers = {2};
        ask.lag = -1;
        break;
      case Fault::kLookaheadPastTheEnd:
        with_start(fresh);
        ask.barriers = {2};
        ask.lag = 0;
        ask.preview.request.lookahead = steps - 1;
        break;
      case Fault::kNoSuchPreviewJudge:
      case Fault::kPreviewByAGroup:
        with_start(fresh);
        ask.barriers = {2};
        ask.lag = 0;
        ask.preview.request.lookahead = 0;
        ask.preview.judge = o_.pointwise + (fault == Fault::kNoSuchPreviewJudge ? 1 : 0);
        break;
      case Fault::kNoSuchJudge:
      case Fault::kSingleByAGroup:
        with_start(fresh);
        ask.judges =
            std::vector<std::size_t>{o_.pointwise + (fault == Fault::kNoSuchJudge ? 1 : 0)};
        break;
      case Fault::kJudgementOfNobody:
        with_judgement({0, {}});
        break;
      case Fault::kJudgementOfTheUnknown:
        with_judgement({0, {next_id_ + 5}});
        break;
      case Fault::kJudgementTwice:
        with_judgement({0, {told->first, told->first}});
        break;
      default:
        with_start(fresh);
        ask.barriers = {2};
        ask.lag = 0;
        ask.preview = {};
        ask.judgements = {{0, {told->first}}};
    }
  }

  void spoil(const Barrier& barrier, int step, std::vector<Assignment>& all) {
    const Fault fault = o_.fault;
    if (fault < kFirstAnswerFault) return;
    const bool copies = fault == Fault::kCopyIsKnown || fault == Fault::kCopyTwice;
    if (copies && step >= o_.stochastic_until) return;
    if (fault == Fault::kCopyTooLate && step < o_.stochastic_until) return;
    const CandidateId there = barrier.candidates.front().id;
    const auto elsewhere = std::find_if(known_.begin(), known_.end(),
                                        [&](const auto& each) { return each.second.finished; });
    if (elsewhere == known_.end() || !due(fault)) return;
    switch (fault) {
      case Fault::kStrangeParent:
        all = {{there, elsewhere->first, 1}};
        break;
      case Fault::kAssignedTwice:
        all = {{there, there, 0}, {there, there, 0}};
        break;
      case Fault::kNegativeCopy:
        all = {{-3, there, 1}};
        break;
      case Fault::kCopyIsKnown:
        all = {{elsewhere->first, there, 1}};
        break;
      case Fault::kCopyTwice:
        all = {{next_id_, there, 1}, {next_id_ + 1, there, 1}};
        break;
      default:
        all = {{next_id_, there, 1}};
    }
  }

  const RandomOptions o_;
  const std::string id_;
  Needs needs_;
  std::uint64_t digest_;  ///< of all that was told
  bool* const spoilt_;
  std::mt19937_64 random_;
  int asks_ = 0, next_seed_ = 0, lag_ = 0;
  CandidateId next_id_ = 0;
  std::map<CandidateId, Known> known_;
  std::vector<Finished> finished_;
};

}  // namespace bestreel::testing
