// What a judge says of one video: a Judgement with its reasons, or a Failure. Never a silent zero.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

struct Dimension {
  std::string name;     ///< such as "visual_quality"
  int score = 0;        ///< 1..5, what the judge said (or the rounded expected value)
  double expected = 0;  ///< 1..5, sum of s p(s); monotone in the judge's opinion
  /// VideoScore2's published soft score, best digit x p(best) / sum p(1..5): 0.2..5, not monotone.
  std::optional<double> reference_soft;
  std::optional<std::array<double, 5>> probabilities;  ///< p(1)..p(5), renormalised to 1
  std::optional<double> std;                           ///< over several samples, same unit
};

/// How a language-model judge came to its words; absent for judges that do not read or write text.
struct Transcript {
  bool forced = false;                        ///< the final block was completed for the model
  std::array<std::int64_t, 3> grid_thw{};     ///< patches in time, height, width
  std::vector<std::int64_t> prompt_tokens;    ///< ids, video placeholders expanded
  std::vector<std::int64_t> output_tokens;    ///< ids, forced block included
  std::vector<std::int64_t> digit_positions;  ///< indices into output_tokens, one per dimension
  std::string template_hash;                  ///< sha256 of the query template, hexadecimal
};

struct Judgement {
  std::vector<Dimension> dimensions;
  double reward = 0;  ///< the scalar that strategies see: by default the mean of `expected`
  std::string rationale;
  std::vector<std::pair<std::string, double>> measures;  ///< named raw measures, judge's own units
  std::vector<std::int64_t> frames;                      ///< indices of the frames that were seen
  std::string judge;                                     ///< JudgeInfo::id of who said it
  double seconds = 0;                                    ///< wall clock; not part of the judgement
  std::optional<Transcript> transcript;
};

struct Failure {
  std::string code;      ///< stable word, such as "video_corrupt" or "cancelled"
  std::string sentence;  ///< what happened, the file and the remedy
};

/// Whether a code says that the machine gave out and not that something is wrong with a video or a
/// candidate: then it is tried again, and never recorded. They are "out_of_memory", "disk_full",
/// "write_failed", "store_failed", "too_many_files" and "thread_failed".
BESTREEL_API bool is_machine_failure(std::string_view code);

using Result = std::variant<Judgement, Failure>;

inline bool failed(const Result& result) { return std::holds_alternative<Failure>(result); }

/// One JSON object on one line, keys in a fixed order, numbers in shortest round-trip form:
/// {"dimensions":[...],"reward":...,...} or {"failure":{"code":...,"sentence":...}}.
/// `with_seconds` false leaves the clock out, for comparison and canonical export. Bytes that are
/// not UTF-8 become U+FFFD. Throws Error "judge_broken" where a number is not finite or two
/// measures have one name: JSON cannot hold it, and null would be read as a score by someone.
BESTREEL_API std::string to_json(const Result& result, bool with_seconds = true);

/// The inverse of to_json. Throws Error "json_malformed".
BESTREEL_API Result result_from_json(const std::string& json);

}  // namespace bestreel
