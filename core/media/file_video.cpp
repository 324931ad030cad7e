// open_video(): a file's timeline from its packets, its frames by seeking.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

extern "C" {
#include <libavutil/pixdesc.h>
}

#include "core/base/fail.h"
#include "core/media/colour.h"
#include "core/media/frame_source.h"
#include "core/media/libav_compat.h"
#include "core/media/limits.h"
#include "core/media/timeline.h"
#include "core/media/video.h"

namespace bestreel {
namespace {

/// Below this many packets decoding on is cheaper than a jump, which empties the decoder.
constexpr std::int64_t kWorthSeeking = 8;

bool is_valid(AVRational rate) { return rate.num > 0 && rate.den > 0; }

/// Formats that libav cannot enter midway: pictures that are painted onto the one before.
bool is_cumulative(AVCodecID codec) {
  return codec == AV_CODEC_ID_GIF || codec == AV_CODEC_ID_APNG;
}

class FileVideo final : public Video {
 public:
  explicit FileVideo(const std::string& path);

  const VideoInfo& info() const override { return info_; }
  const std::string& path() const override { return path_; }
  TensorView read(std::span<const std::int64_t> indices) const override;

 private:
  void learn_first_frame();
  void order_frames(const Demuxer& demuxer);
  void order_by_decoding();
  bool decodes_in_order(std::size_t count);
  void place_keyframes();
  void describe(const Demuxer& demuxer);
  void measure_times(const Demuxer& demuxer);

  const PacketEntry& packet_of(std::int64_t frame) const {
    return packets_[static_cast<std::size_t>(order_[static_cast<std::size_t>(frame)])];
  }
  void fetch(std::int64_t frame) const;
  void fetch_carefully(std::int64_t frame) const;
  bool advance_to(FrameSource& source, std::int64_t frame) const;
  bool is_sound(const FrameSource& source, std::int64_t frame) const;
  void go_near(FrameSource& source, std::int64_t frame) const;
  void convert(std::int64_t frame, std::uint8_t* rgb) const;
  [[noreturn]] void fail_frame(std::int64_t frame, const char* what) const;

  std::string path_;
  std::vector<PacketEntry> packets_;
  std::int64_t first_packet_ = -1;       ///< of the first frame that the decoder gives
  std::vector<std::int64_t> order_;      ///< frame -> packet
  std::vector<std::int64_t> frame_of_;   ///< packet -> frame, -1 when it shows none
  std::vector<std::int64_t> key_frame_;  ///< frame -> the keyframe (a frame) to start from
  VideoInfo info_;

