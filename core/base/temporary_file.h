// A file in the making, and what is left of those whose maker was killed.
#pragma once

#include <string>
#include <string_view>

#include "core/base/export.h"

namespace bestreel {

/// Beside `path` under a random name: made anew (O_EXCL, no link is followed), removed by the
/// destructor unless it was committed, and locked while its writer lives: that is how
/// remove_leftovers() knows what a killed one left. The first file in a folder removes those of
/// before. Errors: "disk_full", "write_failed", and the codes of errno_code().
class BESTREEL_API TemporaryFile {
 public:
  explicit TemporaryFile(std::string path);
  ~TemporaryFile();
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&& other) noexcept;

  const std::string& name() const { return name_; }  ///< for writers that open files themselves
  int descriptor() const { return descriptor_; }     ///< for reading and writing
  void write(std::string_view bytes);
  /// Flushes it and gives it its name; a link there is replaced and never written through. Where
  /// that fails nothing stays behind.
  void commit();

 private:
  std::string path_, name_;
  int descriptor_ = -1;
};

/// Removes what writers that were killed left in `folder` (a TemporaryFile whose lock is free); a
/// folder that is not there has none.
BESTREEL_API void remove_leftovers(const std::string& folder) noexcept;

/// The folder `path`, made where it is not there yet. A link in its place is refused: in a run from
/// elsewhere it may lead anywhere. Errors: "run_foreign", and the codes of errno_code().
BESTREEL_API void make_own_folder(const std::string& path);

}  // namespace bestreel
