// Private to runs/: paths as a run keeps them, relative to its folder, so that a run that was moved
// or renamed finds its files.
#pragma once

#include <string>

namespace bestreel::runs {

/// `body` with its files ("path", "lossless") relative to `directory`; of a file outside the
/// absolute path is kept beside it, for a run that is moved without what it judged.
std::string with_stored_paths(const std::string& body, const std::string& directory);

/// The inverse: absolute paths, of a file outside the one of both that is there. A body that is no
/// JSON comes back as it is.
std::string with_real_paths(const std::string& body, const std::string& directory);

}  // namespace bestreel::runs
