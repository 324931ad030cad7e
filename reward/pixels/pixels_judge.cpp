#include "reward/pixels/pixels_judge.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <opencv2/core/utility.hpp>
#include <string>
#include <utility>

#include "core/base/fail.h"
#include "reward/pixels/measures.h"

namespace bestreel {
namespace {

using pixels::Measures;

// How a measure becomes a quality in 0..1. Both curves are strictly monotone, so that of two videos
// the one with the stronger flaw is the lower, however strong both are.

/// 1 at 0, a half at `half`, towards 0 beyond; the steeper the larger `power`.
double falling(double x, double half, double power = 2) {
  return 1 / (1 + std::pow(std::max(0.0, x) / half, power));
}
/// 0 at 0, a half at `half`, towards 1 beyond.
double rising(double x, double half) {
  x = std::max(0.0, x) / half;
  return x * x / (1 + x * x);
}

struct Part {
  const char* name;  ///< as in Judgement::measures
  double value;      ///< in the measure's own unit
  double quality;    ///< 0..1
  const char* flaw;  ///< what a low quality looks like
};

/// The anchors, chosen on natural, animated and rendered clips with one flaw each at rising
/// strength: what is barely visible costs a few percent, what spoils a clip more than half.
std::vector<Part> visual_parts(const Measures& m) {
  return {
      {"sharpness", m.sharpness, rising(m.sharpness - 1, 0.6), "edges are soft"},
      {"detail", m.detail, 1 / (1 + std::exp2(-2 * (m.detail - 0.9))), "texture is washed out"},
      {"noise", m.noise, falling(m.noise, 3.5), "noise is visible"},
      {"blockiness", m.blockiness, falling(m.blockiness - 1, 2), "coding blocks are visible"},
      // A night scene is no flaw by itself: at worst this takes 60 %.
      {"exposure", m.exposure, 0.4 + 0.6 * m.exposure, "parts are black or burnt out"},
  };
}

std::vector<Part> temporal_parts(const Measures& m) {
  return {
      {"flicker", m.flicker, falling(m.flicker, 1.5), "brightness flickers"},
      {"contrast_flicker", m.contrast_flicker, falling(m.contrast_flicker, 0.08),
       "contrast flickers"},
      // Flat at first: a hand-held camera moves by 0.3 to 0.5 as well.
      {"motion_smoothness", m.motion_smoothness, falling(1 - m.motion_smoothness, 0.9, 4),
       "motion is jerky"},
      {"warp_error", m.warp_error, falling(m.warp_error, 1.5),
       "frames do not follow from each other"},
      {"repeated_frames", m.repeated, 1 - m.repeated, "frames are repeated"},
      {"dynamic_degree", m.dynamic_degree, rising(m.dynamic_degree, 0.15), "hardly anything moves"},
  };
}

Dimension dimension(const char* name, double quality) {
  Dimension result;
  result.name = name;
  result.expected = 1 + 4 * std::clamp(quality, 0.0, 1.0);
  result.score = static_cast<int>(std::nearbyint(result.expected));
  return result;
}

std::string rationale(std::vector<Part> parts, bool temporal) {
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.quality < b.quality; });
  std::string text;
  for (const Part& part : parts) {
    if (part.quality >= 0.75) break;
    text +=
        fmt::format("{}{} ({} {:.2f})", text.empty() ? "" : ", ", part.flaw, part.name, part.value);
    if (std::count(text.begin(), text.end(), '(') == 3) break;
  }
  text = text.empty() ? "No measure stands out as a flaw." : text + ".";
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  if (!temporal) text += " Too short to measure motion: three consecutive frames are needed.";
  return text;
}

Judgement judge_video(const Video& video, const std::string& id, const std::stop_token& stop) {
  const auto begin = std::chrono::steady_clock::now();
  const Measures measures = pixels::measure(video, stop);
  const std::vector<Part> visual = visual_parts(measures), temporal = temporal_parts(measures);
  const auto product = [](const std::vector<Part>& parts, std::size_t from) {
    double quality = 1;
    for (std::size_t i = from; i < parts.size(); ++i) quality *= parts[i].quality;
    return quality;
  };
  // Sharpness and detail see the same blur from two sides: together they count for less than two.
  const double clear = std::pow(visual[0].quality * visual[1].quality, 0.75);

  Judgement result;
  result.dimensions = {dimension("visual_quality", clear * product(visual, 2)),
                       dimension("temporal_consistency", product(temporal, 0))};
  result.reward = (result.dimensions[0].expected + result.dimensions[1].expected) / 2;
  std::vector<Part> all = visual;
  all.insert(all.end(), temporal.begin(), temporal.end());
  for (const Part& part : all) result.measures.emplace_back(part.name, part.value);
  result.rationale = rationale(std::move(all), measures.temporal);
  result.frames = measures.frames;
  result.judge = id;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

class PixelsJudge final : public Judge {
 public:
  PixelsJudge() {
    info_.id = "pixels/1";
    info_.name = "pixels";
    info_.dimensions = {"visual_quality", "temporal_consistency"};
    info_.reads_prompt = false;
  }

  const JudgeInfo& info() const override { return info_; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    std::vector<Result> results;
    for (const Request& request : requests) {
      results.push_back(result_of([&]() -> Result {
        if (stop.stop_requested()) throw Cancelled("pixels");
        return judge_video(*request.video, info_.id, stop);
      }));
    }
    return results;
  }

 private:
  JudgeInfo info_;
};

}  // namespace

JudgePtr make_pixels_judge() {
  // OpenCV's pool takes all cores, whatever --threads says, and waits for ever where the system
  // gives it no threads. The measures run on frames of some hundred pixels a side.
  cv::setNumThreads(1);
  return std::make_shared<PixelsJudge>();
}

}  // namespace bestreel
