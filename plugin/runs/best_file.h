// Private to the library: the winner's file under the name that everyone looks for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel {

/// Writes DIRECTORY/best.<ext>, the winner's file byte for byte (and, where it has one, its copy
/// without loss), then removes the best files of before. Only files that the run has recorded
/// (`record`, before each appears) and that are as it wrote them are replaced or removed, and none
/// before its successor is whole. Errors: "video_changed" (the winner's file is not as it was taken
/// in), "file_foreign" (another's file has the name), those of TemporaryFile.
void write_best(const std::string& directory, const RunView& view,
                const std::function<void(Event)>& record);

/// Before a run begins in `directory`: throws UsageError where a file has a name that the run
/// writes to, an input of `inputs` or any other: report.html, best.<ext> with one of `extensions`,
/// and, where the run makes its videos (`makes`), c000.<ext> and the like.
void refuse_outputs_of_others(const std::string& directory, const std::vector<std::string>& inputs,
                              const std::vector<std::string>& extensions, bool makes);

/// Whether the file at `path` is a plain file with this hash.
bool is_intact(const std::string& path, const std::string& hash);

}  // namespace bestreel
