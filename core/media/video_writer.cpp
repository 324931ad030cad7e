#include "core/media/video_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

extern "C" {
#include <libavutil/opt.h>
}

#include "core/base/errno_code.h"
#include "core/base/fail.h"
#include "core/base/temporary_file.h"
#include "core/media/libav.h"
#include "core/media/limits.h"

namespace bestreel {
namespace {

constexpr std::array<std::string_view, 10> kPresets{"ultrafast", "superfast", "veryfast", "faster",
                                                    "fast",      "medium",    "slow",     "slower",
                                                    "veryslow",  "placebo"};

struct CloseOutput {
  void operator()(AVFormatContext* context) const {
    if (context->pb != nullptr) avio_closep(&context->pb);
    avformat_free_context(context);
  }
};

void check_options(const VideoWriterOptions& options) {
  constexpr std::int64_t kMax = std::numeric_limits<int>::max();
  const Rational& fps = options.fps;
  if (fps.num <= 0 || fps.den <= 0 || fps.num > kMax || fps.den > kMax) {
    fail_usage("video",
               "fps must be above 0 but got {}/{}: give the rate that the frames are "
               "shown at",
               fps.num, fps.den);
  }
  if (options.crf < 0 || options.crf > 51) {
    fail_usage("video", "crf must be 0 (lossless) to 51 but got {}: 18 looks like the original",
               options.crf);
  }
  if (std::find(kPresets.begin(), kPresets.end(), options.preset) == kPresets.end()) {
    fail_usage("video", "preset must be one of x264's ({}) but got \"{}\": medium is the default",
               fmt::join(kPresets, ", "), options.preset);
  }
}

}  // namespace

struct VideoWriter::Impl {
  std::string path;
  std::optional<TemporaryFile> file;  ///< from open() to finish()
  VideoWriterOptions options;
  std::unique_ptr<AVFormatContext, CloseOutput> container;
  libav::CodecPtr encoder;
  libav::ScalerPtr scaler;
  libav::FramePtr picture = libav::make_frame();  ///< as the encoder wants it
  libav::PacketPtr packet = libav::make_packet();
  std::vector<std::uint8_t> rgb;  ///< one interleaved picture of the encoder's size
  std::int64_t height = 0, width = 0, count = 0;
  bool finished = false;

  [[noreturn]] void fail_write(int status) const;
  void check(int status) const {
    if (status < 0) fail_write(status);
    // Writes are buffered: a full disk may only show here, some frames late.
    if (container && container->pb != nullptr && container->pb->error < 0) {
      fail_write(container->pb->error);
    }
  }
  void open(std::int64_t frame_height, std::int64_t frame_width);
  void open_h264();
  void open_ffv1();
  void open_container();
  void open_picture();
  bool lossless() const { return options.coding == VideoCoding::kFfv1; }
  void convert(const TensorView& frames, std::int64_t index);
  void encode(const AVFrame* frame);
  void gather(const TensorView& frames, std::int64_t index);
  void discard() {
    container.reset();
    file.reset();
  }
};

void VideoWriter::Impl::fail_write(int status) const {
  if (status == AVERROR(ENOSPC) || status == AVERROR(EDQUOT)) {
    fail("disk_full", "video",
         "{} could not be written, the disk is full: free some space there "
         "and run the same command again",
         path);
  }
  fail(errno_code(AVUNERROR(status), "write_failed"), "video",
       "{} could not be written ({}): check the folder, its permissions "
       "and its limits",
       path, libav::error_text(status));
}

void VideoWriter::Impl::open(std::int64_t frame_height, std::int64_t frame_width) {
  height = frame_height;
  width = frame_width;
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide ||
      height * width > kMaxPixels) {
    fail_usage("video",
               "frames must have sides of 1 to {} pixels but got {} x {} for {}: scale "
               "them down first",
               kMaxSide, width, height, path);
  }
  const char* name = lossless() ? "ffv1" : "libx264";
  const AVCodec* codec = avcodec_find_encoder_by_name(name);
  if (codec == nullptr) {
    fail("write_failed", "video",
         "{} cannot be written, this build of libav has no {}: "
         "install one that has (Debian and Ubuntu: apt-get install libavcodec-extra libx264-dev)",
         path, name);
  }
  encoder.reset(avcodec_alloc_context3(codec));
  if (!encoder) throw std::bad_alloc();
  encoder->time_base = {static_cast<int>(options.fps.den), static_cast<int>(options.fps.num)};
  encoder->framerate = {static_cast<int>(options.fps.num), static_cast<int>(options.fps.den)};
  encoder->thread_count = 1;
  encoder->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
  lossless() ? open_ffv1() : open_h264();
  check(avcodec_open2(encoder.get(), codec, nullptr));
  open_container();
  open_picture();
}

