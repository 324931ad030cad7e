#include "app/machine.h"

#include <sched.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <opencv2/core/version.hpp>
#include <thread>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include "app/build_info.h"
#include "core/base/fail.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/runtime.h"
#endif

namespace bestreel::app {
namespace {

std::string best_instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16")) return "x86-64 AVX512-BF16";
  if (__builtin_cpu_supports("avx512f")) return "x86-64 AVX512";
  if (__builtin_cpu_supports("avx2")) return "x86-64 AVX2";
  return "x86-64 baseline";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

/// A judge's last bits depend on it, so what a user has lowered it to is part of a run.
std::string instruction_set() {
  const char* lowered = std::getenv("BESTREEL_ISA");
  if (lowered == nullptr || *lowered == '\0') return best_instruction_set();
  return fmt::format("{}, BESTREEL_ISA {}", best_instruction_set(), lowered);
}

std::string av_version(unsigned version) {
  return fmt::format("{}.{}.{}", AV_VERSION_MAJOR(version), AV_VERSION_MINOR(version),
                     AV_VERSION_MICRO(version));
}

std::string torch_version() {
#ifdef BESTREEL_WITH_TORCH
  return nn::runtime_version();
#else
  return "not built in";
#endif
}

}  // namespace

std::string version_text() {
  return fmt::format(
      "bestreel {}\n"
      "build            {} ({}), {}\n"
      "instruction set  {}\n"
      "libtorch         {}\n"
      "libavformat      {}\n"
      "libavcodec       {}\n"
      "OpenCV           {}\n"
      "SQLite           {}\n",
      kVersion, kCommit, kBuildType, kCompiler, instruction_set(), torch_version(),
      av_version(avformat_version()), av_version(avcodec_version()), CV_VERSION,
      sqlite3_libversion());
}

std::string version_line() {
  return fmt::format("bestreel {}; {}; {}; libtorch {}; libavcodec {}; OpenCV {}", kVersion,
                     kCompiler, instruction_set(), torch_version(), av_version(avcodec_version()),
                     CV_VERSION);
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

std::uint64_t usable_memory() {
  struct sysinfo info {};
  std::uint64_t bytes = 0;
  if (sysinfo(&info) == 0) bytes = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  std::uint64_t limit = 0;
  if (std::ifstream cgroup("/sys/fs/cgroup/memory.max"); cgroup >> limit) {
    bytes = std::min(bytes, limit);  // "max" is no number: the stream fails and nothing changes
  }
  return bytes;
}

std::uint64_t free_disk(const std::string& folder) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace bestreel::app
