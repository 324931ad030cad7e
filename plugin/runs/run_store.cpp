#include "plugin/runs/run_store.h"

#include <sqlite3.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

constexpr int kApplicationId = 0x42655265;  // "BeRe": this file is a run of ours
constexpr int kSchema = 1;
constexpr const char* kCreate =
    "CREATE TABLE events ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " wave INTEGER NOT NULL, step INTEGER NOT NULL, candidate TEXT NOT NULL,"
    " kind TEXT NOT NULL, body TEXT NOT NULL, at REAL NOT NULL)";

std::string database_path(const std::string& directory) {
  return (fs::path(directory) / "run.sqlite").string();
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// What has a meaning in SQLite's file: URIs, escaped.
std::string uri_path(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    escaped += c == '?' || c == '#' || c == '%'
                   ? fmt::format("%{:02x}", static_cast<unsigned char>(c))
                   : std::string(1, c);
  }
  return escaped;
}

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

[[noreturn]] void fail_sqlite(sqlite3* database, const std::string& path) {
  const int code = sqlite3_errcode(database);
  const int system = sqlite3_system_errno(database);
  if (code == SQLITE_FULL || (code == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT)) ||
      (code == SQLITE_CANTOPEN && system == ENOSPC)) {
    fail("disk_full", "run", "{} could not be written, the disk is full: free some space there and "
         "run the same command again", path);
  }
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
    fail("run_foreign", "run", "{} is no run of Bestreel, or it is damaged ({}): choose another "
         "directory", path, sqlite3_errmsg(database));
  }
  fail("store_failed", "run", "{} could not be used ({}): check the folder and its permissions", path,
       sqlite3_errmsg(database));
}

class Statement {
 public:
  Statement(sqlite3* database, const std::string& path, const char* sql)
      : database_(database), path_(path) {
    check(sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr));
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(int index, std::int64_t value) { check(sqlite3_bind_int64(statement_, index, value)); }
  void bind(int index, double value) { check(sqlite3_bind_double(statement_, index, value)); }
  void bind(int index, const std::string& value) {
    check(sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
  }
  /// True while there is a row.
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail_sqlite(database_, path_);
    return code == SQLITE_ROW;
  }
  void reset() { check(sqlite3_reset(statement_)); }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(
                                                     sqlite3_column_bytes(statement_, column)));
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) fail_sqlite(database_, path_);
  }
  sqlite3* database_;
  const std::string& path_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

struct RunStore::Impl {
  std::string directory;
  std::string path;
  std::optional<FileLock> lock;
  Database database;

  void open(int flags) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    database.reset(raw);
    if (code != SQLITE_OK) fail_sqlite(raw, path);
    sqlite3_busy_timeout(raw, 10000);
  }

  void execute(const char* sql) { Statement(database.get(), path, sql).step(); }

  std::int64_t pragma(const char* sql) {
    Statement statement(database.get(), path, sql);
    return statement.step() ? statement.integer(0) : 0;
  }

  bool ours() {
    return pragma("PRAGMA application_id") == kApplicationId && pragma("PRAGMA user_version") == kSchema;
  }

  [[noreturn]] void refuse_foreign() const {
    fail("run_foreign", "run", "{} was not made by this version of Bestreel: choose another directory",
         path);
  }

  void transaction(const std::vector<Event>& events) {
    execute("BEGIN IMMEDIATE");
    try {
      Statement insert(database.get(), path,
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
      execute("COMMIT");
    } catch (...) {
      // A full disk may have rolled back already; then there is nothing left to undo.
      sqlite3_exec(database.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      throw;
    }
  }

  ~Impl() {
    // Without it the newest events would stay in run.sqlite-wal, and the file alone not be the run.
    if (database && lock) {
      sqlite3_wal_checkpoint_v2(database.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    }
  }
};

RunStore::RunStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunStore::~RunStore() = default;
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;

bool RunStore::exists(const std::string& directory) {
  std::error_code error;
  const std::string path = database_path(directory);
  if (!fs::exists(path, error)) return false;
  if (fs::file_size(path, error) == 0) return false;  // killed before anything was written
  try {
    RunStore store = open_read_only(directory);
    return !store.events().empty();
  } catch (const Error& failure) {
    if (failure.code() == "run_empty") return false;
    throw;
  }
}

RunStore RunStore::create(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    fail(error == std::errc::no_space_on_device ? "disk_full" : "write_failed", "run",
         "{} could not be made ({}): check the path and its permissions", directory, error.message());
  }
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->path = database_path(directory);
  impl->lock.emplace((fs::path(directory) / "run.lock").string());
  if (exists(directory)) {
    fail("run_exists", "run", "{} holds a run already: choose another directory, or go on with it by "
         "`bestreel resume {}`", directory, directory);
  }
  // What a kill left behind before the first event is no run.
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(impl->path + suffix, error);
  impl->open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  impl->execute("PRAGMA journal_mode = WAL");
  impl->execute("PRAGMA synchronous = FULL");
  impl->execute("BEGIN IMMEDIATE");
  impl->execute(kCreate);
  impl->execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
  impl->execute(fmt::format("PRAGMA user_version = {}", kSchema).c_str());
  impl->execute("COMMIT");
  return RunStore(std::move(impl));
}

RunStore RunStore::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->path = database_path(directory);
  if (!fs::exists(impl->path)) {
    fail("run_missing", "run", "{} holds no run: pass the directory of --out", directory);
  }
  impl->lock.emplace((fs::path(directory) / "run.lock").string());
  impl->open(SQLITE_OPEN_READWRITE);
  if (!impl->ours()) impl->refuse_foreign();
  impl->execute("PRAGMA synchronous = FULL");
  return RunStore(std::move(impl));
}

RunStore RunStore::open_read_only(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->path = database_path(directory);
  if (!fs::exists(impl->path)) {
    fail("run_missing", "run", "{} holds no run: pass the directory of --out", directory);
  }
  impl->open(SQLITE_OPEN_READONLY);
  // A finished run in a folder that cannot be written has no -shm file and can make none: then the
  // file itself is complete, and is read as it stands.
  if (sqlite3_exec(impl->database.get(), "SELECT 1 FROM sqlite_master", nullptr, nullptr, nullptr) ==
      SQLITE_CANTOPEN) {
    const std::string file = impl->path;
    impl->path = "file:" + uri_path(file) + "?immutable=1";
    impl->open(SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    impl->path = file;
  }
  if (impl->pragma("PRAGMA application_id") == 0 && impl->pragma("PRAGMA user_version") == 0 &&
      impl->pragma("SELECT count(*) FROM sqlite_master") == 0) {
    fail("run_empty", "run", "{} holds a run that had not begun: repeat the command that made it",
         directory);
  }
  if (!impl->ours()) impl->refuse_foreign();
  return RunStore(std::move(impl));
}

const std::string& RunStore::directory() const { return impl_->directory; }

void RunStore::append(Event event) { append(std::vector<Event>{std::move(event)}); }

void RunStore::append(const std::vector<Event>& events) { impl_->transaction(events); }

std::vector<Event> RunStore::events() const {
  Statement select(impl_->database.get(), impl_->path,
                   "SELECT seq, wave, step, candidate, kind, body, at FROM events ORDER BY seq");
  std::vector<Event> events;
  while (select.step()) {
    events.push_back({select.integer(0), select.integer(1), select.integer(2), select.text(3),
                      select.text(4), select.text(5), select.real(6)});
  }
  return events;
}

}  // namespace bestreel
