#include "core/media/timeline.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// VP8 and VP9 may send a frame that only serves as a reference. One bit of its header says so:
/// RFC 6386 section 9.1 (VP8), VP9 bitstream specification section 6.2.
bool is_shown(AVCodecID codec, const AVPacket& packet) {
  const std::uint8_t* data = packet.data;
  if (codec == AV_CODEC_ID_VP8) return ((data[0] >> 4) & 1) != 0;
  if (codec != AV_CODEC_ID_VP9) return true;
  // A superframe (its last byte is a marker) always ends with a shown frame.
  if ((data[packet.size - 1] & 0xe0) == 0xc0) return true;
  const int profile = ((data[0] >> 5) & 1) | ((data[0] >> 4) & 1) << 1;
  const int first_bit = profile == 3 ? 2 : 3;  // profile 3 has one reserved bit more
  const bool show_existing_frame = ((data[0] >> first_bit) & 1) != 0;
  const bool show_frame = ((data[0] >> (first_bit - 2)) & 1) != 0;
  return show_existing_frame || show_frame;
}

/// The type of the one picture (VOP) in a packet of MPEG-4 part 2, ISO/IEC 14496-2 section 6.2.5.
/// 0 for what needs a decoder to understand: none, two in a packet ("packed bitstream"), or the
/// few bytes that say "not coded" and show nothing.
char mpeg4_picture(const AVPacket& packet) {
  constexpr int kNotCodedBytes = 10;
  if (packet.size <= kNotCodedBytes) return 0;
  char picture = 0;
  for (int i = 0; i + 4 < packet.size; ++i) {
    const std::uint8_t* bytes = packet.data + i;
    if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != 1 || bytes[3] != 0xb6) continue;
    if (picture != 0) return 0;
    picture = "IPBP"[bytes[4] >> 6];  // the fourth, a sprite, is ordered like P
  }
  return picture;
}

bool is_any_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_mp4(std::string_view format) { return format.find("mp4") != std::string_view::npos; }
bool is_matroska(std::string_view format) {
  return format.find("matroska") != std::string_view::npos;
}

/// An MPEG transport stream or a bare H.264 stream may carry each field of an interlaced frame in
/// a packet of its own.
bool may_split_fields(const Demuxer& demuxer) {
  const AVCodecParameters& codec = *demuxer.stream()->codecpar;
  const bool interlaced =
      codec.field_order != AV_FIELD_UNKNOWN && codec.field_order != AV_FIELD_PROGRESSIVE;
  return interlaced && is_any_of(avcodec_get_name(codec.codec_id), {"h264", "vc1"}) &&
         !is_mp4(demuxer.container()->iformat->name);
}

/// AVI has no presentation times. In MPEG-4 part 2 a B picture is shown as it comes, and any other
/// when the next of its kind has come.
std::vector<std::int64_t> order_by_picture(const std::vector<PacketEntry>& packets) {
  std::vector<std::int64_t> order;
  std::int64_t held = -1;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (packets[i].picture == 'B') {
      order.push_back(index);
    } else if (const std::int64_t previous = std::exchange(held, index); previous >= 0) {
      order.push_back(previous);
    }
  }
  if (held >= 0) order.push_back(held);
  return order;
}

/// The value of an EBML variable-length integer (RFC 8794 section 4); nothing for "unknown".
std::optional<std::uint64_t> ebml_length(const std::uint8_t* bytes, std::size_t available,
                                         std::size_t* width) {
  if (available == 0 || bytes[0] == 0) return std::nullopt;
  *width = static_cast<std::size_t>(__builtin_clz(bytes[0]) - 24) + 1;
  if (*width > available) return std::nullopt;
  std::uint64_t value = bytes[0] & (0xffU >> *width);
  for (std::size_t i = 1; i < *width; ++i) value = value << 8 | bytes[i];
  const std::uint64_t unknown = (std::uint64_t{1} << (7 * *width)) - 1;
  if (value == unknown) return std::nullopt;
  return value;
}

/// Where the file's outermost element says that it ends: Matroska's Segment or AVI's first RIFF.
std::optional<std::uint64_t> promised_end(const std::string& path, std::string_view format) {
  std::array<char, 256> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const auto count = static_cast<std::size_t>(file.gcount());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(head.data());

  if (format == "avi" && count >= 8 && std::memcmp(bytes, "RIFF", 4) == 0) {
    const std::uint64_t size =
        bytes[4] | bytes[5] << 8 | bytes[6] << 16 | static_cast<std::uint64_t>(bytes[7]) << 24;
    // Streaming writers leave zero or all ones.
    if (size == 0 || size == 0xffffffffU) return std::nullopt;
    return size + 8;
  }
  if (is_matroska(format) && count >= 12) {
    std::size_t width = 0;
    const auto header = ebml_length(bytes + 4, count - 4, &width);
    if (!header || *header > count) return std::nullopt;
    const std::size_t segment = 4 + width + static_cast<std::size_t>(*header);
    constexpr std::array<std::uint8_t, 4> kSegment{0x18, 0x53, 0x80, 0x67};
    if (segment + 4 >= count || std::memcmp(bytes + segment, kSegment.data(), 4) != 0) {
      return std::nullopt;
    }
    const auto size = ebml_length(bytes + segment + 4, count - segment - 4, &width);
    if (size) return segment + 4 + width + *size;
  }
  return std::nullopt;
}

