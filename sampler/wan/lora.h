// Low-rank additions to a transformer, merged when its weights are loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel::wan {

struct LoraFile {
  std::string path;    ///< a .safetensors file
  double scale = 1.0;  ///< strength; 0 = none
};

/// W' = W + sum over files of scale * (alpha / rank) * B A, computed in float32 and rounded once.
/// Names as diffusers saves them (transformer.blocks.0.attn1.to_q.lora_A.weight) or as ComfyUI and
/// the original code do (diffusion_model.blocks.0.self_attn.q.lora_down.weight, with .alpha).
class BESTREEL_API Lora {
 public:
  /// Errors: "file_missing", "safetensors_malformed", "lora_unsupported" (a name of no layer, a
  /// half of a pair, a rank or shape that does not fit: the file belongs to another model).
  /// `names` are the tensors of the transformer that it shall fit.
  static std::shared_ptr<const Lora> open(
      const std::vector<LoraFile>& files,
      const std::map<std::string, std::vector<std::int64_t>>& names);

  /// `weight` itself where no file changes it.
  at::Tensor merged(const std::string& name, const at::Tensor& weight) const;

 private:
  struct Delta {
    at::Tensor down, up, full;  // A (rank,in) and B (out,rank), or an addition as it is
    double scale = 1;
  };
  std::map<std::string, std::vector<Delta>> deltas_;
};

}  // namespace bestreel::wan