  // What a read moves; the frames themselves stay as they are, hence mutable.
  mutable std::unique_ptr<FrameSource> source_;
  mutable std::unique_ptr<RgbConverter> converter_;
  mutable libav::FramePtr frame_ = libav::make_frame();
  mutable std::int64_t at_ = -1;  ///< the frame in frame_; -1 before the first
};

FileVideo::FileVideo(const std::string& path) : path_(path) {
  Demuxer demuxer(path_);
  packets_ = read_packets(demuxer);
  check_complete(path_, demuxer, packets_);
  if (packets_.empty()) {
    fail("video_corrupt", "video",
         "{} names a video stream but holds no frame{}{}: make or copy "
         "it again",
         path_, demuxer.end_error() != 0 ? ", " : "",
         demuxer.end_error() != 0 ? libav::error_text(demuxer.end_error()) : std::string());
  }
  source_ = std::make_unique<FrameSource>(path_, packets_, 0);
  at_ = 0;
  learn_first_frame();
  order_frames(demuxer);
  place_keyframes();
  describe(demuxer);
}

void FileVideo::learn_first_frame() {
  libav::forget_log();
  if (!source_->next(frame_.get(), &first_packet_)) {
    refuse_animated_webp(path_);
    fail("video_corrupt", "video",
         "{} holds {} packets of {} video but none of them can be "
         "decoded ({}): make or copy it again",
         path_, packets_.size(), avcodec_get_name(source_->stream()->codecpar->codec_id),
         libav::error_text(AVERROR_INVALIDDATA));
  }
  const std::int64_t area = std::int64_t{frame_->width} * frame_->height;
  if (frame_->width < 1 || frame_->height < 1 || frame_->width > kMaxSide ||
      frame_->height > kMaxSide || area > kMaxPixels) {
    fail("video_corrupt", "video",
         "{} must have sides of 1 to {} pixels and at most {} pixels a "
         "frame but has {} x {}: scale it down with `ffmpeg -i {} -vf scale=1280:-2 smaller.mp4`",
         path_, kMaxSide, kMaxPixels, frame_->width, frame_->height, path_);
  }
  const Orientation orientation = orientation_of(libav::display_matrix(source_->stream()));
  converter_ = std::make_unique<RgbConverter>(frame_->width, frame_->height, orientation);
  const auto format = static_cast<AVPixelFormat>(frame_->format);
  const AVPixFmtDescriptor* descriptor = av_pix_fmt_desc_get(format);
  info_.width = converter_->width();
  info_.height = converter_->height();
  info_.rotation = orientation.clockwise;
  info_.pixel_format = descriptor != nullptr ? descriptor->name : "unknown";
  info_.has_alpha = descriptor != nullptr && (descriptor->flags & AV_PIX_FMT_FLAG_ALPHA) != 0;
}

void FileVideo::order_frames(const Demuxer& demuxer) {
  order_ = presentation_order(demuxer, packets_);
  // The timestamps are believed when the decoder begins with the frame that they put first; it
  // does not where a file was cut in the middle of a group of pictures. Where they know nothing of
  // the reordering that the codec announces, some more frames are asked for.
  const bool doubtful =
      demuxer.stream()->codecpar->video_delay > 0 && std::is_sorted(order_.begin(), order_.end());
  constexpr std::size_t kEnough = 32;
  if (!source_->damage().empty()) at_ = -1;  // so that reading the first frame looks at it again
  if (order_.empty() || first_packet_ != order_[0] || (doubtful && !decodes_in_order(kEnough))) {
    order_by_decoding();
  }
  frame_of_.assign(packets_.size(), -1);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    frame_of_[static_cast<std::size_t>(order_[i])] = static_cast<std::int64_t>(i);
  }
}

bool FileVideo::decodes_in_order(std::size_t count) {
  std::int64_t packet = -1;
  source_->restart();
  bool agree = true;
  for (std::size_t i = 0; agree && i < std::min(count, order_.size()); ++i) {
    agree = source_->next(frame_.get(), &packet) && packet == order_[i];
  }
  source_->restart();
  at_ = -1;
  return agree;
}

void FileVideo::order_by_decoding() {
  order_.clear();
  source_->restart();
  std::vector<bool> seen(packets_.size(), false);
  std::int64_t packet = -1;
  while (source_->next(frame_.get(), &packet)) {
    if (seen[static_cast<std::size_t>(packet)]) continue;
    seen[static_cast<std::size_t>(packet)] = true;
    order_.push_back(packet);
  }
  source_->restart();
  at_ = -1;
}

void FileVideo::place_keyframes() {
  key_frame_.resize(order_.size());
  const bool cumulative = is_cumulative(source_->stream()->codecpar->codec_id);
  std::int64_t key = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const auto frame = static_cast<std::int64_t>(i);
    if (packet_of(frame).key && !cumulative) key = frame;
    key_frame_[i] = key;
  }
}

void FileVideo::describe(const Demuxer& demuxer) {
  if (order_.empty()) {  // the first frame decoded, and then not one when all were counted
    fail("video_corrupt", "video", "{} holds no frame that decodes: make or copy it again", path_);
  }
  const AVStream* stream = demuxer.stream();
  info_.container = demuxer.container()->iformat->name;
  info_.codec = avcodec_get_name(stream->codecpar->codec_id);
  info_.has_audio = demuxer.has_audio();
  info_.frame_count = static_cast<std::int64_t>(order_.size());
  const AVRational rate =
      is_valid(stream->avg_frame_rate) ? stream->avg_frame_rate : stream->r_frame_rate;
  if (is_valid(rate)) info_.fps = {rate.num, rate.den};
  measure_times(demuxer);
}

