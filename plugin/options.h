// One option of a command, said once: what the parser, the help, the shells' completion, the man
// page and every JSON body read. A judge's, a strategy's or an engine's folder describes its own
// (registration.h).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// What a value is, and so what OptionValue holds.
enum class OptionKind {
  kFlag,      ///< bool; takes no value on the command line
  kText,      ///< string
  kPath,      ///< string; kept with a run as an absolute path
  kChoice,    ///< string, one of OptionSpec::choices
  kInteger,   ///< int64
  kSeed,      ///< uint64; unless `low` is 0, "-1" is int64 -1: to be drawn
  kReal,      ///< double, finite
  kSize,      ///< vector<int64> {width, height}; "832x480"
  kMemory,    ///< int64 bytes; "24G"
  kIntegers,  ///< vector<int64>; "8,3"
  kSeeds,     ///< vector<uint64>; "1,5"
  kReals,     ///< vector<double>; "1,2.5"
  kTexts,     ///< vector<string>; may be given several times
  kPaths,     ///< the same, of paths; `choices` are words that are none
};

/// Where a value is kept.
enum class OptionScope {
  kRecipe,  ///< decides the result: stored with the run, resume and replay obey it
  kPlace,   ///< where things lie and how fast it goes: stored; only what reads is obeyed
  kCall,    ///< of this call alone, such as --json and whatever names a file to write
};

using OptionValue =
    std::variant<bool, std::int64_t, std::uint64_t, double, std::string, std::vector<std::int64_t>,
                 std::vector<std::uint64_t>, std::vector<double>, std::vector<std::string>>;

struct OptionSpec {
  std::string name;                  ///< "judge-weights": --judge-weights, JSON "judge_weights"
  char letter = 0;                   ///< -p; 0: none
  std::vector<std::string> aliases;  ///< other projects' words for it, such as "num-frames"
  OptionKind kind = OptionKind::kText;
  OptionScope scope = OptionScope::kRecipe;
  std::string metavar;   ///< of the help, such as "FOLDER"
  std::string help;      ///< half a sentence
  std::string group;     ///< heading of the help; empty: "Options"
  std::string fallback;  ///< the value without the option, as a user would write it; empty: none
  std::vector<std::string> choices = {};
  std::string hint = {};  ///< after the refusal of a word that is none of them
  double low = -std::numeric_limits<double>::infinity();  ///< of every number; inclusive
  double high = std::numeric_limits<double>::infinity();
  bool above = false;                      ///< `low` itself is refused
  std::string zero;                        ///< a word for 0, such as "none"
  std::string example;                     ///< of a list, such as "8,3"
  std::vector<std::string> prefixes = {};  ///< words before a path, such as "high="
};

/// The option's value from its words on the command line, one for each time it was given.
/// UsageError
/// "[op]" for what is no such value: a number out of range, NaN, an overflow, trailing text, a word
/// that is no choice (with the nearest), an option given twice.
BESTREEL_API OptionValue parse_option(const std::string& op, const OptionSpec& spec,
                                      std::span<const std::string> words);

/// Its inverse: the words that parse to `value`.
BESTREEL_API std::vector<std::string> option_words(const OptionSpec& spec,
                                                   const OptionValue& value);

/// The one of `names` that `word` is likely a slip of; empty: none is near.
BESTREEL_API std::string nearest_name(const std::string& word, std::span<const std::string> names);

/// ", did you mean X?" or nothing, for the end of a sentence.
BESTREEL_API std::string did_you_mean(const std::string& word, std::span<const std::string> names);

/// "a, b or c".
BESTREEL_API std::string one_of(std::span<const std::string> words);

/// Options by their names, checked. What has a fallback is always there.
class BESTREEL_API OptionValues {
 public:
  bool has(const std::string& name) const { return entries_.contains(name); }
  /// By the user, not by a fallback.
  bool given(const std::string& name) const {
    const auto found = entries_.find(name);
    return found != entries_.end() && found->second.given;
  }
  void set(const std::string& name, OptionValue value, bool given = true) {
    entries_[name] = {std::move(value), given};
  }
  void erase(const std::string& name) { entries_.erase(name); }
  /// All of `other`'s.
  void take(const OptionValues& other) {
    for (const auto& [name, entry] : other.entries_) entries_[name] = entry;
  }
  const OptionValue& at(const std::string& name) const;

  // Of the kind that the option has; what is not there is false, "" and an empty list. Numbers must
  // be there, or `otherwise` is given.
  bool flag(const std::string& name) const { return has(name) && get<bool>(name); }
  std::string text(const std::string& name) const {
    return has(name) ? get<std::string>(name) : "";
  }
  std::int64_t integer(const std::string& name) const { return get<std::int64_t>(name); }
  std::int64_t integer(const std::string& name, std::int64_t otherwise) const {
    return has(name) ? integer(name) : otherwise;
  }
  double real(const std::string& name) const { return get<double>(name); }
  double real(const std::string& name, double otherwise) const {
    return has(name) ? real(name) : otherwise;
  }
  std::uint64_t seed(const std::string& name) const { return get<std::uint64_t>(name); }
  template <typename T>
  std::vector<T> list(const std::string& name) const {
    return has(name) ? get<std::vector<T>>(name) : std::vector<T>{};
  }

 private:
  struct Entry {
    OptionValue value;
    bool given = false;
  };
  template <typename T>
  const T& get(const std::string& name) const {
    return std::get<T>(at(name));
  }
  std::map<std::string, Entry> entries_;
};

}  // namespace bestreel
