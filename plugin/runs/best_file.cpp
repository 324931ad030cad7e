#include "plugin/runs/best_file.h"

#include <filesystem>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel {
namespace fs = std::filesystem;

void write_best(const std::string& directory, const RunView& view) {
  std::string best;
  for (const Candidate& candidate : view.candidates) {
    if (candidate.id != view.winner) continue;
    const fs::path path(candidate.path);
    best = (fs::path(directory) / ("best" + path.extension().string())).string();
    copy_file_atomically(candidate.path, best);
    if (sha256_file(best) != candidate.sha256) {
      fs::remove(best);
      fail("video_changed", view.settings.command,
           "{} has changed since it was judged: start a new run with another --out",
           candidate.path);
    }
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.path().stem() == "best" && entry.path().string() != best) fs::remove(entry.path());
  }
}

}  // namespace bestreel
