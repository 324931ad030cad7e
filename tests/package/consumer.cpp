// Somebody else's program against the installed package: frames in memory, judged by `pixels`.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "plugin/judge_queue.h"
#include "reward/pixels/pixels_judge.h"
#ifdef WITH_VIDEOSCORE2
#include "reward/videoscore2/videoscore2_judge.h"
#endif

int main() {
  constexpr std::int64_t kFrames = 8, kSize = 64;
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(kFrames * 3 * kSize * kSize);
  for (std::size_t i = 0; i < pixels->size(); ++i) (*pixels)[i] = static_cast<std::uint8_t>(i * 7);
  bestreel::TensorView frames;
  frames.data = pixels->data();
  frames.shape = {kFrames, 3, kSize, kSize};
  frames.strides = {3 * kSize * kSize, kSize * kSize, kSize, 1};
  frames.owner = pixels;

  bestreel::JudgeQueue queue(bestreel::make_pixels_judge());
  auto submission = queue.submit({bestreel::video_from_frames(frames, {8, 1}), {"noise", ""}});
  const bestreel::Result result = submission.result.get();
  std::puts(bestreel::to_json(result).c_str());
#ifdef WITH_VIDEOSCORE2
  try {
    bestreel::make_videoscore2_judge({.folder = "no such checkpoint"});
    return 1;
  } catch (const bestreel::Error& error) {
    std::puts(error.what());
  }
#endif
  return bestreel::failed(result) ? 1 : 0;
}
