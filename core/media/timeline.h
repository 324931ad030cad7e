// Which packets a video stream holds and which of them show a frame. Private to core/media.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/media/demuxer.h"

namespace bestreel {

struct PacketEntry {
  std::int64_t pts = 0;        ///< stream time base; AV_NOPTS_VALUE when the container has none
  std::int64_t dts = 0;        ///< the same
  std::int64_t duration = 0;   ///< stream time base; 0 when unknown
  std::int64_t position = -1;  ///< byte offset in the file
  std::int32_t size = 0;       ///< bytes
  bool key = false;
  bool shown = true;     ///< false for edit-list discards and VP8/VP9 reference-only frames
  char picture = 0;      ///< MPEG-4 part 2 only: 'I', 'P' or 'B'; 0 when not exactly one
  bool damaged = false;  ///< the container knows that bytes are missing
};

/// All packets of the stream, in file order (= decode order). Nothing is decoded.
std::vector<PacketEntry> read_packets(Demuxer& demuxer);

/// Presentation order by timestamp: indices of the shown packets. Empty when the timestamps do not
/// say (missing or repeated, or one packet need not be one frame): then only decoding tells.
std::vector<std::int64_t> presentation_order(const Demuxer& demuxer,
                                             const std::vector<PacketEntry>& packets);

/// Throws "video_corrupt" when the file ends before what its own index or header promises.
void check_complete(const std::string& path, const Demuxer& demuxer,
                    const std::vector<PacketEntry>& packets);

}  // namespace bestreel
