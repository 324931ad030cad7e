#include "reward/videoscore2/frames.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/round.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {
namespace {

// Constants of qwen-vl-utils 0.0.14 (vision_process.py), which no file of a checkpoint states.
constexpr std::int64_t kFrameFactor = 2;
constexpr std::int64_t kMinFrames = 4;
constexpr std::int64_t kMaxFrames = 768;
constexpr double kMinTokensPerFrame = 128;
constexpr double kMaxTokensPerFrame = 768;
constexpr double kModelTokens = 128000 * 0.9;
constexpr double kMaxRatio = 200;

// Python's round(): half to even.
std::int64_t round_to(double value, std::int64_t factor) {
  return static_cast<std::int64_t>(std::nearbyint(value / static_cast<double>(factor))) * factor;
}
std::int64_t floor_to(double value, std::int64_t factor) {
  return static_cast<std::int64_t>(std::floor(value / static_cast<double>(factor))) * factor;
}
std::int64_t ceil_to(double value, std::int64_t factor) {
  return static_cast<std::int64_t>(std::ceil(value / static_cast<double>(factor))) * factor;
}

void check_ratio(std::int64_t height, std::int64_t width) {
  const double ratio = static_cast<double>(std::max(height, width)) /
                       static_cast<double>(std::max<std::int64_t>(1, std::min(height, width)));
  if (ratio > kMaxRatio)
    fail("video_unsuitable", "frames",
         "a frame's longer side must be at most {} times its shorter one but the video is {}x{}: "
         "crop it first",
         kMaxRatio, width, height);
}

at::Tensor bicubic(const at::Tensor& frames, std::int64_t height, std::int64_t width) {
  return at::_upsample_bicubic2d_aa(frames, {height, width}, /*align_corners=*/false);
}

}  // namespace

std::vector<std::int64_t> choose_frames(std::int64_t frame_count, double video_fps,
                                        const FrameOptions& options) {
  if (frame_count == 1) return std::vector<std::int64_t>(kFrameFactor, 0);
  if (frame_count < 1 || !(video_fps > 0))
    fail("video_unsuitable", "frames",
         "a video must have frames and a frame rate above 0 but has {} at {} fps: re-encode it",
         frame_count, video_fps);
  const std::int64_t limit = options.max_frames > 0 ? options.max_frames : kMaxFrames;
  const double most = static_cast<double>(
      floor_to(static_cast<double>(std::min(limit, frame_count)), kFrameFactor));
  const double total = static_cast<double>(frame_count);
  double count = total / video_fps * options.fps;
  count = std::min(std::min(std::max(count, static_cast<double>(kMinFrames)), most), total);
  const std::int64_t frames = std::max(floor_to(count, kFrameFactor), kFrameFactor);
  // float32 and from both ends, as torch.linspace is; half to even, as torch.round is.
  const at::Tensor index =
      at::round(at::linspace(0, frame_count - 1, frames, at::kFloat)).to(at::kLong);
  return {index.const_data_ptr<std::int64_t>(), index.const_data_ptr<std::int64_t>() + frames};
}

std::pair<std::int64_t, std::int64_t> smart_resize(std::int64_t height, std::int64_t width,
                                                   std::int64_t factor, double min_pixels,
                                                   double max_pixels) {
  check_ratio(height, width);
  const double h = static_cast<double>(height), w = static_cast<double>(width);
  std::int64_t new_h = std::max(factor, round_to(h, factor));
  std::int64_t new_w = std::max(factor, round_to(w, factor));
  if (static_cast<double>(new_h * new_w) > max_pixels) {
    const double beta = std::sqrt(h * w / max_pixels);
    // The reference may floor a very flat frame to nothing here; one factor is the least.
    new_h = std::max(factor, floor_to(h / beta, factor));
    new_w = std::max(factor, floor_to(w / beta, factor));
  } else if (static_cast<double>(new_h * new_w) < min_pixels) {
    const double beta = std::sqrt(min_pixels / (h * w));
    new_h = ceil_to(h * beta, factor);
    new_w = ceil_to(w * beta, factor);
  }
  return {new_h, new_w};
}

std::pair<std::int64_t, std::int64_t> frame_size(std::int64_t frames, std::int64_t height,
                                                 std::int64_t width, std::int64_t factor) {
  const double token = static_cast<double>(factor * factor);
  const double least = kMinTokensPerFrame * token;
  const double budget = kModelTokens * token / static_cast<double>(frames) * kFrameFactor;
  const double most =
      std::max(std::min(kMaxTokensPerFrame * token, budget), std::floor(least * 1.05));
  return smart_resize(height, width, factor, least, most);
}

