// What is asked: the same object for the engine and for the judge. Public header.
#pragma once

#include <string>

namespace bestreel {

struct Condition {
  std::string prompt;    ///< UTF-8, never empty for a judge that reads text
  std::string negative;  ///< UTF-8, empty = none; judges ignore it
};

}  // namespace bestreel
