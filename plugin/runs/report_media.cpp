#include "plugin/runs/report_media.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <system_error>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/temporary_file.h"
#include "core/media/video.h"
#include "core/media/video_writer.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/report_text.h"
#include "plugin/runs/report_verdict.h"

namespace bestreel::report {
namespace {

namespace fs = std::filesystem;

constexpr double kCopySeconds = 60;
constexpr double kCopyRate = 60;  ///< frames a second at most
/// Above this a page for sending would be unwieldy, and browsers refuse data: URIs near 512 MB.
constexpr std::uintmax_t kEmbedBytes = 64u << 20;
constexpr std::size_t kBlockBytes = 64u << 20;  ///< of frames in memory at once

/// Links are resolved by the browser on names, without following links of the file system: so the
/// folders are resolved here, and the file keeps its own name even where it is a link itself.
std::string relative_url(const std::string& directory, const fs::path& path) {
  std::error_code ignored;
  const fs::path from = fs::weakly_canonical(fs::absolute(directory), ignored);
  const fs::path to =
      fs::weakly_canonical(fs::absolute(path).parent_path(), ignored) / path.filename();
  return url_path(to.lexically_relative(from).string());
}

/// The frame that is shown at each tick of a constant rate: variable rates keep their pace.
std::vector<std::int64_t> frames_at_rate(const VideoInfo& info, Rational rate) {
  const double last = info.times.empty() ? 0 : info.times.back();
  const double end = std::min(kCopySeconds, std::max(info.duration, last));
  const auto ticks =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::llround(end * rate.value())));
  std::vector<std::int64_t> frames;
  std::size_t frame = 0;
  for (std::int64_t tick = 0; tick < ticks; ++tick) {
    const double time = (static_cast<double>(tick) + 0.5) / rate.value();
    while (frame + 1 < info.times.size() && info.times[frame + 1] <= time) ++frame;
    frames.push_back(static_cast<std::int64_t>(frame));
  }
  return frames;
}

/// At `copy`: H.264 of at most a minute. Throws the Error of the video, or of the disk.
void write_copy(const std::string& path, const fs::path& copy) {
  const VideoPtr video = open_video(path);
  Rational rate = video->info().fps;
  if (rate.num <= 0 || rate.den <= 0) rate = {25, 1};
  if (rate.value() > kCopyRate) rate = {static_cast<std::int64_t>(kCopyRate), 1};
  const std::vector<std::int64_t> frames = frames_at_rate(video->info(), rate);
  VideoWriter writer(copy.string(), {.fps = rate, .crf = 20, .preset = "veryfast", .metadata = {}});
  const std::size_t frame_bytes = 3 * static_cast<std::size_t>(std::max(1, video->info().width)) *
                                  static_cast<std::size_t>(std::max(1, video->info().height));
  const std::size_t block = std::clamp<std::size_t>(kBlockBytes / frame_bytes, 1, 16);
  for (std::size_t begin = 0; begin < frames.size(); begin += block) {
    const std::size_t count = std::min(block, frames.size() - begin);
    writer.add(video->read_host(std::span(frames).subspan(begin, count)));
  }
  writer.finish();
}

/// A run from elsewhere may name any file of ours: what goes into the page, or into a copy beside
/// it, is the file that was judged.
void require_judged(const Candidate& candidate) {
  if (is_intact(candidate.path, candidate.sha256)) return;
  fail("video_changed", "report", "it is not the file that was judged");
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return !error && size > 0;
}

/// The name holds the content's hash, so a copy that is there is the right one.
fs::path copy_path(const std::string& directory, const Candidate& candidate) {
  const std::string hash = candidate.sha256.empty() ? sha256(candidate.path) : candidate.sha256;
  return fs::path(directory) / "report_files" /
         (file_name(candidate.id) + "-" + hash.substr(0, 12) + ".mp4");
}