at::Tensor resize_frames(const at::Tensor& frames, std::int64_t height, std::int64_t width) {
  if (frames.size(2) == height && frames.size(3) == width) return frames;
  return at::round(bicubic(frames.to(at::kFloat), height, width).clamp_(0, 255)).to(at::kByte);
}

std::pair<std::int64_t, std::int64_t> processor_size(std::int64_t height, std::int64_t width,
                                                     const ProcessorConfig& config) {
  return smart_resize(height, width, config.patch_size * config.merge_size,
                      static_cast<double>(config.min_pixels),
                      static_cast<double>(config.max_pixels));
}

at::Tensor resize_for_processor(const at::Tensor& frames, const ProcessorConfig& config) {
  const auto [height, width] = processor_size(frames.size(2), frames.size(3), config);
  const at::Tensor pixels = frames.to(at::kFloat);
  if (frames.size(2) == height && frames.size(3) == width) return pixels;
  return bicubic(pixels, height, width);
}

at::Tensor to_patches(const at::Tensor& frames, const ProcessorConfig& config) {
  const std::int64_t p = config.patch_size, m = config.merge_size, tp = config.temporal_patch_size;
  const auto options = frames.options().dtype(at::kFloat);
  // Rescaling is folded into the mean and deviation, in the reference's order of float32 roundings.
  const at::Tensor mean =
      at::tensor(config.image_mean, at::kFloat).mul(1.0 / config.rescale_factor);
  const at::Tensor std = at::tensor(config.image_std, at::kFloat).mul(1.0 / config.rescale_factor);
  at::Tensor x = frames.sub(mean.to(options.device()).view({1, 3, 1, 1}))
                     .div_(std.to(options.device()).view({1, 3, 1, 1}));
  if (const std::int64_t odd = x.size(0) % tp; odd != 0) {
    const at::Tensor last = x.narrow(0, x.size(0) - 1, 1).expand({tp - odd, -1, -1, -1});
    x = at::cat({x, last});
  }
  const std::int64_t t = x.size(0) / tp, h = x.size(2) / p, w = x.size(3) / p;
  return x.reshape({t, tp, 3, h / m, m, p, w / m, m, p})
      .permute({0, 3, 6, 4, 7, 2, 1, 5, 8})
      .reshape({t * h * w, 3 * tp * p * p});
}

at::Tensor alias(const TensorView& view) {
  at::Device device(at::kCPU);
  if (view.device.kind == DeviceKind::kCuda)
    device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(view.device.index));
  if (view.device.kind == DeviceKind::kPrivate)
    device = at::Device(at::kPrivateUse1, static_cast<c10::DeviceIndex>(view.device.index));
  if (view.dtype != DType::kUInt8 || view.shape.size() != 4 || view.shape[1] != 3)
    fail("video_unsuitable", "frames", "frames must be uint8 of shape (n, 3, height, width)");
  return at::from_blob(
      view.data, view.shape, view.strides, [owner = view.owner](void*) {},
      at::TensorOptions().dtype(at::kByte).device(device), device);
}

FramePlan plan_frames(const VideoInfo& info, const FrameOptions& options,
                      const ProcessorConfig& config) {
  FramePlan plan;
  plan.frames = choose_frames(info.frame_count, info.fps.value(), options);
  const auto count = static_cast<std::int64_t>(plan.frames.size());
  std::tie(plan.height, plan.width) =
      frame_size(count, info.height, info.width, config.patch_size * config.merge_size);
  const auto [height, width] = processor_size(plan.height, plan.width, config);
  plan.grid = {(count + config.temporal_patch_size - 1) / config.temporal_patch_size,
               height / config.patch_size, width / config.patch_size};
  return plan;
}

at::Tensor read_patches(const Video& video, const FramePlan& plan, const ProcessorConfig& config,
                        const std::stop_token& stop) {
  const auto count = static_cast<std::int64_t>(plan.frames.size());
  const std::int64_t tp = config.temporal_patch_size, frame = plan.grid[1] * plan.grid[2];
  at::Tensor out;
  for (std::int64_t t = 0; t < plan.grid[0]; ++t) {
    if (stop.stop_requested()) throw Cancelled("frames");
    const std::span<const std::int64_t> index(
        plan.frames.data() + t * tp, static_cast<std::size_t>(std::min(tp, count - t * tp)));
    const at::Tensor pixels = resize_frames(alias(video.read(index)), plan.height, plan.width);
    const at::Tensor rows = to_patches(resize_for_processor(pixels, config), config);
    if (t == 0) out = at::empty({plan.grid[0] * frame, rows.size(1)}, rows.options());
    out.narrow(0, t * frame, frame).copy_(rows);
  }
  return out;
}

}  // namespace bestreel::videoscore2
