// String literals of Python source, as far as a model card needs them. Private to the library.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bestreel::videoscore2 {

/// `NAME = Template("""...""")` or `NAME = """..."""`.
struct Assignment {
  std::string name;
  std::string text;     ///< what Python would have in memory
  std::string problem;  ///< why `text` is not all of it ("is an f-string"); empty: it is
};

/// The triple-quoted assignments of a program, in order; comments and other strings are skipped, so
/// what looks like an assignment inside them is none. Lines may end in CRLF, as in Python.
std::vector<Assignment> triple_quoted_assignments(std::string_view source);

}  // namespace bestreel::videoscore2
