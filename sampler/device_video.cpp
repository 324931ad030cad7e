#include "sampler/device_video.h"

#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "core/base/fail.h"
#include "core/nn/device.h"
#include "core/nn/device_stream.h"
#include "sampler/tensor_view.h"

namespace bestreel {
namespace {

class DeviceVideo final : public Video {
 public:
  DeviceVideo(at::Tensor frames, Rational fps)
      : frames_(std::move(frames)),
        made_(nn::Event::mark(frames_.device())),
        timeline_(video_from_frames(view_of(frames_), fps)) {}

  const VideoInfo& info() const override { return timeline_->info(); }
  const std::string& path() const override { return timeline_->path(); }

  TensorView read(std::span<const std::int64_t> indices) const override {
    return view_of(take(indices));
  }
  TensorView read_host(std::span<const std::int64_t> indices) const override {
    return view_of(take(indices).cpu());
  }

 private:
  at::Tensor take(std::span<const std::int64_t> indices) const {
    const c10::InferenceMode no_grad;
    for (const std::int64_t index : indices)
      if (index < 0 || index >= frames_.size(0))
        fail_usage("video", "frame index must be 0 to {} but got {}", frames_.size(0) - 1, index);
    made_.wait();
    if (!frames_.is_cpu()) {
      // The frames may be freed by another thread while this stream still reads them.
      const c10::impl::VirtualGuardImpl guard(frames_.device().type());
      guard.recordDataPtrOnStream(frames_.storage().data_ptr(),
                                  nn::current_stream(frames_.device()));
    }
    const auto count = static_cast<std::int64_t>(indices.size());
    const std::int64_t step = count > 1 ? indices[1] - indices[0] : 1;
    bool even = count > 0 && step > 0;
    for (std::size_t i = 1; i < indices.size(); ++i) even &= indices[i] - indices[i - 1] == step;
    if (even) return frames_.slice(0, indices[0], indices[0] + (count - 1) * step + 1, step);
    const at::Tensor index =
        at::tensor(at::ArrayRef<std::int64_t>(indices.data(), indices.size()), at::kLong);
    return frames_.index_select(0, nn::upload(index, frames_.device()));
  }

  at::Tensor frames_;
  nn::Event made_;
  VideoPtr timeline_;  // for what a video says of itself
};

}  // namespace

VideoPtr make_device_video(at::Tensor frames, Rational fps) {
  return std::make_shared<DeviceVideo>(std::move(frames), fps);
}

}  // namespace bestreel
