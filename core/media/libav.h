// Owners for libav's objects, its error texts, and its log kept quiet. Private to core/media.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <string>

namespace bestreel::libav {

struct Free {
  void operator()(AVFormatContext* context) const { avformat_close_input(&context); }
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(SwsContext* context) const { sws_freeContext(context); }
};

using InputPtr = std::unique_ptr<AVFormatContext, Free>;
using CodecPtr = std::unique_ptr<AVCodecContext, Free>;
using FramePtr = std::unique_ptr<AVFrame, Free>;
using PacketPtr = std::unique_ptr<AVPacket, Free>;
using ScalerPtr = std::unique_ptr<SwsContext, Free>;

FramePtr make_frame();
PacketPtr make_packet();

/// Takes libav's log over, once per process: a library has no business on its host's stderr. The
/// last error line of each thread is kept for the next error sentence.
void quiet_log();

/// Forgets this thread's last log line: call it before the work whose error it should explain.
void forget_log();

/// "Invalid data found when processing input; moov atom not found"
std::string error_text(int code);

/// libav takes "a:b.mp4" for a protocol; this name is always a file.
std::string file_url(const std::string& path);

}  // namespace bestreel::libav
