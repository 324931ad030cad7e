// What can be done with the values of a template: operators, filters, tests, methods, functions.
// Private to jinja*.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "reward/videoscore2/jinja.h"

namespace bestreel::videoscore2::jinja {

inline constexpr std::size_t kMaxText = 1 << 20;  // of any text and of what is written, in bytes

/// The end of a sentence, without the line.
struct ValueError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::vector<Value> values;
  Map keywords;
};

bool truth(const Value& value);
/// As Python's str(); of lists and dicts as its repr().
std::string to_text(const Value& value);
/// What a loop sees: the items of a list, the keys of a dict, the characters of a text; nothing of
/// what is not defined. nullopt: no loop is possible.
std::optional<List> items_of(const Value& value);

Value element(const Value& object, std::int64_t index);
Value slice_of(const Value& object, std::optional<std::int64_t> start,
               std::optional<std::int64_t> stop, std::optional<std::int64_t> step);
Value binary(std::string_view sign, const Value& left, const Value& right);
bool compare(std::string_view sign, const Value& left, const Value& right);

Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments);
bool apply_test(std::string_view name, const Value& value, const Arguments& arguments);
Value call_method(std::string_view name, const Value& object, const Arguments& arguments);
Value call_function(std::string_view name, const Arguments& arguments);

}  // namespace bestreel::videoscore2::jinja
