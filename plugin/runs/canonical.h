// Two runs that should be equal, compared: their events without clocks, paths and process history.
#pragma once

#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/runs/run_store.h"

namespace bestreel {

/// One line per event, sorted by (wave, step, candidate, kind, body): a run that was killed and
/// resumed has the same table as one that was not, since everything in it is keyed by its place and
/// not by when it happened. Left out: seq, at, every "seconds" and "peak_bytes", folders of paths,
/// and the kinds "waited", "redone" and "best_written".
BESTREEL_API std::string canonical_table(const std::vector<Event>& events);

/// The same of one body.
BESTREEL_API std::string canonical_body(const std::string& body);

}  // namespace bestreel
