// Files that appear whole or not at all, a lock that dies with its holder, and hashes.
#pragma once

#include <string>
#include <string_view>

#include "core/base/export.h"

namespace bestreel {

/// The whole file. Errors: "file_missing", "file_unreadable".
BESTREEL_API std::string read_file(const std::string& path);

/// Write beside, fsync, rename, fsync the folder: after a crash the old or the new file is there.
/// Errors: "disk_full", "write_failed".
BESTREEL_API void write_file_atomically(const std::string& path, std::string_view bytes);

/// The same, from another file, byte for byte.
BESTREEL_API void copy_file_atomically(const std::string& from, const std::string& to);

/// Flushes a finished file and gives it its name: the tail of every atomic write.
BESTREEL_API void commit_file(const std::string& temporary, const std::string& path);

/// 64 hexadecimal digits.
BESTREEL_API std::string sha256(std::string_view bytes);
BESTREEL_API std::string sha256_file(const std::string& path);

/// An exclusive flock on `path`; the system lets go when the process dies. Error "run_locked" with
/// the holder's process id.
class BESTREEL_API FileLock {
 public:
  explicit FileLock(std::string path);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace bestreel
