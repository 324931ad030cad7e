#include "plugin/runs/sqlite.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/errno_code.h"
#include "core/base/fail.h"

namespace bestreel::runs {
namespace {

/// A write-ahead log needs its index (32 KiB) and a few pages beside the file.
constexpr std::uintmax_t kLeastSpace = 64 << 10;

/// SQLite names a full disk only where write() does: for the index beside the log it says "disk I/O
/// error" or "unable to open". Then the system's own words and the room that is left decide.
bool disk_is_full(int code, int system, const std::string& file) {
  if (code == SQLITE_FULL) return true;
  if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN) return false;
  if (system == ENOSPC || system == EDQUOT) return true;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  const auto space = std::filesystem::space(folder.empty() ? "." : folder, error);
  return !error && space.available < kLeastSpace;
}

// A page of a b-tree may be named by many others, so that a file of some kilobytes makes rows
// without end. A row of ours takes some dozens of operations and at least as many bytes.
constexpr int kOperationsALook = 10000;
constexpr std::int64_t kFreeOperations = 20'000'000, kOperationsAByte = 16;

std::int64_t bytes_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_size) : 0;
}

}  // namespace

Database::Database(const std::string& name, int flags, std::string file) : file_(std::move(file)) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &raw, flags, nullptr);
  database_.reset(raw);
  if (code != SQLITE_OK) fail_now();
  // Writer and readers of one run wait for each other's short locks instead of failing.
  sqlite3_busy_timeout(raw, 10000);
  for (const int refused : {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                            SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION})
    sqlite3_db_config(raw, refused, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_limit(raw, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_progress_handler(raw, kOperationsALook, on_progress, this);
}

int Database::on_progress(void* self) noexcept {
  const auto& database = *static_cast<const Database*>(self);
  database.operations_ += kOperationsALook;
  return database.operations_ > kFreeOperations &&
         database.operations_ > kOperationsAByte * database.size();
}

std::int64_t Database::size() const { return bytes_of(file_) + bytes_of(file_ + "-wal"); }

void Database::execute(const std::string& sql) { Statement(*this, sql).step(); }

std::int64_t Database::value(const std::string& sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

void Database::fail_now() const {
  const int code = sqlite3_errcode(database_.get());
  const int system = sqlite3_system_errno(database_.get());
  if (disk_is_full(code, system, file_)) {
    fail("disk_full", "run",
         "{} could not be written, the disk is full: free some space there and "
         "run the same command again",
         file_);
  }
  const int extended = sqlite3_extended_errcode(database_.get());
  if (code == SQLITE_NOMEM) {
    fail("out_of_memory", "run",
         "{} could not be used, the memory is at its end: close other programs and run the same "
         "command again",
         file_);
  }
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_INTERRUPT ||
      code == SQLITE_TOOBIG || code == SQLITE_ERROR || code == SQLITE_AUTH ||
      code == SQLITE_MISMATCH || code == SQLITE_CONSTRAINT)
    fail_damaged();
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
    fail("store_locked", "run",
         "{} is held by another program, such as a database browser, a backup or a process that "
         "still ends: close it and run the same command again",
         file_);
  }
  const bool locking = extended == SQLITE_IOERR_LOCK || extended == SQLITE_IOERR_UNLOCK ||
                       extended == SQLITE_IOERR_RDLOCK || extended == SQLITE_IOERR_SHMLOCK ||
                       extended == SQLITE_IOERR_CHECKRESERVEDLOCK || code == SQLITE_PROTOCOL ||
                       code == SQLITE_NOLFS;
  if (locking || system == ENOLCK) {
    fail("lock_unsupported", "run",
         "{} could not be locked ({}): choose a folder on a local disk, or a mount with file locks",
         file_, std::strerror(system != 0 ? system : ENOLCK));
  }
  if (code == SQLITE_READONLY || code == SQLITE_PERM) {
    fail("no_permission", "run",
         "{} may not be written: check the permissions of it and its folder", file_);
  }
  const std::string why = system != 0 ? fmt::format(" ({})", std::strerror(system)) : "";
  const std::string otherwise = code == SQLITE_IOERR ? "io_failed" : "store_failed";
  fail(errno_code(system, otherwise), "run",
       "{} could not be used{}: check the folder, its permissions and its disk, and run the same "
       "command again",
       file_, why);
}

void Database::fail_damaged() const {
  fail("run_foreign", "run",
       "{} is no run of Bestreel, or it is damaged: choose another directory, or take a copy of it "
       "from a backup",
       file_);
}

Statement::Statement(const Database& database, const std::string& sql) : database_(database) {
  database.operations_ = 0;
  check(sqlite3_prepare_v2(database.get(), sql.c_str(), -1, &statement_, nullptr));
}

void Statement::bind(int index, std::int64_t value) {
  check(sqlite3_bind_int64(statement_, index, value));
}

void Statement::bind(int index, double value) {
  check(sqlite3_bind_double(statement_, index, value));
}

void Statement::bind(int index, const std::string& value) {
  check(sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8));
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail_now();
  return code == SQLITE_ROW;
}

void Statement::reset() { check(sqlite3_reset(statement_)); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (bytes == nullptr) return "";
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) database_.fail_now();
}

}  // namespace bestreel::runs
