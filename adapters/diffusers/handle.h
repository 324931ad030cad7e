// What a C handle stands for, and how errors leave C functions. Private.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/media/video.h"
#include "plugin/session.h"

struct BestreelSession {
  bestreel::Rational fps;  ///< of the host's frames
  bestreel::SamplerCallback* callback = nullptr;
  std::function<std::vector<bestreel::Start>()> next_wave;
  std::string directory;
  std::unique_ptr<bestreel::Session> session;  ///< whose callback it is; null in tests of the face
};

namespace bestreel::c_face {

inline constexpr const char* kOp = "best_of_n";

/// Of this thread: what bestreel_error() and bestreel_error_code() say, and the text that a
/// function returned.
inline thread_local std::string last_error, last_code, answer;

/// `failed` where `work` throws, and the sentence for bestreel_error(). Nothing is thrown into a
/// caller that may be no C++.
template <typename Value, typename Work>
Value guarded(Value failed, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    last_error = error.what();
    last_code = error.code();
  } catch (const std::bad_alloc&) {
    last_error = fmt::format(
        "[{}] there is not enough memory: ask for fewer frames or a smaller picture", kOp);
    last_code = "out_of_memory";
  } catch (const std::exception& error) {
    last_error = fmt::format("[{}] {}: please report this", kOp, error.what());
    last_code = "engine_failed";
  } catch (...) {
    last_error = fmt::format("[{}] an unknown failure: please report this", kOp);
    last_code = "engine_failed";
  }
  return failed;
}

}  // namespace bestreel::c_face