void FileVideo::measure_times(const Demuxer& demuxer) {
  const double tick = av_q2d(demuxer.stream()->time_base);
  const bool has_pts = std::all_of(order_.begin(), order_.end(), [&](std::int64_t packet) {
    return packets_[static_cast<std::size_t>(packet)].pts != AV_NOPTS_VALUE;
  });
  std::vector<std::int64_t> stamps;
  for (const std::int64_t packet : order_) {
    const PacketEntry& entry = packets_[static_cast<std::size_t>(packet)];
    stamps.push_back(has_pts ? entry.pts : entry.dts);
  }
  // Without pts the decoding times, put in order, are the presentation times but for a delay.
  std::sort(stamps.begin(), stamps.end());
  const bool stamped = stamps.front() != AV_NOPTS_VALUE && tick > 0;

  double fps = info_.fps.value();
  const double span = stamped ? static_cast<double>(stamps.back() - stamps.front()) * tick : 0;
  const auto steps = static_cast<double>(stamps.size() - 1);
  if (fps <= 0) {
    constexpr std::int64_t kMicro = 1000000;
    const double computed = span > 0 ? steps / span : 25;  // libav's own default for pictures
    info_.fps = {std::llround(computed * kMicro), kMicro};
    fps = computed;
  }
  info_.times.reserve(stamps.size());
  for (std::size_t i = 0; i < stamps.size(); ++i) {
    info_.times.push_back(stamped ? static_cast<double>(stamps[i] - stamps.front()) * tick
                                  : static_cast<double>(i) / fps);
  }
  const PacketEntry& last = packet_of(info_.frame_count - 1);
  const bool lasts = last.duration > 0 && tick > 0 && stamped;
  info_.duration =
      info_.times.back() + (lasts ? static_cast<double>(last.duration) * tick : 1.0 / fps);

  // A coarse clock (Matroska's is 1 ms) rounds each step up or down by less than one tick.
  const double mean = steps > 0 ? info_.times.back() / steps : 0;
  const double tolerance = std::max(1.01 * tick, 1e-3 * mean);
  for (std::size_t i = 1; i < info_.times.size(); ++i) {
    const double step = info_.times[i] - info_.times[i - 1];
    info_.variable_frame_rate |= std::abs(step - mean) > tolerance;
  }
}

void FileVideo::fail_frame(std::int64_t frame, const char* what) const {
  fail("video_corrupt", "video",
       "{} {} frame {} of {} (at {:.3f} s): make or copy it again, or "
       "leave the damaged part out with `ffmpeg -i {} repaired.mp4`",
       path_, what, frame, info_.frame_count, info_.times[static_cast<std::size_t>(frame)], path_);
}

void FileVideo::go_near(FrameSource& source, std::int64_t frame) const {
  const std::int64_t key = key_frame_[static_cast<std::size_t>(frame)];
  if (at_ >= 0 && at_ < frame) {
    const std::int64_t ahead =
        order_[static_cast<std::size_t>(key)] - order_[static_cast<std::size_t>(at_)];
    if (ahead <= kWorthSeeking) return;
  }
  at_ = -1;
  if (key == 0) {
    source.restart();
  } else {
    source.seek(order_[static_cast<std::size_t>(key)]);
  }
}

bool FileVideo::advance_to(FrameSource& source, std::int64_t frame) const {
  bool first = source.first_packet() > 0 && at_ < 0;
  std::int64_t packet = -1;
  while (source.next(frame_.get(), &packet)) {
    // A "keyframe" that is not one (an index that lies, gradual refresh) is no place to start.
    const bool intra =
        frame_->pict_type == AV_PICTURE_TYPE_NONE || frame_->pict_type == AV_PICTURE_TYPE_I;
    if (std::exchange(first, false) && packet == source.first_packet() && !intra) return false;
    const std::int64_t shown = frame_of_[static_cast<std::size_t>(packet)];
    if (shown < 0) continue;
    at_ = shown;
    if (shown == frame) return true;
    if (shown > frame) return false;
  }
  return false;
}

bool FileVideo::is_sound(const FrameSource& source, std::int64_t frame) const {
  const std::int64_t key = key_frame_[static_cast<std::size_t>(frame)];
  const std::int64_t first = order_[static_cast<std::size_t>(key)];
  const std::int64_t last = order_[static_cast<std::size_t>(frame)];
  // Frames that are stored after a keyframe but shown before it may lack their references when
  // the file was entered there; `frame` does not depend on them.
  return std::none_of(source.damage().begin(), source.damage().end(), [&](std::int64_t packet) {
    if (packet < first || packet > last) return false;
    const std::int64_t shown = frame_of_[static_cast<std::size_t>(packet)];
    return shown < 0 || shown >= key;
  });
}

