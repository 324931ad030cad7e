// Low-rank additions to a denoiser, merged when its weights are loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel::wan {

/// Which of Wan2.2's two denoisers. kByKeys is the reference's default: the first (high noise), but
/// keys that begin with "transformer_2." belong to the second.
enum class LoraTarget : std::uint8_t { kByKeys, kHigh, kLow };

struct LoraFile {
  std::string path;    ///< a .safetensors file
  double scale = 1.0;  ///< strength; 0 = none
  LoraTarget target = LoraTarget::kByKeys;
};

/// "[high=|low=]FILE[=SCALE]", FILE:SCALE as well. UsageError for a scale that is no finite number.
BESTREEL_API LoraFile parse_lora(const std::string& text);

/// W' = W + sum over files of scale * s B A, computed in float32 and rounded once; s is alpha /
/// rank (or alpha / sqrt(rank)) from wherever the file's tool keeps it: alpha tensors, the
/// safetensors metadata of diffusers ("lora_adapter_metadata"), or adapter_config.json beside the
/// file; 1 without any. Sources that disagree are refused. Additions as they are (.diff, .diff_b,
/// .diff_m) count as well. Names as diffusers, peft, ComfyUI or kohya write them.
class BESTREEL_API Lora {
 public:
  using Names = std::map<std::string, std::vector<std::int64_t>>;

  /// What `files` add to the denoiser that has the tensors `names` (ours, with their shapes);
  /// `second`: to the low-noise one of `denoisers`. Errors: "file_missing",
  /// "safetensors_malformed", "lora_unsupported" (a name of no layer, a half of a pair, a rank or
  /// shape that does not fit, a scale that is not finite, DoRA, LoHa, LoKr), with the file; and
  /// UsageError for a scale or a target that cannot be.
  static std::shared_ptr<const Lora> open(const std::vector<LoraFile>& files, const Names& names,
                                          bool second = false, int denoisers = 1);

  /// `weight` itself where no file changes it. Error "lora_unsupported" where the sum would not be
  /// finite because of a file.
  at::Tensor merged(const std::string& name, const at::Tensor& weight) const;

  /// Sentences about keys that were passed over, as the reference passes over them.
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool empty() const { return deltas_.empty(); }

 private:
  friend class LoraReader;
  struct Delta {
    at::Tensor down, up, full;  // A (rank, in) and B (out, rank), or an addition as it is
    double scale = 1;
    std::string file;
  };
  std::map<std::string, std::vector<Delta>> deltas_;
  std::vector<std::string> warnings_;
};

}  // namespace bestreel::wan
