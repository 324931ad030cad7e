// What goes out to a terminal or a file, and what must never: one filter for every sentence and
// table, put before stdout and stderr once, in main.
#pragma once

#include <string>

namespace bestreel::cli {

/// Puts the filter before std::cout and std::cerr. Control characters (escape sequences of a name
/// or a stored text) and bytes that are no UTF-8 become U+FFFD there; line feeds, tabs and what
/// escape() made pass.
void filter_output();

/// Our own escape sequence, such as "1m" or "K": the filter knows it by a mark that no text can
/// guess.
std::string escape(const std::string& sequence);

/// Back to the beginning of the line, which is erased.
std::string erase_line();

/// Flushes stdout; false where something that was written to it is lost.
bool stdout_is_whole();

/// A sentence for a person: no longer than a screen or two.
std::string bounded(std::string sentence);

}  // namespace bestreel::cli
