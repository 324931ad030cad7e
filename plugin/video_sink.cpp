#include "plugin/video_sink.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/temporary_file.h"
#include "core/media/video_writer.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kBlock = 8;  ///< frames in hand at once

void write_video(const std::string& path, const Video& video, VideoWriterOptions options) {
  options.fps = video.info().fps;
  VideoWriter writer(path, std::move(options));
  for (std::int64_t first = 0; first < video.info().frame_count; first += kBlock) {
    std::vector<std::int64_t> indices(
        static_cast<std::size_t>(std::min(kBlock, video.info().frame_count - first)));
    std::iota(indices.begin(), indices.end(), first);
    writer.add(video.read_host(indices));
  }
  writer.finish();
}

/// DIRECTORY/NAME, its folder made.
std::string make_place(const std::string& directory, const std::string& name) {
  const fs::path path = fs::absolute(fs::path(directory) / name).lexically_normal();
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error && fs::path(name).has_parent_path()) make_own_folder(path.parent_path().string());
  if (error) {
    fail("write_failed", "session",
         "{} could not be made ({}): check the folder and its "
         "permissions",
         path.parent_path().string(), error.message());
  }
  return path.string();
}

}  // namespace

VideoSink mp4_sink(const std::string& directory, std::map<std::string, std::string> metadata) {
  return
      [directory, metadata = std::move(metadata)](const std::string& name, const VideoPtr& video) {
        const bool foreign = !video->path().empty();
        const std::string path = make_place(
            directory, name + (foreign ? fs::path(video->path()).extension().string() : ".mp4"));
        if (foreign) {
          copy_file_atomically(video->path(), path);
        } else {
          write_video(path, *video, {.metadata = metadata});
        }
        return path;
      };
}

VideoSink lossless_sink(const std::string& directory, std::map<std::string, std::string> metadata) {
  return
      [directory, metadata = std::move(metadata)](const std::string& name, const VideoPtr& video) {
        const std::string path = make_place(directory, name + ".mkv");
        write_video(path, *video, {.coding = VideoCoding::kFfv1, .metadata = metadata});
        return path;
      };
}

}  // namespace bestreel
