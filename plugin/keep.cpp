#include "plugin/keep.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/media/video_writer.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kBlock = 8;  ///< frames in hand at once

void write_mp4(const std::string& path, const Video& video,
               const std::map<std::string, std::string>& metadata) {
  VideoWriter writer(path, {.fps = video.info().fps, .metadata = metadata});
  for (std::int64_t first = 0; first < video.info().frame_count; first += kBlock) {
    std::vector<std::int64_t> indices(
        static_cast<std::size_t>(std::min(kBlock, video.info().frame_count - first)));
    std::iota(indices.begin(), indices.end(), first);
    writer.add(video.read_host(indices));
  }
  writer.finish();
}

}  // namespace

Keep mp4_keeper(const std::string& directory, std::map<std::string, std::string> metadata) {
  return
      [directory, metadata = std::move(metadata)](const std::string& name, const VideoPtr& video) {
        const bool foreign = !video->path().empty();
        const fs::path path =
            fs::absolute(fs::path(directory) /
                         (name + (foreign ? fs::path(video->path()).extension().string() : ".mp4")))
                .lexically_normal();
        std::error_code error;
        fs::create_directories(path.parent_path(), error);
        if (error) {
          fail("write_failed", "session",
               "{} could not be made ({}): check the folder and its "
               "permissions",
               path.parent_path().string(), error.message());
        }
        if (foreign) {
          copy_file_atomically(video->path(), path.string());
        } else {
          write_mp4(path.string(), *video, metadata);
        }
        return path.string();
      };
}

}  // namespace bestreel
