// Keeps a session's videos as files.
#pragma once

#include <map>
#include <string>

#include "core/base/export.h"
#include "plugin/session.h"

namespace bestreel {

/// H.264 mp4 for browsers under DIRECTORY/NAME.mp4, equal bytes for equal videos; a video that
/// comes from a file is copied byte for byte instead, under its own extension. `metadata` is
/// written into each mp4. The keeper throws what VideoWriter and copy_file_atomically() throw, and
/// UsageError for frames that are not on the CPU.
BESTREEL_API VideoSink mp4_sink(const std::string& directory,
                                std::map<std::string, std::string> metadata = {});

/// FFV1 under DIRECTORY/NAME.mkv: every frame as the engine made it, bit for bit. For
/// SessionOptions::lossless_sink.
BESTREEL_API VideoSink lossless_sink(const std::string& directory,
                                     std::map<std::string, std::string> metadata = {});

}  // namespace bestreel
