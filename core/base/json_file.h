// Private to the libraries: JSON with errors that are sentences. Not installed (needs nlohmann).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel {

/// `name` is the file in the error "json_malformed".
inline nlohmann::json parse_json(std::string_view bytes, const std::string& name) {
  try {
    return nlohmann::json::parse(bytes.begin(), bytes.end());
  } catch (const nlohmann::json::parse_error& error) {
    fail("json_malformed", "json",
         "{} must be a JSON text but it breaks off or breaks the grammar at byte {}: "
         "download or write the file again",
         name, error.byte);
  } catch (const nlohmann::json::exception&) {
    fail("json_malformed", "json",
         "{} must be a JSON text but holds a number that is out of range: download or write the "
         "file again",
         name);
  }
}

/// Errors: "file_missing", "file_unreadable", "json_malformed".
inline nlohmann::json read_json(const std::string& path) {
  return parse_json(read_file(path), path);
}

}  // namespace bestreel
