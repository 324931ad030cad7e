// Private to the report: who won, by how much, why, and whether the judge can tell.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel::report {

/// Winner minus runner-up in one dimension of one judge.
struct DimensionGap {
  std::size_t judge = 0;
  std::string name;
  double difference = 0;
};

/// The lead beside the spread of the readings it rests on, in the unit of the reward.
struct Noise {
  std::size_t judge = 0;
  double lead = 0;
  double spread = 0;
  bool within() const { return lead <= spread; }
};

struct Verdict {
  enum class Kind {
    kNoVideos,  ///< the run holds none
    kPending,   ///< nothing has a reward yet and the run goes on
    kNoWinner,  ///< the run is over and nothing has a reward
    kAlone,     ///< one video has a reward
    kReviewed,  ///< the first has the word of a judge that has not judged the second
    kTie,       ///< the first two have the same reward
    kLead,      ///< one is ahead
  };
  Kind kind = Kind::kNoVideos;
  bool final = false;                 ///< the run is finished
  const Candidate* first = nullptr;   ///< winner, or who leads so far
  const Candidate* second = nullptr;  ///< the best of the others that have a reward
  double lead = 0;  ///< in the unit of Candidate::reward; 0 where the two are of different judges
  std::vector<DimensionGap> gaps;  ///< of the judges that judged both, largest first per judge
  /// One entry per judge that read both videos several times. With weights over several judges
  /// their rewards have one unit and there is one entry, of the combined reward.
  std::vector<Noise> noise;
  bool within_noise = false;  ///< true when no entry of `noise` tells the two apart
};

/// Points into `view`. Spread: the standard deviations over readings that Dimension::std holds. The
/// dimensions of one reading hang together (one text leads to all of them), so the spread of their
/// mean is taken as the mean of their spreads, its upper bound; two videos are read independently,
/// so the spread of a difference is the root of the sum of squares.
Verdict verdict_of(const RunView& view);

/// Not all rewards are of the same judges: see Candidate::decided_by.
bool decided_by_one(const RunView& view);

/// Every judge that was to see it has answered, and every answer is a Failure.
bool all_failed(const Candidate& candidate);

const Judgement* judgement_of(const Candidate& candidate, std::size_t judge);

}  // namespace bestreel::report
