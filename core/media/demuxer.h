// The packets of a file's video stream. Private to core/media.
#pragma once

#include <cstdint>
#include <string>

#include "core/media/libav.h"

namespace bestreel {

/// Opens the file, picks the stream that players show, and reads its packets; the packets of all
/// other streams are dropped by libav before they reach memory.
class Demuxer {
 public:
  /// Errors as open_video().
  explicit Demuxer(const std::string& path);

  /// The next packet of the video stream; false at the end of what can be read.
  bool next(AVPacket* packet);

  /// To the last keyframe at or before `timestamp` (stream time base), as far as the container
  /// can; what is read next tells where it landed. False when the container cannot seek.
  bool seek(std::int64_t timestamp);

  const AVFormatContext* container() const { return context_.get(); }
  const AVStream* stream() const { return context_->streams[stream_]; }
  bool has_audio() const { return has_audio_; }

  /// Non-zero when the packets ended with an error instead of the end of the file.
  int end_error() const { return end_error_; }

 private:
  libav::InputPtr context_;
  int stream_ = -1;
  bool has_audio_ = false;
  int end_error_ = 0;
};

/// Throws "video_unreadable", naming a converter, where the file is an animated WebP: for who found
/// that libav cannot read it. Still ones it reads.
void refuse_animated_webp(const std::string& path);

}  // namespace bestreel
