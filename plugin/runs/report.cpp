#include "plugin/runs/report.h"

#include <filesystem>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/runs/report_media.h"
#include "plugin/runs/report_page.h"

namespace bestreel {

void write_report(const std::string& directory, const RunView& view, const ReportOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    fail("write_failed", "report",
         "{} could not be made ({}): check the folder and its permissions", directory,
         error.message());
  }
  const std::vector<report::Clip> clips =
      report::prepare_clips(directory, view, options.single_file);
  write_file_atomically((std::filesystem::path(directory) / "report.html").string(),
                        report::render(view, clips, options.command));
}

}  // namespace bestreel
