#include "sampler/wan/layers.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/linear.h>

#include <fmt/ranges.h>

#include "core/base/fail.h"

namespace bestreel::wan {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

Weights::Weights(const std::string& file, Part part, at::ScalarType dtype, at::Device device,
                 std::shared_ptr<const Lora> lora)
    : file_(file),
      checkpoint_(Checkpoint::open_file(file)),
      names_(stored_names(part, file, checkpoint_.entries())),
      dtype_(dtype),
      device_(device),
      lora_(std::move(lora)) {}

at::Tensor Weights::stored(const std::string& name, const std::vector<std::int64_t>& shape,
                           at::Device device) const {
  const auto at = names_.find(name);
  const std::string& theirs = at == names_.end() ? name : at->second;
  // Converted on the device: the file's bytes are what travels.
  const Checkpoint there = checkpoint_.to(device);
  // ggml has four dimensions and leaves out leading ones: tools fold a convolution over frames into
  // them, and write the modulation (1, 6, dim) as (6, dim).
  const bool fold = shape.size() == 5 || (shape.size() > 1 && shape[0] == 1);
  const at::Tensor values = fold && at != names_.end() && file_.ends_with(".gguf")
                                ? folded(there.tensor(theirs), theirs, shape)
                                : there.tensor(theirs, shape);
  std::string layer = name;
  if (layer.ends_with(".weight")) layer.resize(layer.size() - 7);
  for (const char* suffix : {".scale_weight", ".weight_scale"}) {
    const auto beside = names_.find(layer + suffix);
    if (beside == names_.end()) continue;
    const at::Tensor scale = there.tensor(beside->second).to(at::kFloat);
    if (scale.numel() != 1 && scale.numel() != shape[0])
      fail(
          "checkpoint_unsupported", "checkpoint",
          "{}: the scale {} must be one number or one for each of {} rows but holds {}: use a file "
          "with such scales",
          file_, beside->second, shape[0], scale.numel());
    if (!at::isfinite(scale).all().item<bool>())
      fail("checkpoint_unsupported", "checkpoint",
           "{}: the scale {} must be finite but is not: download the file again", file_,
           beside->second);
    std::vector<std::int64_t> rows(shape.size(), 1);
    if (scale.numel() != 1) rows[0] = shape[0];
    return values.to(at::kFloat).mul_(scale.reshape(rows));
  }
  return values;
}

at::Tensor Weights::folded(const at::Tensor& values, const std::string& theirs,
                           const std::vector<std::int64_t>& shape) const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  if (values.numel() != count || values.dim() == 0 || values.size(-1) != shape.back())
    fail(
        "shape_mismatch", "checkpoint",
        "{}: the tensor {} must have the shape [{}] by the model's configuration but has [{}]: the "
        "two belong to different models",
        file_, theirs, fmt::join(shape, ", "), fmt::join(values.sizes(), ", "));
  return values.reshape(shape);
}

at::Tensor Weights::load(const std::string& name, const std::vector<std::int64_t>& shape,
                         at::ScalarType dtype) const {
  if (!lora_) return stored(name, shape, device_).to(dtype);
  at::Tensor values = stored(name, shape, at::kCPU);
  if (at::isFloat8Type(values.scalar_type())) values = values.to(at::kFloat);
  return lora_->merged(name, values).to(device_).to(dtype);
}

at::Tensor Weights::tensor(const std::string& name, const std::vector<std::int64_t>& shape) const {
  return load(name, shape, dtype_);
}

at::Tensor Weights::to_fp32(const std::string& name, const std::vector<std::int64_t>& shape) const {
  return load(name, shape, at::kFloat);
}

Linear Weights::linear(const std::string& name, std::int64_t out, std::int64_t in,
                       bool bias) const {
  return {tensor(name + ".weight", {out, in}), bias ? tensor(name + ".bias", {out}) : at::Tensor()};
}

Linear Weights::wide_linear(const std::string& name, std::int64_t out, std::int64_t in) const {
  return {to_fp32(name + ".weight", {out, in}), to_fp32(name + ".bias", {out})};
}

}  // namespace bestreel::wan
