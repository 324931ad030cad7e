#include "examples/tinyworld/sheet.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
}

#include <algorithm>
#include <cstring>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel::tinyworld {
namespace {

const cv::Scalar kPaper(250, 250, 248);
const cv::Scalar kInk(30, 30, 34);
const cv::Scalar kChoice(20, 150, 70);
constexpr int kLine = 17;    // pixels from one text line to the next
constexpr int kMargin = 12;  // around a cell

void put_text(cv::Mat& picture, const std::string& text, int x, int y,
              const cv::Scalar& colour = kInk) {
  cv::putText(picture, text, {x, y}, cv::FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv::LINE_AA);
}

struct FreeContext {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
};
struct FreeFrame {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct FreePacket {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};

/// RGB to PNG by libav.
std::string to_png(const cv::Mat& picture) {
  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
  if (codec == nullptr)
    fail("codec_missing", "sheet", "this libav has no PNG encoder: install Debian's libavcodec");
  const std::unique_ptr<AVCodecContext, FreeContext> context(avcodec_alloc_context3(codec));
  const std::unique_ptr<AVFrame, FreeFrame> frame(av_frame_alloc());
  const std::unique_ptr<AVPacket, FreePacket> packet(av_packet_alloc());
  if (!context || !frame || !packet) fail("out_of_memory", "sheet", "no memory for the picture");
  context->width = frame->width = picture.cols;
  context->height = frame->height = picture.rows;
  context->pix_fmt = AV_PIX_FMT_RGB24;
  frame->format = AV_PIX_FMT_RGB24;
  context->time_base = {1, 1};
  if (avcodec_open2(context.get(), codec, nullptr) < 0 || av_frame_get_buffer(frame.get(), 0) < 0) {
    fail("usage", "sheet", "a sheet of {} x {} pixels is too large: give fewer clips", picture.cols,
         picture.rows);
  }
  for (int y = 0; y < picture.rows; ++y) {
    std::memcpy(frame->data[0] + std::ptrdiff_t(y) * frame->linesize[0], picture.ptr(y),
                std::size_t(picture.cols) * 3);
  }
  if (avcodec_send_frame(context.get(), frame.get()) < 0 ||
      avcodec_send_frame(context.get(), nullptr) < 0 ||
      avcodec_receive_packet(context.get(), packet.get()) < 0) {
    fail("write_failed", "sheet", "the picture could not be encoded");
  }
  return {reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)};
}

}  // namespace

void write_sheet(const std::string& path, const std::string& title,
                 const std::vector<SheetEntry>& entries, int columns, int frames, int scale) {
  if (entries.empty()) fail("usage", "sheet", "a sheet must have at least one clip");
  std::size_t lines = 0;
  int height = 0;
  int width = 0;
  for (const SheetEntry& entry : entries) {
    lines = std::max(lines, entry.lines.size());
    height = std::max(height, entry.clip.height * scale);
    width = std::max(width, entry.clip.width * scale);
  }
  columns = std::clamp(columns, 1, static_cast<int>(entries.size()));
  const int cell_width = frames * width + 2 * kMargin;
  const int cell_height = height + static_cast<int>(lines) * kLine + 2 * kMargin;
  const int rows = (static_cast<int>(entries.size()) + columns - 1) / columns;
  const int head = title.empty() ? 0 : kLine + kMargin;
  cv::Mat picture(rows * cell_height + head, columns * cell_width, CV_8UC3, kPaper);
  if (!title.empty()) put_text(picture, title, kMargin, head - 4);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const SheetEntry& entry = entries[i];
    const int x0 = static_cast<int>(i) % columns * cell_width + kMargin;
    const int y0 = head + static_cast<int>(i) / columns * cell_height + kMargin;
    for (int k = 0; k < frames; ++k) {
      const int t = frames == 1 ? 0 : k * (entry.clip.frames - 1) / (frames - 1);
      // OpenCV does not write to the source of a resize.
      const cv::Mat frame(entry.clip.height, entry.clip.width, CV_8UC3,
                          const_cast<std::uint8_t*>(entry.clip.frame(t)));
      cv::Mat target = picture(cv::Rect(x0 + k * width, y0, width - 1, height - 1));
      cv::resize(frame, target, target.size(), 0, 0, cv::INTER_NEAREST);
    }
    for (std::size_t l = 0; l < entry.lines.size(); ++l) {
      put_text(picture, entry.lines[l], x0, y0 + height + static_cast<int>(l + 1) * kLine - 4,
               entry.framed ? kChoice : kInk);
    }
    if (entry.framed) {
      cv::rectangle(picture, cv::Rect(x0 - 6, y0 - 6, cell_width - 12, cell_height - 12), kChoice,
                    3);
    }
  }
  write_file_atomically(path, to_png(picture));
}

}  // namespace bestreel::tinyworld