void FileVideo::fetch(std::int64_t frame) const {
  if (at_ == frame) return;
  if (!source_) {
    source_ = std::make_unique<FrameSource>(path_, packets_, 0);
    at_ = -1;
  }
  go_near(*source_, frame);
  if (advance_to(*source_, frame) && is_sound(*source_, frame)) return;
  source_.reset();
  fetch_carefully(frame);
}

void FileVideo::fetch_carefully(std::int64_t frame) const {
  // One thread reports damage packet by packet: the verdict does not depend on the number of cores.
  FrameSource source(path_, packets_, 1);
  std::int64_t key = key_frame_[static_cast<std::size_t>(frame)];
  for (int back = 1;; back *= 4) {
    at_ = -1;
    const bool there = key > 0 && source.seek(order_[static_cast<std::size_t>(key)]);
    if (!there) source.restart();
    if (advance_to(source, frame)) {
      if (is_sound(source, frame)) return;
      at_ = -1;
      fail_frame(frame, "is damaged within or before");
    }
    if (!there) break;
    // What the index calls a keyframe was none: further back, in growing steps, to the start.
    for (int i = 0; i < back && key > 0; ++i) key = key_frame_[static_cast<std::size_t>(key - 1)];
  }
  at_ = -1;
  fail_frame(frame, "is damaged, it does not decode to");
}

void FileVideo::convert(std::int64_t frame, std::uint8_t* rgb) const {
  if (const int status = converter_->convert(*frame_, rgb); status < 0) {
    fail("video_corrupt", "video",
         "{}: frame {} ({} x {}, {}) cannot be converted to RGB ({}): convert it with "
         "`ffmpeg -i {} -pix_fmt yuv420p converted.mp4`",
         path_, frame, frame_->width, frame_->height, info_.pixel_format, libav::error_text(status),
         path_);
  }
}

TensorView FileVideo::read(std::span<const std::int64_t> indices) const {
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= info_.frame_count) {
      fail_usage("video", "frame index must be 0 to {} but got {}: {} has {} frames",
                 info_.frame_count - 1, index, path_, info_.frame_count);
    }
  }
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t row = converter_->row_bytes();
  const std::int64_t picture = row * info_.height;
  std::shared_ptr<std::uint8_t[]> memory;
  try {
    memory.reset(new std::uint8_t[static_cast<std::size_t>(picture * count + row)]);
  } catch (const std::bad_alloc&) {
    fail("video_too_large", "video",
         "{} frames of {} x {} must fit in memory but do not ({} MB): "
         "read fewer frames of {} at a time",
         count, info_.width, info_.height, picture * count / 1000000, path_);
  }

  std::vector<std::int64_t> slots(indices.size());
  std::iota(slots.begin(), slots.end(), std::int64_t{0});
  std::stable_sort(slots.begin(), slots.end(), [&](std::int64_t a, std::int64_t b) {
    return indices[static_cast<std::size_t>(a)] < indices[static_cast<std::size_t>(b)];
  });
  libav::forget_log();
  const std::uint8_t* previous = nullptr;
  std::int64_t previous_index = -1;
  for (const std::int64_t slot : slots) {
    std::uint8_t* rgb = memory.get() + slot * picture;
    const std::int64_t index = indices[static_cast<std::size_t>(slot)];
    if (index == previous_index) {
      std::memcpy(rgb, previous, static_cast<std::size_t>(picture));
    } else {
      fetch(index);
      convert(index, rgb);
    }
    previous = rgb;
    previous_index = index;
  }

  TensorView view;
  view.data = memory.get();
  view.shape = {count, 3, info_.height, info_.width};
  view.strides = {picture, 1, row, 3};
  view.owner = std::move(memory);
  return view;
}

}  // namespace

VideoPtr open_video(const std::string& path) { return std::make_shared<FileVideo>(path); }

}  // namespace bestreel
