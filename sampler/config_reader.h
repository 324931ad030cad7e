// Private: one object of a config file, read key by key; errors name the file and the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/base/fail.h"
#include "core/base/json_file.h"

namespace bestreel {

class ConfigReader {
 public:
  /// `code` is the error's word for a setting that this engine does not do, `remedy` what helps.
  ConfigReader(std::string file, std::string code,
               std::string remedy = "use a checkpoint of a supported family (Wan text-to-video)")
      : file_(std::move(file)),
        code_(std::move(code)),
        remedy_(std::move(remedy)),
        object_(parse_json(quote_infinities(read_file(file_)), file_)) {
    if (!object_.is_object())
      fail("json_malformed", "checkpoint", "{} must be a JSON object but is not: download it again",
           file_);
  }

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  const nlohmann::json& at(const char* key) const { return object_[key]; }
  const std::string& file() const { return file_; }

  /// Leaves `value` as it is where the file is silent.
  template <typename T>
  void read(const char* key, T& value) const {
    if (!has(key)) return;
    try {
      value = object_[key].get<T>();
    } catch (const nlohmann::json::exception&) {
      fail("json_malformed", "checkpoint", "{}: \"{}\" has the wrong type: {}", file_, key,
           object_[key].dump());
    }
  }

  void read_positive(const char* key, std::int64_t& value) const {
    read(key, value);
    if (value < 1) unsupported(fmt::format("\"{}\" must be at least 1 but is {}", key, value));
  }

  /// A setting that changes what is computed and that this engine knows in one form only.
  template <typename T>
  void require(const char* key, const T& only) const {
    if (!has(key) || object_[key] == nlohmann::json(only)) return;
    unsupported(fmt::format("\"{}\" is {}, but this engine computes with {} only", key,
                            object_[key].dump(), nlohmann::json(only).dump()));
  }

  [[noreturn]] void unsupported(const std::string& what) const {
    fail(code_, "checkpoint", "{}: {}: {}", file_, what, remedy_);
  }

 private:
  /// Python writes -Infinity, Infinity and NaN, which are no JSON: they become texts, so that who
  /// reads the key decides.
  static std::string quote_infinities(const std::string& text) {
    std::string out;
    bool quoted = false, escaped = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"' && !escaped) quoted = !quoted;
      escaped = quoted && text[i] == '\\' && !escaped;
      std::string_view found;
      if (!quoted)
        for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
          if (found.empty() && text.compare(i, word.size(), word) == 0) found = word;
      if (found.empty()) {
        out += text[i];
      } else {
        out += '"';
        out += found;
        out += '"';
        i += found.size() - 1;
      }
    }
    return out;
  }

  std::string file_, code_, remedy_;
  nlohmann::json object_;
};

}  // namespace bestreel
