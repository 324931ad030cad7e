// Private to the report: what a browser can play of each video, and where it is.
#pragma once

#include <string>
#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel::report {

/// How a card shows its video.
struct Clip {
  enum class Kind {
    kOriginal,  ///< the judged file itself
    kCopy,      ///< an H.264 copy; `original` links to the file
    kNone,      ///< nothing to play: `note` says why
  };
  Kind kind = Kind::kNone;
  std::string src;       ///< relative URL or data: URI, ready for an attribute; empty for kNone
  std::string original;  ///< relative URL of the judged file, if it is there
  std::string note;      ///< a sentence; empty for an original
};

/// By container, codec and pixel format: H.264 8-bit 4:2:0 in mp4 or mov; VP8, VP9 or AV1 in webm.
bool plays_in_browsers(const std::string& path, const VideoInfo& video);

/// One Clip per candidate, in order. Candidates that no judge could judge get none.
/// Errors: "disk_full", "write_failed"; what is wrong with one video is its note.
std::vector<Clip> prepare_clips(const std::string& directory, const RunView& view,
                                bool single_file);

}  // namespace bestreel::report
