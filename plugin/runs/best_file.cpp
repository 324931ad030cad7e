#include "plugin/runs/best_file.h"

#include <filesystem>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel {
namespace fs = std::filesystem;

void write_best(const std::string& directory, const RunView& view) {
  const auto copy = [&](const std::string& from, const std::string& hash) {
    std::string best =
        (fs::path(directory) / ("best" + fs::path(from).extension().string())).string();
    copy_file_atomically(from, best);
    if (sha256_file(best) != hash) {
      fs::remove(best);
      fail("video_changed", view.settings.command,
           "{} has changed since it was judged: start a new run with another --out", from);
    }
    return best;
  };
  std::string best, lossless;
  for (const Candidate& candidate : view.candidates) {
    if (candidate.id != view.winner) continue;
    best = copy(candidate.path, candidate.sha256);
    if (!candidate.lossless.empty()) lossless = copy(candidate.lossless, candidate.lossless_sha256);
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string path = entry.path().string();
    if (entry.path().stem() == "best" && path != best && path != lossless) fs::remove(entry.path());
  }
}

}  // namespace bestreel
