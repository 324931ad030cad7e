#include "sampler/wan/layers.h"

#include <ATen/ops/linear.h>

namespace bestreel::wan {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

Weights::Weights(const std::string& folder, const std::string& stem, at::ScalarType dtype,
                 at::Device device, std::shared_ptr<const Lora> lora)
    : checkpoint_(Checkpoint::open(folder, stem)),
      dtype_(dtype),
      device_(device),
      lora_(std::move(lora)) {}

at::Tensor Weights::load(const std::string& name, const std::vector<std::int64_t>& shape,
                         at::ScalarType dtype) const {
  // Converted on the device: the file's bytes are what travels.
  if (!lora_) return checkpoint_.to(device_).tensor(name, shape).to(dtype);
  return lora_->merged(name, checkpoint_.tensor(name, shape)).to(device_).to(dtype);
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
