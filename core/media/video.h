// A video as a judge sees it: a timeline, and the frames that are asked for.
//
// design: a Video is a handle, not an array. An hour of 1080p would be 670 GB as frames, and a
// judge looks at 2 frames a second: so frames are read by index, and only those are decoded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "core/base/tensor_view.h"

namespace bestreel {

struct Rational {
  std::int64_t num = 0;
  std::int64_t den = 1;
  double value() const {
    return den == 0 ? 0.0 : static_cast<double>(num) / static_cast<double>(den);
  }
};

struct VideoInfo {
  std::int64_t frame_count = 0;
  int width = 0;        ///< pixels as shown, after rotation
  int height = 0;       ///< pixels as shown, after rotation
  Rational fps;         ///< the container's average rate (what decord and PyAV call average rate)
  double duration = 0;  ///< seconds from the first frame's start to the last frame's end
  std::vector<double> times;  ///< seconds, one per frame, ascending; times[0] == 0
  std::string container;  ///< libav's name, such as "mov,mp4,m4a,3gp,3g2,mj2"; "memory" for frames
  std::string codec;      ///< libav's name, such as "h264"; "raw" for frames
  std::string pixel_format;  ///< libav's name, such as "yuv420p"
  int rotation = 0;          ///< degrees clockwise that were applied: 0, 90, 180, 270
  bool has_audio = false;
  bool has_alpha = false;
  bool variable_frame_rate = false;
};

/// Thread rules: info() may be called from any thread; read() from one thread at a time.
class BESTREEL_API Video {
 public:
  virtual ~Video() = default;

  virtual const VideoInfo& info() const = 0;

  /// The frames at `indices` (presentation order, 0-based, any order, may repeat) as uint8 RGB of
  /// shape (n, 3, H, W), on the video's own device. The memory is usually interleaved: mind the
  /// strides. Alpha is composited over black. Throws Error "video_corrupt" when a frame cannot be
  /// decoded or is known to be damaged, "usage" when an index is out of range, "out_of_memory".
  virtual TensorView read(std::span<const std::int64_t> indices) const = 0;

  /// The same on the CPU, for who cannot read elsewhere: what is on a device is copied.
  virtual TensorView read_host(std::span<const std::int64_t> indices) const {
    return read(indices);
  }

  /// The file the video comes from; empty for frames in memory.
  virtual const std::string& path() const = 0;
};

using VideoPtr = std::shared_ptr<const Video>;

/// Opens any file that libav reads. Only the packets are read here and the first frame is decoded;
/// all frames are only where the timestamps cannot be believed (AVI with H.264 B-frames, bare
/// streams, files cut in the middle of a group of pictures). Frames that an edit list hides are not
/// part of the video. Pictures are turned upright and mirrored as the file says, and are not
/// stretched when their pixels are not square, as the reference readers do. A file that ends before
/// what its own index or header promises is refused. Throws Error: "video_missing",
/// "video_unreadable", "video_is_folder", "video_empty", "video_corrupt", "video_audio_only".
BESTREEL_API VideoPtr open_video(const std::string& path);

/// Frames (T,3,H,W) uint8 that are already in memory, on any device, shown at `fps`. The view must
/// own its memory or outlive the video; on a device they must be finished, since nothing here waits
/// for the stream that makes them. Evenly spaced frames are read without a copy; any other
/// choice is gathered, which only works on the CPU ("usage" otherwise).
BESTREEL_API VideoPtr video_from_frames(TensorView frames, Rational fps);

}  // namespace bestreel