/// Copies are for the page with links; one that only a single file needs does not stay behind.
class CopyOnDisk {
 public:
  CopyOnDisk(fs::path path, const std::string& source, bool keep) : path_(std::move(path)) {
    std::error_code ignored;
    if (is_there(path_) && fs::is_regular_file(fs::symlink_status(path_, ignored))) return;
    made_folder_ = !fs::exists(path_.parent_path(), ignored);
    make_own_folder(path_.parent_path().string());
    try {
      write_copy(source, path_);
    } catch (...) {
      if (made_folder_) remove(path_.parent_path());
      throw;
    }
    temporary_ = !keep;
  }
  ~CopyOnDisk() {
    if (!temporary_) return;
    remove(path_);
    if (made_folder_) remove(path_.parent_path());
  }
  CopyOnDisk(const CopyOnDisk&) = delete;
  CopyOnDisk& operator=(const CopyOnDisk&) = delete;
  const fs::path& path() const { return path_; }

 private:
  static void remove(const fs::path& path) {  // a folder only when it is empty
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  fs::path path_;
  bool made_folder_ = false;
  bool temporary_ = false;
};

std::string data_uri(const fs::path& path, const std::string& type) {
  return "data:" + type + ";base64," + base64(read_file(path.string()));
}

Clip copy_of(const std::string& directory, const Candidate& candidate, bool single_file,
             const std::string& why) {
  Clip clip;
  if (!single_file) clip.original = relative_url(directory, candidate.path);
  require_judged(candidate);
  const CopyOnDisk copy(copy_path(directory, candidate), candidate.path, !single_file);
  clip.src =
      single_file ? data_uri(copy.path(), "video/mp4") : relative_url(directory, copy.path());
  clip.kind = Clip::Kind::kCopy;
  const bool cut = candidate.video.duration > kCopySeconds;
  clip.note = fmt::format("{}: this is an H.264 copy{}. The judge saw the original file.", why,
                          cut ? " of its first 60 seconds" : "");
  return clip;
}

Clip clip_of(const std::string& directory, const Candidate& candidate, bool single_file) {
  if (all_failed(candidate)) return {};
  if (!is_there(candidate.path)) {
    Clip clip;
    clip.note = "The file is no longer at " + candidate.path + ".";
    return clip;
  }
  if (!plays_in_browsers(candidate.path, candidate.video)) {
    const std::string codec = candidate.video.codec.empty() ? "this format" : candidate.video.codec;
    return copy_of(directory, candidate, single_file, "Browsers do not play " + codec);
  }
  std::error_code ignored;
  if (single_file && fs::file_size(candidate.path, ignored) > kEmbedBytes) {
    return copy_of(directory, candidate, single_file, "The original is too large for one page");
  }
  Clip clip;
  clip.kind = Clip::Kind::kOriginal;
  const bool webm = candidate.video.container.find("webm") != std::string::npos;
  if (single_file) {
    require_judged(candidate);
    clip.src = data_uri(candidate.path, webm ? "video/webm" : "video/mp4");
  } else {
    clip.src = clip.original = relative_url(directory, candidate.path);
  }
  return clip;
}

}  // namespace

bool plays_in_browsers(const std::string& path, const VideoInfo& video) {
  const auto is_any_of = [](const std::string& value, std::initializer_list<const char*> list) {
    return std::any_of(list.begin(), list.end(), [&](const char* each) { return value == each; });
  };
  if (video.container.find("mp4") != std::string::npos) {
    return video.codec == "h264" && is_any_of(video.pixel_format, {"yuv420p", "yuvj420p"});
  }
  // libav has one name for Matroska and WebM; browsers go by the file's name.
  std::string extension = fs::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return video.container.find("webm") != std::string::npos && extension == ".webm" &&
         is_any_of(video.codec, {"vp8", "vp9", "av1"}) &&
         is_any_of(video.pixel_format, {"yuv420p", "yuva420p"});
}

std::vector<Clip> prepare_clips(const std::string& directory, const RunView& view,
                                bool single_file) {
  std::vector<Clip> clips;
  clips.reserve(view.candidates.size());
  for (const Candidate& candidate : view.candidates) {
    try {
      clips.push_back(clip_of(directory, candidate, single_file));
    } catch (const Error& error) {
      if (error.code() == "disk_full" || error.code() == "write_failed") throw;
      clips.push_back({.note = "This video cannot be shown: " + error.sentence()});
    }
  }
  return clips;
}

}  // namespace bestreel::report
