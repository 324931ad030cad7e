#include "plugin/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/base/fail.h"
#include "plugin/plan.h"

namespace bestreel {
namespace {

/// The whole of `text` as a number; nullopt for anything else, an overflow among it.
template <typename T>
std::optional<T> number(const std::string& text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

std::string bound(const OptionSpec& spec, double value) {
  return spec.kind == OptionKind::kReal || spec.kind == OptionKind::kReals
             ? fmt::format("{}", value)
             : fmt::format("{:.0f}", value);
}

/// "between 1 and 1000", "at least 1", "positive", "above 1"; "" where every number will do.
std::string range_text(const OptionSpec& spec) {
  const bool low = std::isfinite(spec.low), high = std::isfinite(spec.high);
  if (low && spec.above && spec.low == 0 && !high) return "positive";
  if (low && high && !spec.above)
    return fmt::format("between {} and {}", bound(spec, spec.low), bound(spec, spec.high));
  std::string text;
  if (low) text = fmt::format("{} {}", spec.above ? "above" : "at least", bound(spec, spec.low));
  if (high) text += fmt::format("{}at most {}", low ? " and " : "", bound(spec, spec.high));
  return text;
}

bool in_range(const OptionSpec& spec, double value) {
  return std::isfinite(value) && value <= spec.high &&
         (spec.above ? value > spec.low : value >= spec.low);
}

[[noreturn]] void refuse(const std::string& op, const OptionSpec& spec, const std::string& must,
                         const std::string& got) {
  fail_usage(op, "{} must be {}, but got {}", spec.name, must, got.empty() ? "nothing" : got);
}

template <typename T>
T checked_number(const std::string& op, const OptionSpec& spec, const std::string& text) {
  if (!spec.zero.empty() && text == spec.zero) return T{};
  const std::optional<T> value = number<T>(text);
  if (value && in_range(spec, static_cast<double>(*value))) return *value;
  const std::string range = range_text(spec);
  std::string must = std::is_floating_point_v<T> ? "a number" : "a whole number";
  if (value && std::isfinite(static_cast<double>(*value)) && !range.empty()) {
    must = range;
  } else if (!range.empty()) {
    must += range == "positive" ? " above 0" : " " + range;
  }
  if (!spec.zero.empty()) must += ", or " + spec.zero;
  refuse(op, spec, must, text);
}

/// "-1" as int64, which means: to be drawn.
OptionValue checked_seed(const std::string& op, const OptionSpec& spec, const std::string& text) {
  const bool drawn = spec.low != 0;
  if (drawn && text == "-1") return std::int64_t{-1};
  const std::optional<std::uint64_t> value = number<std::uint64_t>(text);
  if (!value) {
    refuse(op, spec,
           fmt::format("a whole number from 0 to 2^64 - 1{}",
                       drawn ? ", or -1 for one that is drawn" : ""),
           text);
  }
  return *value;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

template <typename T>
OptionValue checked_list(const std::string& op, const OptionSpec& spec, const std::string& text) {
  std::vector<T> values;
  for (const std::string& part : split(text)) {
    const std::optional<T> value = number<T>(part);
    if (!value || !std::isfinite(static_cast<double>(*value))) {
      refuse(op, spec, fmt::format("numbers with commas, such as {}", spec.example), text);
    }
    if (!in_range(spec, static_cast<double>(*value))) {
      refuse(op, spec,
             fmt::format("numbers {} with commas, such as {}", range_text(spec), spec.example),
             text);
    }
    values.push_back(*value);
  }
  return values;
}

OptionValue checked_size(const std::string& op, const OptionSpec& spec, const std::string& text) {
  const std::size_t cross = text.find_first_of("xX*");
  if (cross != std::string::npos) {
    const auto width = number<std::int64_t>(text.substr(0, cross));
    const auto height = number<std::int64_t>(text.substr(cross + 1));
    if (width && height && in_range(spec, static_cast<double>(*width)) &&
        in_range(spec, static_cast<double>(*height))) {
      return std::vector<std::int64_t>{*width, *height};
    }
  }
  refuse(op, spec, fmt::format("WIDTHxHEIGHT, such as {}, both {}", spec.example, range_text(spec)),
         text);
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

/// Lower case and one kind of dash.
std::string plain(const std::string& word) {
  std::string text;
  for (const char c : word) {
    text +=
        c == '_' || c == '.' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

}  // namespace

std::string one_of(std::span<const std::string> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

std::string nearest_name(const std::string& word, std::span<const std::string> names) {
  const std::string slip = plain(word);
  std::string best;
  std::size_t fewest = std::max<std::size_t>(1, slip.size() / 3) + 1;
  for (const std::string& name : names) {
    const std::string right = plain(name);
    // Half a name is a slip as well: "negative" of "negative-prompt".
    const bool part = slip.size() >= 3 && right.starts_with(slip + "-");
    const std::size_t edits = part ? 1 : distance(slip, right);
    if (edits >= fewest) continue;
    fewest = edits;
    best = name;
  }
  return best;
}

std::string did_you_mean(const std::string& word, std::span<const std::string> names) {
  const std::string near = nearest_name(word, names);
  return near.empty() ? "" : fmt::format(", did you mean {}?", near);
}

OptionValue parse_option(const std::string& op, const OptionSpec& spec,
                         std::span<const std::string> words) {
  if (spec.kind == OptionKind::kTexts || spec.kind == OptionKind::kPaths) {
    return std::vector<std::string>(words.begin(), words.end());
  }
  if (words.size() > 1) {
    if (spec.kind == OptionKind::kFlag) return true;
    fail_usage(op, "{} may be given once, but got {}", spec.name, fmt::join(words, " and "));
  }
  const std::string text = words.empty() ? "" : words[0];
  switch (spec.kind) {
    case OptionKind::kFlag:
      return true;
    case OptionKind::kChoice:
      if (std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end())
        fail_usage(op, "{} must be {}, but got {}{}{}", spec.name, one_of(spec.choices),
                   text.empty() ? "nothing" : text, did_you_mean(text, spec.choices), spec.hint);
      return text;
    case OptionKind::kInteger:
      return checked_number<std::int64_t>(op, spec, text);
    case OptionKind::kSeed:
      return checked_seed(op, spec, text);
    case OptionKind::kReal:
      return checked_number<double>(op, spec, text);
    case OptionKind::kSize:
      return checked_size(op, spec, text);
    case OptionKind::kMemory:
      return parse_memory(op, text);
    case OptionKind::kIntegers:
      return checked_list<std::int64_t>(op, spec, text);
    case OptionKind::kSeeds:
      return checked_list<std::uint64_t>(op, spec, text);
    case OptionKind::kReals:
      return checked_list<double>(op, spec, text);
    default:
      return text;
  }
}

std::vector<std::string> option_words(const OptionSpec& spec, const OptionValue& value) {
  return std::visit(
      [&](const auto& v) -> std::vector<std::string> {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          return {};
        } else if constexpr (std::is_same_v<T, std::string>) {
          return {v};
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return v;
        } else if constexpr (std::is_arithmetic_v<T>) {
          return {!spec.zero.empty() && v == T{} ? spec.zero : fmt::format("{}", v)};
        } else {
          return {fmt::format("{}", fmt::join(v, spec.kind == OptionKind::kSize ? "x" : ","))};
        }
      },
      value);
}

const OptionValue& OptionValues::at(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    fail("option_missing", "options", "{} must have a value here, but has none: please report this",
         name);
  return found->second.value;
}

}  // namespace bestreel
