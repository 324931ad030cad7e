// Private to runs/: reads a run's file without writing, beside a writer or where nothing can be
// written.
#pragma once

#include <string>
#include <vector>

#include "plugin/runs/run_store.h"
#include "plugin/runs/sqlite.h"

namespace bestreel::runs {

/// Throws "run_foreign" unless `database` is a run of this schema, "run_empty" if it holds nothing.
void check_ours(Database& database);

std::vector<Event> select_events(const Database& database);

/// The events of the run in `file` as they were at one instant. Leaves no file behind.
std::vector<Event> read_run(const std::string& file);

}  // namespace bestreel::runs
