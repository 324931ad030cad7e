#include "core/media/demuxer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

extern "C" {
#include <libavutil/dict.h>
}

#include "core/base/errno_code.h"
#include "core/base/fail.h"

namespace bestreel {
namespace {

/// Everything that can be said about a path before libav looks at it, so that the sentence names
/// the mistake and not libav's guess at a format.
void check_path(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      fail("video_missing", "video", "{} does not exist: check the path",
           path.empty() ? "the empty path" : path);
    }
    fail(errno_code(errno, "video_unreadable"), "video", "{} cannot be read ({}): {}", path,
         std::strerror(errno), errno_remedy(errno));
  }
  if (S_ISDIR(status.st_mode)) {
    fail("video_is_folder", "video",
         "{} must be a video file but is a folder: name the files in "
         "it, such as {}/*.mp4",
         path, path);
  }
  if (!S_ISREG(status.st_mode)) {
    fail("video_unreadable", "video",
         "{} must be a regular file but is a device, pipe or socket: "
         "save the video to a file first",
         path);
  }
  if (status.st_size == 0) {
    fail("video_empty", "video",
         "{} is empty (0 bytes): whatever wrote it did not finish, make or "
         "copy it again",
         path);
  }
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    fail(errno_code(errno, "video_unreadable"), "video", "{} cannot be read ({}): {}", path,
         std::strerror(errno), errno_remedy(errno));
  }
  ::close(descriptor);
}

/// libav draws any text file as a terminal would; to a judge this is no video.
bool is_text_art(std::string_view format) {
  constexpr std::array<std::string_view, 5> kTextArt{"tty", "bin", "xbin", "adf", "idf"};
  for (const std::string_view name : kTextArt) {
    if (format == name) return true;
  }
  return false;
}

/// Whether the file begins as mp4 and mov do, with an "ftyp" box.
bool begins_as_mp4(const std::string& path) {
  std::array<char, 8> head{};
  std::ifstream(path, std::ios::binary).read(head.data(), head.size());
  return std::string_view(head.data() + 4, 4) == "ftyp";
}

/// Throws where libav's `status` says that the machine gave out, which says nothing of the video.
void fail_of_machine(const std::string& path, int status) {
  const std::string code = errno_code(AVUNERROR(status), "");
  if (!code.empty()) {
    fail(code, "video", "{} cannot be read ({}): {}", path, std::strerror(AVUNERROR(status)),
         errno_remedy(AVUNERROR(status)));
  }
}

[[noreturn]] void fail_unknown_format(const std::string& path, const std::string& reason) {
  fail("video_corrupt", "video",
       "{} must be a video that libav can read but is not one, or is "
       "damaged ({}): check it with `ffprobe`, then make or copy it again",
       path, reason);
}

}  // namespace

Demuxer::Demuxer(const std::string& path) {
  check_path(path);
  libav::quiet_log();
  libav::forget_log();

  // Playlists may name other files; none of them is fetched from a network.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  AVFormatContext* raw = nullptr;
  const int opened = avformat_open_input(&raw, libav::file_url(path).c_str(), nullptr, &options);
  av_dict_free(&options);
  if (opened < 0) {
    fail_of_machine(path, opened);
    const std::string reason = libav::error_text(opened);
    if (begins_as_mp4(path) && reason.find("moov") != std::string::npos) {
      fail("video_corrupt", "video",
           "{} is truncated or was never finished: its index, which is written last, is missing "
           "({}): make or copy it again",
           path, reason);
    }
    fail_unknown_format(path, reason);
  }
  context_.reset(raw);
  if (is_text_art(context_->iformat->name)) fail_unknown_format(path, "it looks like text");
  if (const int found = avformat_find_stream_info(raw, nullptr); found < 0) {
    fail_of_machine(path, found);
    fail_unknown_format(path, libav::error_text(found));
  }

  for (unsigned i = 0; i < raw->nb_streams; ++i) {
    has_audio_ |= raw->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
  }
  stream_ = av_find_best_stream(raw, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  // A cover image inside a sound file is a "video stream" to libav.
  const bool cover =
      stream_ >= 0 && (raw->streams[stream_]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
  if (stream_ < 0 || cover) {
    if (has_audio_) {
      fail("video_audio_only", "video",
           "{} must hold pictures but holds only sound: give the "
           "video file that belongs to it",
           path);
    }
    fail_unknown_format(path, "it holds no video stream");
  }
  for (unsigned i = 0; i < raw->nb_streams; ++i) {
    if (static_cast<int>(i) != stream_) raw->streams[i]->discard = AVDISCARD_ALL;
  }
}

bool Demuxer::next(AVPacket* packet) {
  for (;;) {
    av_packet_unref(packet);
    const int status = av_read_frame(context_.get(), packet);
    if (status == AVERROR(EAGAIN)) continue;
    if (status < 0) {
      if (status != AVERROR_EOF) end_error_ = status;
      return false;
    }
    // An empty packet repeats the previous picture; to a decoder it would mean "the end".
    if (packet->stream_index == stream_ && packet->size > 0) return true;
  }
}

bool Demuxer::seek(std::int64_t timestamp) {
  return av_seek_frame(context_.get(), stream_, timestamp, AVSEEK_FLAG_BACKWARD) >= 0;
}

}  // namespace bestreel
