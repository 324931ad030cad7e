// From a video to the patches that the vision tower reads, exactly as qwen-vl-utils 0.0.14 (its
// decord path) and transformers' Qwen2VLVideoProcessor 4.53 make them. Pure functions.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <stop_token>
#include <utility>
#include <vector>

#include "core/base/tensor_view.h"
#include "core/media/video.h"
#include "reward/videoscore2/config.h"

namespace bestreel::videoscore2 {

/// qwen-vl-utils' `fps`, `max_frames`, `min_pixels`, `max_pixels`; zero = its default.
struct FrameOptions {
  double fps = 2.0;             ///< frames a second that are looked at
  std::int64_t max_frames = 0;  ///< at most this many; 0: 768
};

/// Which frames are looked at: floor to an even count of frames at `fps`, at least 4 and at most
/// 768 where the video has them, spread from the first to the last frame.
///
/// A video of one frame is our own rule, since the reference refuses it: the frame is shown twice,
/// which is the shortest video that the model knows.
std::vector<std::int64_t> choose_frames(std::int64_t frame_count, double video_fps,
                                        const FrameOptions& options);

/// Height and width as qwen-vl-utils' smart_resize: multiples of `factor`, within the pixel
/// limits, aspect kept. Error "video_unsuitable" for an aspect ratio above 200.
std::pair<std::int64_t, std::int64_t> smart_resize(std::int64_t height, std::int64_t width,
                                                   std::int64_t factor, double min_pixels,
                                                   double max_pixels);

/// The size that qwen-vl-utils gives each of `frames` frames.
std::pair<std::int64_t, std::int64_t> frame_size(std::int64_t frames, std::int64_t height,
                                                 std::int64_t width, std::int64_t factor);

/// (n,3,H,W) uint8 to (n,3,height,width) uint8: in float, antialiased bicubic, clamped, rounded
/// half to even. Not ATen's uint8 kernel, whose fixed-point weights differ.
at::Tensor resize_frames(const at::Tensor& frames, std::int64_t height, std::int64_t width);

/// The processor's second look at the size; the same unless the checkpoint's limits are narrower
/// than those of qwen-vl-utils.
std::pair<std::int64_t, std::int64_t> processor_size(std::int64_t height, std::int64_t width,
                                                     const ProcessorConfig& config);

/// (n,3,H,W) any dtype to float32 of that size; in float, not rounded.
at::Tensor resize_for_processor(const at::Tensor& frames, const ProcessorConfig& config);

/// (n,3,h,w) float32 0..255 to (t*gh*gw, 3*tp*patch*patch) float32, normalised; rows in the order
/// time, merged row, merged column, row in it, column in it. An odd n repeats the last frame.
at::Tensor to_patches(const at::Tensor& frames, const ProcessorConfig& config);

/// An alias of the view's memory, which it keeps alive.
at::Tensor alias(const TensorView& view);

/// What will be looked at; nothing is decoded to know it.
struct FramePlan {
  std::vector<std::int64_t> frames;    ///< indices
  std::int64_t height = 0, width = 0;  ///< after qwen-vl-utils
  std::array<std::int64_t, 3> grid{};  ///< patches in time, height, width, after the processor
};
FramePlan plan_frames(const VideoInfo& info, const FrameOptions& options,
                      const ProcessorConfig& config);

/// The patches of a plan, made a few frames at a time, so that memory holds them and no more; on
/// the video's device. Throws Cancelled on `stop`.
at::Tensor read_patches(const Video& video, const FramePlan& plan, const ProcessorConfig& config,
                        const std::stop_token& stop);

}  // namespace bestreel::videoscore2
