// Private to runs/: SQLite with errors that are sentences.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

namespace bestreel::runs {

inline constexpr int kApplicationId = 0x42655265;  // "BeRe": this file is a run of ours
/// Also of the events (kEventSchema).
inline constexpr int kSchema = 2;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};

/// One connection. Errors: "disk_full", "run_foreign" (no database, or a damaged one),
/// "store_failed"; each names `file`.
class Database {
 public:
  /// `name` is what SQLite opens, a path or a URI; `flags` as for sqlite3_open_v2.
  Database(const std::string& name, int flags, std::string file);

  void execute(const std::string& sql);
  /// The first column of the first row, 0 where there is none.
  std::int64_t value(const std::string& sql);

  sqlite3* get() const { return database_.get(); }
  const std::string& file() const { return file_; }
  /// Throws what the last call on this connection met.
  [[noreturn]] void fail_now() const;

 private:
  std::string file_;
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

 private:
  void check(int code) const;

  const Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace bestreel::runs
