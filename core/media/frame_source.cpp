#include "core/media/frame_source.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/fail.h"
#include "core/media/limits.h"

namespace bestreel {
namespace {

/// The native VP8 and VP9 decoders leave the transparency layer out; libvpx's read it.
const AVCodec* find_decoder(const AVStream* stream) {
  const AVCodecID codec = stream->codecpar->codec_id;
  const AVDictionaryEntry* alpha = av_dict_get(stream->metadata, "alpha_mode", nullptr, 0);
  if (alpha != nullptr && std::string_view(alpha->value) == "1") {
    const char* name = codec == AV_CODEC_ID_VP9   ? "libvpx-vp9"
                       : codec == AV_CODEC_ID_VP8 ? "libvpx"
                                                  : nullptr;
    const AVCodec* with_alpha = name == nullptr ? nullptr : avcodec_find_decoder_by_name(name);
    if (with_alpha != nullptr) return with_alpha;
  }
  return avcodec_find_decoder(codec);
}

auto place_of(const PacketEntry& entry) {
  return std::make_tuple(entry.position, entry.pts, entry.size);
}

}  // namespace

FrameSource::FrameSource(std::string path, const std::vector<PacketEntry>& packets, int threads)
    : path_(std::move(path)),
      packets_(packets),
      demuxer_(std::make_unique<Demuxer>(path_)),
      packet_(libav::make_packet()) {
  by_position_.resize(packets_.size());
  std::iota(by_position_.begin(), by_position_.end(), std::int64_t{0});
  std::sort(by_position_.begin(), by_position_.end(), [&](std::int64_t a, std::int64_t b) {
    return place_of(packets_[static_cast<std::size_t>(a)]) <
           place_of(packets_[static_cast<std::size_t>(b)]);
  });
  open_decoder(threads);
}

void FrameSource::open_decoder(int threads) {
  const AVStream* stream = demuxer_->stream();
  const char* name = avcodec_get_name(stream->codecpar->codec_id);
  const AVCodec* codec = find_decoder(stream);
  if (codec == nullptr) {
    fail("video_unreadable", "video",
         "{} is coded as {}, for which this build of libav has no "
         "decoder: convert it with `ffmpeg -i {} -c:v libx264 converted.mp4` where there is one",
         path_, name, path_);
  }
  decoder_.reset(avcodec_alloc_context3(codec));
  if (!decoder_) throw std::bad_alloc();
  int status = avcodec_parameters_to_context(decoder_.get(), stream->codecpar);
  if (status >= 0) {
    decoder_->pkt_timebase = stream->time_base;
    decoder_->thread_count = threads;
    decoder_->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
    decoder_->max_pixels = kMaxPixels;
    status = avcodec_open2(decoder_.get(), codec, nullptr);
  }
  if (status < 0) {
    fail("video_corrupt", "video",
         "{} cannot be decoded, its {} header is broken ({}): make or "
         "copy it again",
         path_, name, libav::error_text(status));
  }
}

bool FrameSource::matches(const AVPacket& packet, std::int64_t index) const {
  if (index < 0 || index >= static_cast<std::int64_t>(packets_.size())) return false;
  const PacketEntry& entry = packets_[static_cast<std::size_t>(index)];
  return entry.position == packet.pos && entry.size == packet.size;
}

std::int64_t FrameSource::find(const AVPacket& packet) const {
  PacketEntry wanted;
  wanted.position = packet.pos;
  wanted.pts = packet.pts;
  wanted.size = packet.size;
  const auto less = [&](std::int64_t index, const PacketEntry& entry) {
    return place_of(packets_[static_cast<std::size_t>(index)]) < place_of(entry);
  };
  const auto found = std::lower_bound(by_position_.begin(), by_position_.end(), wanted, less);
  if (found == by_position_.end()) return -1;
  const auto same = [&](std::int64_t index) {
    return place_of(packets_[static_cast<std::size_t>(index)]) == place_of(wanted);
  };
  if (!same(*found)) return -1;
  const auto after = std::next(found);
  const bool ambiguous = after != by_position_.end() && same(*after);
  return ambiguous ? -1 : *found;
}

void FrameSource::restart() {
  avcodec_flush_buffers(decoder_.get());
  damage_.clear();
  held_ = draining_ = false;
  next_packet_ = first_packet_ = 0;
  if (packets_.empty()) return;
  const PacketEntry& first = packets_.front();
  const std::int64_t timestamp = first.dts != AV_NOPTS_VALUE ? first.dts : first.pts;
  if (timestamp != AV_NOPTS_VALUE && demuxer_->seek(timestamp) && demuxer_->next(packet_.get()) &&
      find(*packet_) == 0) {
    held_ = true;
    return;
  }
  // A format that cannot go back, such as a bare stream: opening it again always can.
  demuxer_ = std::make_unique<Demuxer>(path_);
}

bool FrameSource::land(std::int64_t timestamp, std::int64_t key) {
  if (timestamp == AV_NOPTS_VALUE || !demuxer_->seek(timestamp)) return false;
  // The first packets after a seek may be the rest of a group whose keyframe is already past.
  while (demuxer_->next(packet_.get())) {
    const std::int64_t index = find(*packet_);
    if (index < 0 || !packets_[static_cast<std::size_t>(index)].key) continue;
    if (index > key) return false;
    next_packet_ = first_packet_ = index;
    held_ = true;
    return true;
  }
  return false;
}

bool FrameSource::seek(std::int64_t key) {
  avcodec_flush_buffers(decoder_.get());
  damage_.clear();
  held_ = draining_ = false;
  const PacketEntry& entry = packets_.at(static_cast<std::size_t>(key));
  // Some containers index by pts and some by dts: the later one first, since it never lands a
  // whole group too early; if it overshoots, the other cannot.
  if (land(entry.pts, key) || land(entry.dts, key)) return true;
  restart();
  return false;
}

bool FrameSource::feed() {
  if (!held_) {
    // A file that grows meanwhile ends where it ended when its packets were counted.
    const bool more = next_packet_ < static_cast<std::int64_t>(packets_.size());
    if (!more || !demuxer_->next(packet_.get())) {
      draining_ = true;
      avcodec_send_packet(decoder_.get(), nullptr);
      return true;
    }
    if (!matches(*packet_, next_packet_)) {
      const std::int64_t found = find(*packet_);
      if (found >= 0) next_packet_ = found;
    }
    held_ = true;
  }
  packet_->pts = next_packet_;
  const int status = avcodec_send_packet(decoder_.get(), packet_.get());
  if (status == AVERROR(EAGAIN)) return false;
  if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
  if (status < 0) damage_.push_back(next_packet_);
  held_ = false;
  ++next_packet_;
  return true;
}

bool FrameSource::next(AVFrame* frame, std::int64_t* packet) {
  for (;;) {
    const int status = avcodec_receive_frame(decoder_.get(), frame);
    if (status >= 0) {
      // A decoder that hands no label on has no delay either: its frame is the last packet's.
      const bool labelled = frame->pts >= 0 && frame->pts < next_packet_;
      *packet = labelled ? frame->pts : next_packet_ - 1;
      const bool broken =
          frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0;
      if (broken) damage_.push_back(*packet);
      return true;
    }
    if (status == AVERROR_EOF) return false;
    if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
    if (status != AVERROR(EAGAIN)) {
      damage_.push_back(next_packet_ - 1);
      // A decoder that is being drained and only repeats its error has nothing left.
      if (draining_) return false;
      continue;
    }
    if (draining_ || !feed()) return false;
  }
}

}  // namespace bestreel
