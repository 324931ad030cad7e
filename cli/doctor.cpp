#include <cstdlib>
#include <iostream>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/avutil.h>
}

#include "app/machine.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/runtime.h"
#endif

namespace bestreel::cli {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

class Checklist {
 public:
  void good(const std::string& what, const std::string& found) { line(green("ok  "), what, found); }
  void note(const std::string& what, const std::string& found) { line(dim("note"), what, found); }
  void missing(const std::string& what, const std::string& found) {
    line(red("miss"), what, found);
    complete_ = false;
  }
  bool complete() const { return complete_; }

 private:
  static void line(const std::string& mark, const std::string& what, const std::string& found) {
    std::cout << fmt::format("{}  {:<12} {}\n", mark, what, found);
  }
  bool complete_ = true;
};

std::string gpu_text() {
#ifdef BESTREEL_WITH_TORCH
  return nn::gpu_description();
#else
  return "";
#endif
}

}  // namespace

int run_doctor(const RunConfig&) {
  using namespace app;
  Checklist list;
  list.good("cores", fmt::format("{} usable", usable_cores()));

  const double memory = static_cast<double>(usable_memory()) / kGiB;
  const std::string have = fmt::format("{:.1f} GiB", memory);
  if (memory < 2) {
    list.missing("memory", have + ": at least 2 GiB are needed; close programs or raise the limit");
  } else if (memory < 20) {
    list.note("memory", have +
                            ": enough for `pixels` and small judges; VideoScore2 (16.6 GB of "
                            "weights) wants 20 GiB");
  } else {
    list.good("memory", have + ": enough for VideoScore2 in bf16");
  }

  const std::string gpu = gpu_text();
  if (gpu.empty()) {
    list.note("GPU",
              "none usable: everything runs on the CPU; for a GPU install its driver and "
              "build where nvcc is found");
  } else {
    list.good("GPU", gpu);
  }

  list.good("libav", fmt::format("{} (libavcodec {})", av_version_info(), LIBAVCODEC_IDENT));
  if (avcodec_find_encoder_by_name("libx264") != nullptr) {
    list.good("H.264", "libx264 encodes");
  } else {
    list.missing("H.264",
                 "libav has no libx264 encoder: install the distribution's own ffmpeg "
                 "libraries (apt-get install libavcodec-extra)");
  }
  if (avcodec_find_decoder(AV_CODEC_ID_H264) == nullptr) {
    list.missing("H.264", "libav cannot decode H.264: apt-get install libavcodec-extra");
  }
  if (std::system("command -v ffmpeg >/dev/null 2>&1") == 0) {
    list.good("ffmpeg", "the program is there (the demo and the tests use it)");
  } else {
    list.note("ffmpeg",
              "the program is missing; only the demo and the tests use it: apt-get "
              "install ffmpeg");
  }

  const double disk = static_cast<double>(free_disk(".")) / kGiB;
  const std::string room = fmt::format("{:.1f} GiB free here", disk);
  if (disk < 1) {
    list.missing("disk", room + ": free at least 1 GiB, or run elsewhere");
  } else {
    list.good("disk", room);
  }
  return list.complete() ? kDone : kFailed;
}

}  // namespace bestreel::cli
