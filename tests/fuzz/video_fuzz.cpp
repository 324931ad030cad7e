// Any bytes are a video or an Error, never a crash, a hang or memory without bound.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/media/video.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("video", MFD_CLOEXEC);
  if (descriptor < 0) std::abort();
  if (::write(descriptor, data, size) == static_cast<ssize_t>(size)) {
    try {
      const bestreel::VideoPtr video =
          bestreel::open_video("/proc/self/fd/" + std::to_string(descriptor));
      const bestreel::VideoInfo& info = video->info();
      if (info.frame_count < 1 ||
          static_cast<std::int64_t>(info.times.size()) != info.frame_count) {
        std::abort();
      }
      const std::vector<std::int64_t> ends{info.frame_count - 1, 0};
      const bestreel::TensorView frames = video->read(ends);
      if (frames.dim(2) != info.height || frames.dim(3) != info.width) std::abort();
    } catch (const bestreel::Error&) {  // the only way out that is allowed
    }
  }
  ::close(descriptor);
  return 0;
}
