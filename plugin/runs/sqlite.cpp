#include "plugin/runs/sqlite.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

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

}  // namespace

Database::Database(const std::string& name, int flags, std::string file) : file_(std::move(file)) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &raw, flags, nullptr);
  database_.reset(raw);
  if (code != SQLITE_OK) fail_now();
  // Writer and readers of one run wait for each other's short locks instead of failing.
  sqlite3_busy_timeout(raw, 10000);
}

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
  const std::string message = sqlite3_errmsg(database_.get());
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
    fail("run_foreign", "run",
         "{} is no run of Bestreel, or it is damaged ({}): choose another "
         "directory",
         file_, message);
  }
  const bool by_system = system != 0 && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN);
  fail("store_failed", "run", "{} could not be used ({}{}): check the folder and its permissions",
       file_, message, by_system ? fmt::format(", {}", std::strerror(system)) : "");
}

Statement::Statement(const Database& database, const std::string& sql) : database_(database) {
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
