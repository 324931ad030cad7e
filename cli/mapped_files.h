// Files that become shorter, or unreadable, while they are mapped.
#pragma once

namespace bestreel::cli {

/// From here on a read of such a mapping ends the process with a sentence that names the file and
/// exit status 1, not with a signal. For the program only: in a library SIGBUS is its host's.
void name_lost_mappings();

}  // namespace bestreel::cli
