#include "plugin/runs/run_store.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/runs/run_reader.h"
#include "plugin/runs/sqlite.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

using runs::Database;
using runs::Statement;

constexpr const char* kCreate =
    "CREATE TABLE events ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " wave INTEGER NOT NULL, step INTEGER NOT NULL, candidate TEXT NOT NULL,"
    " kind TEXT NOT NULL, body TEXT NOT NULL, at REAL NOT NULL)";

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

/// Makes `file` with its table under another name first: a kill leaves either no run or a whole
/// one.
void create_file(const std::string& file) {
  const std::string partial = file + ".partial";
  const auto remove = [&] {
    std::error_code ignored;
    for (const char* suffix : {"", "-journal", "-wal", "-shm"})
      fs::remove(partial + suffix, ignored);
  };
  remove();
  try {
    Database database(partial, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, file);
    database.execute("PRAGMA journal_mode = WAL");  // kept in the file
    database.execute("BEGIN IMMEDIATE");
    database.execute(kCreate);
    database.execute(fmt::format("PRAGMA application_id = {}", runs::kApplicationId));
    database.execute(fmt::format("PRAGMA user_version = {}", runs::kSchema));
    database.execute("COMMIT");
    // Closing would swallow what a full disk says about it.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (...) {
    remove();
    throw;
  }
  commit_file(partial, file);
}

}  // namespace

struct RunStore::Impl {
  std::string directory;
  std::string file;
  std::optional<FileLock> lock;
  std::optional<Database> database;  ///< none: opened for reading, each events() looks by itself

  explicit Impl(const std::string& directory_)
      : directory(directory_), file(file_in(directory_, "run.sqlite")) {}

  ~Impl() {
    // Without it the newest events would stay in run.sqlite-wal, and the file alone not be the run.
    if (database) {
      sqlite3_wal_checkpoint_v2(database->get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr,
                                nullptr);
    }
  }

  void take_lock() { lock.emplace(file_in(directory, "run.lock")); }

  void open() {
    database.emplace(file, SQLITE_OPEN_READWRITE, file);
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
      insert.bind(5, event.body);
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
  return impl_->database ? runs::select_events(*impl_->database) : runs::read_run(impl_->file);
}

}  // namespace bestreel
