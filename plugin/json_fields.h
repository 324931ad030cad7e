// Private to the library: fields of stored JSON, taken strictly. Not installed (needs nlohmann).
//
// nlohmann's own conversions turn true into 1, 3.7 into 3 and 300 into a small integer's 44: a file
// that was touched by hand would be misread in silence.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/base/fail.h"

namespace bestreel {

/// `json` as bool, string, double or an integer that it fits in; `name` is for the sentence.
/// Throws Error "json_malformed".
template <typename T>
T strictly(const nlohmann::ordered_json& json, const char* name) {
  if constexpr (std::same_as<T, bool>) {
    if (json.is_boolean()) return json.get<bool>();
  } else if constexpr (std::same_as<T, std::string>) {
    if (json.is_string()) return json.get<std::string>();
  } else if constexpr (std::floating_point<T>) {
    if (json.is_number()) return json.get<T>();
  } else if (json.is_number_unsigned()) {
    const auto value = json.get<std::uint64_t>();
    if (std::in_range<T>(value)) return static_cast<T>(value);
  } else if (json.is_number_integer()) {
    const auto value = json.get<std::int64_t>();
    if (std::in_range<T>(value)) return static_cast<T>(value);
  }
  const char* kind = std::same_as<T, bool>          ? "true or false"
                     : std::same_as<T, std::string> ? "a string"
                     : std::floating_point<T>       ? "a number"
                                                    : "an integer in range";
  fail("json_malformed", "json", "{} must be {} but is {}: use a file that Bestreel wrote", name,
       kind, json.type_name());
}

template <typename T>
T strictly_at(const nlohmann::ordered_json& object, const char* name) {
  return strictly<T>(object.at(name), name);
}

template <typename T>
std::vector<T> strict_list(const nlohmann::ordered_json& object, const char* name) {
  const nlohmann::ordered_json& list = object.at(name);
  if (!list.is_array()) {
    fail("json_malformed", "json", "{} must be a list but is {}: use a file that Bestreel wrote",
         name, list.type_name());
  }
  std::vector<T> values;
  values.reserve(list.size());
  for (const nlohmann::ordered_json& value : list) values.push_back(strictly<T>(value, name));
  return values;
}

}  // namespace bestreel
