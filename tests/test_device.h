// Where tests of devices run, and where they find the sources' files.
#pragma once

#include <cstdlib>
#include <string>

namespace bestreel {

/// BESTREEL_TEST_DEVICE ("cpu", "cuda", "cuda:1"); `usual` where it is not set.
inline std::string test_device(const std::string& usual) {
  const char* word = std::getenv("BESTREEL_TEST_DEVICE");
  return word != nullptr && *word != '\0' ? word : usual;
}

/// The root of the sources. BESTREEL_TEST_SOURCES says it where a test program runs on another
/// machine than the one that built it.
inline std::string test_sources() {
  const char* folder = std::getenv("BESTREEL_TEST_SOURCES");
  return folder != nullptr && *folder != '\0' ? folder : BESTREEL_SOURCE_DIR;
}

}  // namespace bestreel
