// Private to runs/: reads a run's file without writing, beside a writer or where nothing can be
// written.
#pragma once

#include <string>
#include <vector>

#include "plugin/runs/run_store.h"
#include "plugin/runs/sqlite.h"

namespace bestreel::runs {

/// The table, word for word: a run's file holds this and nothing else.
inline constexpr const char* kCreate =
    "CREATE TABLE events ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " wave INTEGER NOT NULL, step INTEGER NOT NULL, candidate TEXT NOT NULL,"
    " kind TEXT NOT NULL, body TEXT NOT NULL, at REAL NOT NULL)";

/// Before SQLite looks: throws "run_foreign" where `file` or what lies beside it is no plain file,
/// or a rollback journal lies there: a run has none, and playing one back may remove any file that
/// it names.
void check_files(const std::string& file);

/// Throws "run_foreign" unless `database` is a run of this schema, "run_empty" if it holds nothing.
void check_ours(Database& database);

std::vector<Event> select_events(const Database& database);

/// The events of the run in `file` as they were at one instant. Leaves no file behind.
std::vector<Event> read_run(const std::string& file);

}  // namespace bestreel::runs
