// Decoded frames, each labelled with the packet that it came in. Private to core/media.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/media/demuxer.h"
#include "core/media/timeline.h"

namespace bestreel {

/// design: frames are matched to the timeline by packet, not by timestamp. Each packet's index
/// travels through the decoder in the place of its pts, so that matching holds for containers
/// without timestamps, for repeated ones, and for those that libav guesses differently after a
/// seek. No decoder looks at the value; it only hands it on with the frame.
class FrameSource {
 public:
  /// `packets` (all packets of the stream) must outlive the source. `threads`: 0 = one per core;
  /// the number changes no pixel. Throws "video_unreadable" when libav lacks the decoder.
  FrameSource(std::string path, const std::vector<PacketEntry>& packets, int threads);

  /// The next frame in presentation order, and the index of its packet. False at the end. Packets
  /// that cannot be decoded are skipped and noted as damage.
  bool next(AVFrame* frame, std::int64_t* packet);

  /// Goes on from the keyframe packet `key`, or from an earlier keyframe where the container
  /// cannot do better. False, with the source at its start, when the file has no way there.
  bool seek(std::int64_t key);

  /// To the first packet.
  void restart();

  /// The packets that were found broken since the last jump.
  const std::vector<std::int64_t>& damage() const { return damage_; }

  /// The first packet that was fed since the last jump.
  std::int64_t first_packet() const { return first_packet_; }

  const AVStream* stream() const { return demuxer_->stream(); }
  const AVFormatContext* container() const { return demuxer_->container(); }

 private:
  void open_decoder(int threads);
  bool land(std::int64_t timestamp, std::int64_t key);
  bool feed();
  std::int64_t find(const AVPacket& packet) const;
  bool matches(const AVPacket& packet, std::int64_t index) const;

  std::string path_;
  const std::vector<PacketEntry>& packets_;
  std::vector<std::int64_t> by_position_;  ///< packet indices sorted by (position, pts, size)
  std::unique_ptr<Demuxer> demuxer_;
  libav::CodecPtr decoder_;
  libav::PacketPtr packet_;
  bool held_ = false;      ///< packet_ waits to be fed
  bool draining_ = false;  ///< the decoder knows that no more packets come
  std::int64_t next_packet_ = 0;
  std::int64_t first_packet_ = 0;
  std::vector<std::int64_t> damage_;
};

}  // namespace bestreel
