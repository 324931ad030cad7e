// Visibility of the public symbols. Everything without BESTREEL_API stays inside its library.
#pragma once

#if defined(__GNUC__)
#define BESTREEL_API __attribute__((visibility("default")))
#else
#define BESTREEL_API
#endif
