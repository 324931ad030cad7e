// The scale of a LoRA where peft keeps it. Torch-free. Private.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace bestreel::wan {

/// peft's LoraConfig, as far as it decides the scale.
class PeftConfig {
 public:
  /// `text` is a JSON object whose keys may begin with `prefix` ("transformer."), which is taken
  /// off; others are left out. `source` names it in errors ("json_malformed", "lora_unsupported").
  /// nullopt where it holds no rank, alpha or kind under that prefix.
  static std::optional<PeftConfig> read(const std::string& text, const std::string& prefix,
                                        const std::string& source);

  /// alpha / rank of a layer that goes by two names. Error "lora_unsupported" where the
  /// configuration has another rank than the matrices.
  double scale(const std::string& file, const std::string& layer, const std::string& other_name,
               std::int64_t rank) const;
  const std::string& source() const { return source_; }

 private:
  double pattern(const std::map<std::string, double>& patterns, const std::string& layer,
                 const std::string& other_name, double otherwise) const;

  std::string source_;
  double rank_ = 8, alpha_ = 8;  // peft's defaults
  bool square_root_ = false;     // rank-stabilised
  std::map<std::string, double> ranks_, alphas_;
};

}  // namespace bestreel::wan
