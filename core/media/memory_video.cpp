// video_from_frames(): frames that are already in memory.
#include <cstring>
#include <utility>

#include "core/base/fail.h"
#include "core/media/video.h"

namespace bestreel {
namespace {

class MemoryVideo final : public Video {
 public:
  MemoryVideo(TensorView frames, Rational fps) : frames_(std::move(frames)) {
    info_.frame_count = frames_.shape[0];
    info_.height = static_cast<int>(frames_.shape[2]);
    info_.width = static_cast<int>(frames_.shape[3]);
    info_.fps = fps;
    for (std::int64_t i = 0; i < info_.frame_count; ++i) {
      info_.times.push_back(static_cast<double>(i) / fps.value());
    }
    info_.duration = static_cast<double>(info_.frame_count) / fps.value();
    info_.container = "memory";
    info_.codec = "raw";
    info_.pixel_format = "rgb24";
  }

  const VideoInfo& info() const override { return info_; }
  const std::string& path() const override { return path_; }

  TensorView read(std::span<const std::int64_t> indices) const override;
  TensorView read_host(std::span<const std::int64_t> indices) const override {
    if (frames_.device.kind != DeviceKind::kCpu) {
      fail_usage("video",
                 "frames must be on the CPU for a judge or a file that reads them there but are on "
                 "a device: copy them first, or give a Video of your own that does");
    }
    return read(indices);
  }

 private:
  TensorView gather(std::span<const std::int64_t> indices) const;

  TensorView frames_;
  VideoInfo info_;
  std::string path_;
};

TensorView MemoryVideo::read(std::span<const std::int64_t> indices) const {
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= info_.frame_count) {
      fail_usage("video", "frame index must be 0 to {} but got {}: the frames in memory are {}",
                 info_.frame_count - 1, index, info_.frame_count);
    }
  }
  // Evenly spaced frames, the usual sample, are a view of the same memory on any device.
  const std::int64_t step = indices.size() > 1 ? indices[1] - indices[0] : 1;
  bool even = step > 0;
  for (std::size_t i = 1; i < indices.size(); ++i) even &= indices[i] - indices[i - 1] == step;
  if (!even) return gather(indices);

  TensorView view = frames_;
  view.shape[0] = static_cast<std::int64_t>(indices.size());
  view.strides[0] = frames_.strides[0] * step;
  if (!indices.empty()) {
    view.data = static_cast<std::uint8_t*>(frames_.data) + indices[0] * frames_.strides[0];
  }
  return view;
}

TensorView MemoryVideo::gather(std::span<const std::int64_t> indices) const {
  if (frames_.device.kind != DeviceKind::kCpu) {
    fail_usage("video",
               "frames on a device must be read evenly spaced and in order but got other "
               "indices: give a Video of your own that gathers them there");
  }
  const std::int64_t height = info_.height;
  const std::int64_t width = info_.width;
  const auto count = static_cast<std::int64_t>(indices.size());
  std::shared_ptr<std::uint8_t[]> memory(
      new std::uint8_t[static_cast<std::size_t>(count * 3 * height * width)]);
  std::uint8_t* out = memory.get();
  const std::vector<std::int64_t>& strides = frames_.strides;
  for (const std::int64_t index : indices) {
    const auto* frame = static_cast<const std::uint8_t*>(frames_.data) + index * strides[0];
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* row = frame + y * strides[2];
      for (std::int64_t x = 0; x < width; ++x, row += strides[3]) {
        for (std::int64_t c = 0; c < 3; ++c) *out++ = row[c * strides[1]];
      }
    }
  }
  TensorView view;
  view.data = memory.get();
  view.shape = {count, 3, height, width};
  view.strides = {3 * height * width, 1, 3 * width, 3};
  view.owner = std::move(memory);
  return view;
}

}  // namespace

VideoPtr video_from_frames(TensorView frames, Rational fps) {
  const bool four = frames.shape.size() == 4 && frames.strides.size() == 4;
  if (!four || frames.shape[0] < 1 || frames.shape[1] != 3 || frames.shape[2] < 1 ||
      frames.shape[3] < 1) {
    std::string shape;
    for (const std::int64_t size : frames.shape) shape += fmt::format(" {}", size);
    fail_usage("video",
               "frames must have the shape (T, 3, H, W) and as many strides, with T, H "
               "and W of at least 1, but got ({} ): put time first and colour second",
               shape);
  }
  if (frames.dtype != DType::kUInt8 || frames.data == nullptr) {
    fail_usage("video",
               "frames must be uint8 in memory but got {}: scale them to 0..255 and "
               "round first",
               frames.data == nullptr ? "no memory" : "another type");
  }
  if (fps.num <= 0 || fps.den <= 0) {
    fail_usage("video",
               "fps must be above 0 but got {}/{}: give the rate that the frames are "
               "shown at",
               fps.num, fps.den);
  }
  return std::make_shared<MemoryVideo>(std::move(frames), fps);
}

}  // namespace bestreel
