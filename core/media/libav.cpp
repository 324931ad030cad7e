#include "core/media/libav.h"

#include <array>
#include <cstdarg>
#include <cstring>
#include <mutex>
#include <new>

extern "C" {
#include <libavutil/error.h>
#include <libavutil/log.h>
}

namespace bestreel::libav {
namespace {

// One per thread, so that errors do not mix. A fixed buffer, since libav's C code calls from its
// own threads: an exception there (no memory) would end the process.
constexpr int kLine = 512;
thread_local char last_line[kLine] = {};  // NOLINT

void keep_last_error(void* source, int level, const char* format, va_list arguments) noexcept {
  if (level > AV_LOG_ERROR) return;
  char line[kLine] = {};
  int print_prefix = 0;  // the prefix holds an address, which would differ from run to run
  av_log_format_line2(source, level, format, arguments, line, kLine, &print_prefix);
  std::size_t length = std::strlen(line);
  while (length > 0 && std::strchr("\n .", line[length - 1]) != nullptr) line[--length] = '\0';
  if (length > 0) std::memcpy(last_line, line, length + 1);
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

void forget_log() { last_line[0] = '\0'; }

std::string error_text(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  std::string sentence(text.data());
  if (last_line[0] != '\0') sentence += std::string("; ") + last_line;
  return sentence;
}

std::string file_url(const std::string& path) { return "file:" + path; }

}  // namespace bestreel::libav
