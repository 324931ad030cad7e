#include "core/media/libav.h"

#include <array>
#include <cstdarg>
#include <mutex>
#include <new>

extern "C" {
#include <libavutil/error.h>
#include <libavutil/log.h>
}

namespace bestreel::libav {
namespace {

thread_local std::string last_line;  // NOLINT: one per thread, so that errors do not mix

void keep_last_error(void* source, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  std::array<char, 512> line{};
  int print_prefix = 0;  // the prefix holds an address, which would differ from run to run
  av_log_format_line2(source, level, format, arguments, line.data(), line.size(), &print_prefix);
  std::string text(line.data());
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '.')) {
    text.pop_back();
  }
  if (!text.empty()) last_line = std::move(text);
}

}  // namespace

FramePtr make_frame() {
  FramePtr frame(av_frame_alloc());
  if (!frame) throw std::bad_alloc();
  return frame;
}

PacketPtr make_packet() {
  PacketPtr packet(av_packet_alloc());
  if (!packet) throw std::bad_alloc();
  return packet;
}

void quiet_log() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_callback(keep_last_error); });
}

void forget_log() { last_line.clear(); }

std::string error_text(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  std::string sentence(text.data());
  if (!last_line.empty()) sentence += "; " + last_line;
  return sentence;
}

std::string file_url(const std::string& path) { return "file:" + path; }

}  // namespace bestreel::libav
