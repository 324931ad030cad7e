// Writes H.264 for browsers (yuv420p, faststart, bit-exact, metadata), or FFV1 without loss.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/base/export.h"
#include "core/media/video.h"

namespace bestreel {

enum class VideoCoding {
  kH264,  ///< mp4; what a viewer gets
  kFfv1,  ///< Matroska, RGB: every frame is read back bit for bit (RFC 9043); odd sizes stay odd
};

struct VideoWriterOptions {
  Rational fps{16, 1};
  VideoCoding coding = VideoCoding::kH264;
  int crf = 18;                   ///< x264 constant rate factor, 0 (lossless) to 51
  std::string preset = "medium";  ///< x264 preset
  /// Written as container metadata (mp4 `udta`/`mdta` keys), such as prompt, seed, scores.
  std::map<std::string, std::string> metadata;
};

/// Appears at `path` only when finish() returns: written beside it, fsynced, renamed. The encoder
/// runs with one thread, since x264's output depends on their number. In H.264 an odd width or
/// height is padded by one repeated column or row (yuv420p needs even sizes). crf and preset are
/// x264's. Not thread-safe. Errors: "disk_full", "write_failed", "usage".
class BESTREEL_API VideoWriter {
 public:
  VideoWriter(std::string path, VideoWriterOptions options);
  ~VideoWriter();  ///< without finish(): removes the partial file
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  /// (T,3,H,W) uint8 RGB on the CPU, any strides; every call with the same H and W.
  void add(const TensorView& frames);
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