[[noreturn]] void fail_truncated(const std::string& path, std::size_t whole_packets,
                                 const std::string& promise) {
  fail("video_corrupt", "video",
       "{} is truncated: {}, and {} whole packets of video are there: "
       "make or copy it again, or keep the part that is there with `ffmpeg -i {} -c copy part.mkv`",
       path, promise, whole_packets, path);
}

}  // namespace

std::vector<PacketEntry> read_packets(Demuxer& demuxer) {
  std::vector<PacketEntry> packets;
  const AVCodecID codec = demuxer.stream()->codecpar->codec_id;
  const libav::PacketPtr packet = libav::make_packet();
  while (demuxer.next(packet.get())) {
    PacketEntry entry;
    entry.pts = packet->pts;
    entry.dts = packet->dts;
    entry.duration = packet->duration;
    entry.position = packet->pos;
    entry.size = packet->size;
    entry.key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    entry.shown = (packet->flags & AV_PKT_FLAG_DISCARD) == 0 && is_shown(codec, *packet);
    if (codec == AV_CODEC_ID_MPEG4) entry.picture = mpeg4_picture(*packet);
    entry.damaged = (packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
    packets.push_back(entry);
  }
  return packets;
}

std::vector<std::int64_t> presentation_order(const Demuxer& demuxer,
                                             const std::vector<PacketEntry>& packets) {
  if (may_split_fields(demuxer)) return {};
  if (demuxer.stream()->codecpar->codec_id == AV_CODEC_ID_MPEG4) {
    const bool plain = std::all_of(packets.begin(), packets.end(),
                                   [](const PacketEntry& entry) { return entry.picture != 0; });
    if (!plain) return {};
    const bool unstamped =
        std::any_of(packets.begin(), packets.end(),
                    [](const PacketEntry& entry) { return entry.pts == AV_NOPTS_VALUE; });
    if (unstamped) return order_by_picture(packets);
  }
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (!packets[i].shown) continue;
    if (packets[i].pts == AV_NOPTS_VALUE) return {};
    order.push_back(static_cast<std::int64_t>(i));
  }
  const auto pts = [&](std::int64_t i) { return packets[static_cast<std::size_t>(i)].pts; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return pts(a) < pts(b); });
  const auto repeated = std::adjacent_find(
      order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return pts(a) == pts(b); });
  if (repeated != order.end()) return {};
  return order;
}

void check_complete(const std::string& path, const Demuxer& demuxer,
                    const std::vector<PacketEntry>& packets) {
  const std::string_view format = demuxer.container()->iformat->name;
  const std::uint64_t size = std::filesystem::file_size(path);

  // Only containers whose index or header states the whole size can be convicted; a cut transport
  // stream is simply a shorter one.
  if (is_mp4(format)) {
    AVStream* stream = demuxer.container()->streams[demuxer.stream()->index];
    const int promised = avformat_index_get_entries_count(stream);
    int missing = 0;
    for (int i = 0; i < promised; ++i) {
      const AVIndexEntry* entry = avformat_index_get_entry(stream, i);
      missing += entry->pos + entry->size > static_cast<std::int64_t>(size) ? 1 : 0;
    }
    if (missing > 0) {
      fail_truncated(path, static_cast<std::size_t>(promised - missing),
                     fmt::format("its index promises {} packets of video", promised));
    }
  }
  const std::optional<std::uint64_t> end = promised_end(path, format);
  if (end && *end > size) {
    const auto whole = static_cast<std::size_t>(std::count_if(
        packets.begin(), packets.end(), [](const PacketEntry& entry) { return !entry.damaged; }));
    fail_truncated(path, whole,
                   fmt::format("its header promises {} bytes but it has {}", *end, size));
  }
  // Elsewhere a last packet with too few bytes tells. A transport stream marks lost bytes alike,
  // and may end anywhere.
  if (!packets.empty() && packets.back().damaged && format != "mpegts") {
    fail_truncated(path, packets.size() - 1, "it ends in the middle of a picture");
  }
}

}  // namespace bestreel