void VideoWriter::Impl::open_ffv1() {
  encoder->width = static_cast<int>(width);
  encoder->height = static_cast<int>(height);
  encoder->pix_fmt = AV_PIX_FMT_0RGB32;
  encoder->level = 3;
  encoder->gop_size = 1;  // every frame by itself: any can be read without the others
  av_opt_set_int(encoder->priv_data, "slicecrc", 1, 0);
}

void VideoWriter::Impl::open_h264() {
  encoder->width = static_cast<int>(width + width % 2);
  encoder->height = static_cast<int>(height + height % 2);
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  // Readers that honour these tags and players that assume them agree: BT.709 is both.
  encoder->colorspace = AVCOL_SPC_BT709;
  encoder->color_primaries = AVCOL_PRI_BT709;
  encoder->color_trc = AVCOL_TRC_BT709;
  encoder->color_range = AVCOL_RANGE_MPEG;
  encoder->chroma_sample_location = AVCHROMA_LOC_LEFT;
  av_opt_set(encoder->priv_data, "preset", options.preset.c_str(), 0);
  // x264's macroblock tree reads memory that nobody has written (seen at 64x64 and at 320x240):
  // equal frames would give unequal files from one process to the next.
  av_opt_set(encoder->priv_data, "x264-params", "mbtree=0", 0);
  av_opt_set_double(encoder->priv_data, "crf", options.crf, 0);
}

void VideoWriter::Impl::open_container() {
  file.emplace(path);
  AVFormatContext* raw = nullptr;
  check(avformat_alloc_output_context2(&raw, nullptr, lossless() ? "matroska" : "mp4",
                                       libav::file_url(file->name()).c_str()));
  container.reset(raw);
  raw->flags |= AVFMT_FLAG_BITEXACT;
  AVStream* stream = avformat_new_stream(raw, nullptr);
  if (stream == nullptr) throw std::bad_alloc();
  check(avcodec_parameters_from_context(stream->codecpar, encoder.get()));
  stream->time_base = encoder->time_base;
  stream->avg_frame_rate = encoder->framerate;
  for (const auto& [key, value] : options.metadata) {
    av_dict_set(&raw->metadata, key.c_str(), value.c_str(), 0);
  }
  check(avio_open(&raw->pb, raw->url, AVIO_FLAG_WRITE));
  AVDictionary* muxing = nullptr;
  if (!lossless()) av_dict_set(&muxing, "movflags", "+faststart+use_metadata_tags", 0);
  const int status = avformat_write_header(raw, &muxing);
  av_dict_free(&muxing);
  check(status);
}

