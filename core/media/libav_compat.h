// What differs between the libav releases that we build on: ffmpeg 5.1 (Debian 12), 6.1 (Ubuntu
// 24.04) and 7 (Debian 13). Private to core/media.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <cstddef>
#include <cstdint>

namespace bestreel::libav {

/// The 3x3 display matrix of a stream, or nullptr when it has none.
inline const std::int32_t* display_matrix(const AVStream* stream) {
  constexpr std::size_t kBytes = 9 * sizeof(std::int32_t);
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  // Stream side data moved into the codec parameters in 6.1; the old call went away in 7.
  const AVCodecParameters* codec = stream->codecpar;
  const AVPacketSideData* data = av_packet_side_data_get(
      codec->coded_side_data, codec->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  if (data == nullptr || data->size < kBytes) return nullptr;
  return reinterpret_cast<const std::int32_t*>(data->data);
#else
  std::size_t size = 0;
  const std::uint8_t* data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (data == nullptr || size < kBytes) return nullptr;
  return reinterpret_cast<const std::int32_t*>(data);
#endif
}

}  // namespace bestreel::libav
