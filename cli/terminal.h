// What a person sees: colours, a progress line, a table. Messages go to stderr, results to stdout.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace bestreel::cli {

/// True where stdout is a terminal, NO_COLOR is not set and TERM is not "dumb".
bool colours();

std::string bold(const std::string& text);
std::string dim(const std::string& text);
std::string green(const std::string& text);
std::string red(const std::string& text);

/// A line on stderr that overwrites itself: "judging 3/8  bikes.mp4  ETA 0:12". Silent unless
/// stderr is a terminal.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::size_t done, std::size_t total, const std::string& name);
  void clear();  ///< removes the line, so that something else can be printed

 private:
  std::string what_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_;
};

/// Columns padded to their widest cell; UTF-8 aware, one display cell per code point. Cells may
/// hold colour codes.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void row(std::vector<std::string> cells);
  /// Columns from `first_number` on are right-aligned.
  std::string text(std::size_t first_number) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "0.4 s", "12 s", "3:05 min".
std::string duration_text(double seconds);

/// A name inside a line or a table: one line of at most 300 bytes. What is unsafe on a terminal is
/// filtered in any case, see output.h.
std::string printable(const std::string& text);

}  // namespace bestreel::cli