void VideoWriter::Impl::open_picture() {
  const int w = encoder->width;
  const int h = encoder->height;
  // libswscale's vector code reads a block of pixels past the last one.
  constexpr std::size_t kTail = 128;
  rgb.resize(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3 + kTail);
  picture->format = encoder->pix_fmt;
  picture->width = w;
  picture->height = h;
  check(av_frame_get_buffer(picture.get(), 0));
  if (lossless()) return;  // the same numbers in another order: no scaler
  // Averaging chroma from all pixels and exact rounding: without them colours drift by a level.
  constexpr int kFlags = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
  scaler.reset(sws_getContext(w, h, AV_PIX_FMT_RGB24, w, h, AV_PIX_FMT_YUV420P, kFlags, nullptr,
                              nullptr, nullptr));
  if (!scaler) check(AVERROR(EINVAL));
  sws_setColorspaceDetails(scaler.get(), sws_getCoefficients(SWS_CS_DEFAULT), 1,
                           sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
}

void VideoWriter::Impl::gather(const TensorView& frames, std::int64_t index) {
  const auto* frame = static_cast<const std::uint8_t*>(frames.data) + index * frames.strides[0];
  std::uint8_t* out = rgb.data();
  for (std::int64_t y = 0; y < encoder->height; ++y) {
    const std::uint8_t* row = frame + std::min(y, height - 1) * frames.strides[2];
    for (std::int64_t x = 0; x < encoder->width; ++x) {
      const std::uint8_t* pixel = row + std::min(x, width - 1) * frames.strides[3];
      for (std::int64_t c = 0; c < 3; ++c) *out++ = pixel[c * frames.strides[1]];
    }
  }
}

/// One frame into `picture`.
void VideoWriter::Impl::convert(const TensorView& frames, std::int64_t index) {
  gather(frames, index);
  check(av_frame_make_writable(picture.get()));
  if (!lossless()) {
    const std::uint8_t* const in[4] = {rgb.data(), nullptr, nullptr, nullptr};
    const int in_stride[4] = {encoder->width * 3, 0, 0, 0};
    sws_scale(scaler.get(), in, in_stride, 0, encoder->height, picture->data, picture->linesize);
    return;
  }
  const std::uint8_t* from = rgb.data();
  for (int y = 0; y < encoder->height; ++y) {
    auto* row = reinterpret_cast<std::uint32_t*>(picture->data[0] +
                                                 std::ptrdiff_t{y} * picture->linesize[0]);
    for (int x = 0; x < encoder->width; ++x, from += 3) {
      row[x] = 0xFF000000U | std::uint32_t{from[0]} << 16 | std::uint32_t{from[1]} << 8 | from[2];
    }
  }
}

void VideoWriter::Impl::encode(const AVFrame* frame) {
  check(avcodec_send_frame(encoder.get(), frame));
  AVStream* stream = container->streams[0];
  for (;;) {
    const int status = avcodec_receive_packet(encoder.get(), packet.get());
    if (status == AVERROR(EAGAIN) || status == AVERROR_EOF) return;
    check(status);
    packet->stream_index = 0;
    packet->duration = 1;
    av_packet_rescale_ts(packet.get(), encoder->time_base, stream->time_base);
    check(av_interleaved_write_frame(container.get(), packet.get()));
  }
}

VideoWriter::VideoWriter(std::string path, VideoWriterOptions options)
    : impl_(std::make_unique<Impl>()) {
  check_options(options);
  if (std::filesystem::is_directory(path)) {
    fail("write_failed", "video",
         "{} must be a video file but is a folder: name a file in it, such as {}/video.mp4", path,
         path);
  }
  libav::quiet_log();
  impl_->path = std::move(path);
  impl_->options = std::move(options);
}

VideoWriter::~VideoWriter() { impl_->discard(); }

void VideoWriter::add(const TensorView& frames) {
  Impl& self = *impl_;
  if (self.finished) {
    fail_usage("video",
               "frames must be added before finish() but {} is finished: open another "
               "writer",
               self.path);
  }
  if (frames.shape.size() != 4 || frames.strides.size() != 4 || frames.shape[1] != 3 ||
      frames.dtype != DType::kUInt8 || frames.device.kind != DeviceKind::kCpu) {
    fail_usage("video",
               "frames for {} must be uint8 of shape (T, 3, H, W) on the CPU: convert "
               "and copy them first",
               self.path);
  }
  if (frames.shape[0] == 0) return;
  libav::forget_log();
  if (self.count == 0) {
    self.open(frames.shape[2], frames.shape[3]);
  } else if (frames.shape[2] != self.height || frames.shape[3] != self.width) {
    fail_usage("video",
               "every frame of {} must be {} x {} like the first but got {} x {}: scale "
               "them to one size",
               self.path, self.width, self.height, frames.shape[3], frames.shape[2]);
  }
  for (std::int64_t i = 0; i < frames.shape[0]; ++i) {
    self.convert(frames, i);
    self.picture->pts = self.count++;
    self.encode(self.picture.get());
  }
}

void VideoWriter::finish() {
  Impl& self = *impl_;
  if (self.finished) return;
  if (self.count == 0) {
    fail_usage("video", "{} must hold at least one frame but none was added: call add() first",
               self.path);
  }
  libav::forget_log();
  self.encode(nullptr);
  self.check(av_write_trailer(self.container.get()));
  self.check(avio_closep(&self.container->pb));
  self.container.reset();
  self.file->commit();
  self.finished = true;
}

}  // namespace bestreel
