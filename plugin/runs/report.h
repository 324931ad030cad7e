// The run as one HTML page that needs no network.
#pragma once

#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/runs/run_view.h"

namespace bestreel {

struct ReportOptions {
  bool single_file = false;  ///< videos inside the page as data: URIs; otherwise relative links
  std::vector<std::string> command;  ///< that makes the run again, for "Make it again"; empty: none
};

/// Writes DIRECTORY/report.html atomically. Videos that browsers cannot play (by container and
/// codec) get an H.264 copy of at most 60 s under DIRECTORY/report_files/, which the page says.
/// Errors: "disk_full", "write_failed".
BESTREEL_API void write_report(const std::string& directory, const RunView& view,
                               const ReportOptions& options = {});

}  // namespace bestreel
