#include "plugin/runs/run_store.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/temporary_file.h"
#include "plugin/runs/run_reader.h"
#include "plugin/runs/sqlite.h"
#include "plugin/runs/stored_paths.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

using runs::Database;
using runs::Statement;

std::string file_in(const std::string& directory, const char* name) {
  return (fs::path(directory) / name).string();
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void require_run(const std::string& directory, const std::string& file) {
  if (fs::exists(file)) return;
  fail("run_missing", "run", "{} holds no run: pass the directory of --out", directory);
}

void make_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    fail(error == std::errc::no_space_on_device ? "disk_full" : "write_failed", "run",
         "{} could not be made ({}): check the path and its permissions", directory,
         error.message());
  }
}

/// Made in memory and written whole: a kill leaves either no run or a whole one.
void create_file(const std::string& file) {
  Database database(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, file);
  database.execute(runs::kCreate);
  database.execute(fmt::format("PRAGMA application_id = {}", runs::kApplicationId));
  database.execute(fmt::format("PRAGMA user_version = {}", runs::kSchema));
  sqlite3_int64 size = 0;
  const std::unique_ptr<unsigned char, decltype(&sqlite3_free)> image(
      sqlite3_serialize(database.get(), "main", &size, 0), sqlite3_free);
  if (!image || size < 100) database.fail_now();
  // The file format's version for writers and readers, 2: with a write-ahead log. A database in
  // memory has none, and turning one on later would leave a rollback journal where that is killed.
  image.get()[18] = image.get()[19] = 2;
  write_file_atomically(
      file, {reinterpret_cast<const char*>(image.get()), static_cast<std::size_t>(size)});
}

}  // namespace

struct RunStore::Impl {
  std::string directory;
  std::string file;
  std::string real_file;  ///< the same without links
  std::optional<FileLock> lock;
  std::optional<Database> database;  ///< none: opened for reading, each events() looks by itself

  explicit Impl(const std::string& directory_)
      : directory(directory_), file(file_in(directory_, "run.sqlite")) {
    // SQLite is told to follow no link, of which the user's own path may have some.
    std::error_code error;
    const fs::path real = fs::canonical(directory, error);
    if (!error) real_file = (real / "run.sqlite").string();
  }

  ~Impl() {
    // Without it the newest events would stay in run.sqlite-wal, and the file alone not be the run.
    if (database) {
      sqlite3_wal_checkpoint_v2(database->get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr,
                                nullptr);
    }
  }

  /// Nobody else writes here then: what those who were killed left goes.
  void take_lock() {
    lock.emplace(file_in(directory, "run.lock"));
    remove_leftovers(directory);
    remove_leftovers(file_in(directory, "report_files"));
  }

  void open() {
    runs::check_files(file);
    database.emplace(real_file.empty() ? file : real_file,
                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, file);
    runs::check_ours(*database);
    database->execute("PRAGMA synchronous = FULL");
  }
};

RunStore::RunStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunStore::~RunStore() = default;
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;

bool RunStore::exists(const std::string& directory) {
  const std::string file = file_in(directory, "run.sqlite");
  runs::check_files(file);
  std::error_code error;
  if (!fs::exists(file, error)) return false;
  try {
    return !runs::read_run(file).empty();
  } catch (const Error& failure) {
    if (failure.code() == "run_empty") return false;
    throw;
  }
}

RunStore RunStore::create(const std::string& directory) {
  make_directory(directory);
  auto impl = std::make_unique<Impl>(directory);
  impl->take_lock();
  if (exists(directory)) {
    fail("run_exists", "run",
         "{} holds a run already: choose another directory, or go on with it by "
         "`bestreel resume {}`",
         directory, directory);
  }
  // A file without events was made by a process that was killed before its first: it is taken over.
  std::error_code error;
  if (!fs::exists(impl->file) || fs::file_size(impl->file, error) == 0) create_file(impl->file);
  impl->open();
  return RunStore(std::move(impl));
}

RunStore RunStore::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>(directory);
  require_run(directory, impl->file);
  impl->take_lock();
  impl->open();
  return RunStore(std::move(impl));
}

RunStore RunStore::open_read_only(const std::string& directory) {
  auto impl = std::make_unique<Impl>(directory);
  require_run(directory, impl->file);
  runs::read_run(impl->file);  // what cannot be read is refused here
  return RunStore(std::move(impl));
}

const std::string& RunStore::directory() const { return impl_->directory; }

void RunStore::append(Event event) { append(std::vector<Event>{std::move(event)}); }

void RunStore::append(const std::vector<Event>& events) {
  if (!impl_->database) {
    fail("store_failed", "run", "{} was opened for reading: open it with RunStore::open to append",
         impl_->file);
  }
  for (const Event& event : events) {
    // One that nobody can parse would lock its run for good.
    if (!nlohmann::json::parse(event.body, nullptr, /*allow_exceptions=*/false).is_object()) {
      fail_usage("run", "an event's body must be a JSON object, but that of a {} event is {}",
                 event.kind, event.body);
    }
  }
  Database& database = *impl_->database;
  database.execute("BEGIN IMMEDIATE");
  try {
    Statement insert(database,
                     "INSERT INTO events(wave, step, candidate, kind, body, at) "
                     "VALUES(?, ?, ?, ?, ?, ?)");
    for (const Event& event : events) {
      insert.bind(1, event.wave);
      insert.bind(2, event.step);
      insert.bind(3, event.candidate);
      insert.bind(4, event.kind);
      insert.bind(5, runs::with_stored_paths(event.body, impl_->directory));
      insert.bind(6, now());
      insert.step();
      insert.reset();
    }
    database.execute("COMMIT");
  } catch (...) {
    // A full disk may have rolled back already; then there is nothing left to undo.
    sqlite3_exec(database.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

std::vector<Event> RunStore::events() const {
  std::vector<Event> events =
      impl_->database ? runs::select_events(*impl_->database) : runs::read_run(impl_->file);
  for (Event& event : events) event.body = runs::with_real_paths(event.body, impl_->directory);
  return events;
}

}  // namespace bestreel
