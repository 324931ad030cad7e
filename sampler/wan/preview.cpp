#include "sampler/wan/preview.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_lstsq.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>

#include "core/base/fail.h"

namespace bestreel::wan {
namespace {

// (1, C, T, H, W) to (T H W, C)
at::Tensor pixels(const at::Tensor& latents) {
  return latents.squeeze(0).permute({1, 2, 3, 0}).reshape({-1, latents.size(1)}).to(at::kFloat);
}

}  // namespace

LinearPreview LinearPreview::fit(const Pipeline& pipeline, const at::Tensor& latents) {
  const c10::InferenceMode no_grad;
  const at::Tensor rows = pixels(latents).cpu();
  if (rows.size(0) < 2 * (rows.size(1) + 1))
    fail_usage("preview",
               "a linear preview of {} channels needs at least {} latent pixels but got "
               "{}: give a larger or longer video",
               rows.size(1), 2 * (rows.size(1) + 1), rows.size(0));
  const std::int64_t frames = latents.size(2), height = latents.size(3), width = latents.size(4);
  const at::Tensor values = pipeline.decode_values(latents).cpu();
  // The first latent frame is one frame of the video, each later one several: their mean.
  const at::Tensor small = at::adaptive_avg_pool2d(values, {height, width});
  at::Tensor target = small.narrow(0, 0, 1);
  if (frames > 1) {
    const at::Tensor later = small.narrow(0, 1, small.size(0) - 1);
    target = at::cat({target, later.view({frames - 1, -1, 3, height, width}).mean(1)});
  }
  const at::Tensor colours = target.permute({0, 2, 3, 1}).reshape({-1, 3});
  const at::Tensor with_one = at::cat({rows, at::ones({rows.size(0), 1}, rows.options())}, 1);
  const at::Tensor map = std::get<0>(at::linalg_lstsq(with_one, colours, std::nullopt, "gelsd"));
  LinearPreview preview;
  preview.weight_ = map.narrow(0, 0, rows.size(1)).to(latents.device());
  preview.bias_ = map[rows.size(1)].to(latents.device());
  return preview;
}

at::Tensor LinearPreview::frames(const at::Tensor& latents) const {
  const c10::InferenceMode no_grad;
  const at::Tensor colours = at::addmm(bias_, pixels(latents), weight_);
  return colours.mul(0.5)
      .add_(0.5)
      .clamp_(0, 1)
      .mul_(255)
      .to(at::kByte)
      .view({latents.size(2), latents.size(3), latents.size(4), 3})
      .permute({0, 3, 1, 2})
      .contiguous();
}

}  // namespace bestreel::wan
