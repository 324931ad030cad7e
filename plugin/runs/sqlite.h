// Private to runs/: SQLite with errors that are sentences.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

namespace bestreel::runs {

inline constexpr int kApplicationId = 0x42655265;  // "BeRe": this file is a run of ours
inline constexpr int kSchema = 1;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};

/// One connection to a file that anyone may have made: nothing that lies in it runs (no views,
/// triggers, virtual tables, functions in its schema), and no statement takes longer than the size
/// of the file explains. Errors: "disk_full", "run_foreign" (no database, or a damaged one),
/// "store_locked" (another program holds it), "lock_unsupported", "too_many_files",
/// "out_of_memory", "no_permission", "io_failed", "store_failed"; each names `file`.
class Database {
 public:
  /// `name` is what SQLite opens, a path or a URI; `flags` as for sqlite3_open_v2.
  Database(const std::string& name, int flags, std::string file);
  Database(Database&&) = delete;

  void execute(const std::string& sql);
  /// The first column of the first row, 0 where there is none.
  std::int64_t value(const std::string& sql);

  sqlite3* get() const { return database_.get(); }
  const std::string& file() const { return file_; }
  /// Throws what the last call on this connection met.
  [[noreturn]] void fail_now() const;
  [[noreturn]] void fail_damaged() const;
  /// The bytes of the file and its log.
  std::int64_t size() const;

 private:
  friend class Statement;
  static int on_progress(void* self) noexcept;

  std::string file_;
  mutable std::int64_t operations_ = 0;  ///< of the statement that runs
  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

class Statement {
 public:
  Statement(const Database& database, const std::string& sql);
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(int index, std::int64_t value);
  void bind(int index, double value);
  void bind(int index, const std::string& value);
  bool step();  ///< true while there is a row
  void reset();
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const;
  std::int64_t bytes(int column) const { return sqlite3_column_bytes(statement_, column); }

 private:
  void check(int code) const;

  const Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace bestreel::runs
