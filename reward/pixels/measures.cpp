#include "reward/pixels/measures.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"

namespace bestreel::pixels {
namespace {

constexpr std::int64_t kAllFrames = 128;
constexpr std::int64_t kWindow = 16;
constexpr std::int64_t kWindows = 8;
constexpr std::size_t kSpatialFrames = 12;
constexpr int kSmall = 256;

struct Window {
  std::int64_t first, count;
};

std::vector<Window> windows_of(std::int64_t frames) {
  if (frames <= kAllFrames) return {{0, frames}};
  std::vector<Window> windows;
  for (std::int64_t k = 0; k < kWindows; ++k) {
    windows.push_back({k * (frames - kWindow) / (kWindows - 1), kWindow});
  }
  return windows;
}

cv::Mat luma_of(const TensorView& frames, std::int64_t i) {
  const auto height = static_cast<int>(frames.dim(2)), width = static_cast<int>(frames.dim(3));
  auto* base = static_cast<std::uint8_t*>(frames.data) + i * frames.strides[0];
  cv::Mat luma;
  if (frames.strides[1] == 1 && frames.strides[3] == 3) {
    const cv::Mat rgb(height, width, CV_8UC3, base, static_cast<std::size_t>(frames.strides[2]));
    cv::cvtColor(rgb, luma, cv::COLOR_RGB2GRAY);
    return luma;
  }
  cv::Mat rgb(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        rgb.at<cv::Vec3b>(y, x)[c] =
            base[c * frames.strides[1] + y * frames.strides[2] + x * frames.strides[3]];
      }
    }
  }
  cv::cvtColor(rgb, luma, cv::COLOR_RGB2GRAY);
  return luma;
}

/// At most 256 pixels on the longer side, at least 32 on the shorter, which the flow needs.
cv::Mat scaled_down(const cv::Mat& luma) {
  const double scale = static_cast<double>(kSmall) / std::max(luma.rows, luma.cols);
  const cv::Size size(std::max(32, cvRound(luma.cols * scale)),
                      std::max(32, cvRound(luma.rows * scale)));
  cv::Mat small;
  cv::resize(luma, small, size, 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
  // Grain is the business of `noise`; left in, it would pass for jerky motion.
  cv::GaussianBlur(small, small, cv::Size(), 1.0);
  return small;
}

double median(std::vector<float>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double mean_gradient(const cv::Mat& luma) {
  cv::Mat x, y;
  cv::absdiff(luma.colRange(1, luma.cols), luma.colRange(0, luma.cols - 1), x);
  cv::absdiff(luma.rowRange(1, luma.rows), luma.rowRange(0, luma.rows - 1), y);
  return (cv::mean(x)[0] + cv::mean(y)[0]) / 2;
}

double spread(const cv::Mat& luma) {
  cv::Scalar mean, deviation;
  cv::meanStdDev(luma, mean, deviation);
  return std::log2(deviation[0] + 1);
}

/// Path length less net change, a step: what goes up and comes down again.
double back_and_forth(const std::vector<Pair>& pairs, double Pair::*value) {
  double path = 0, net = 0;
  for (const Pair& pair : pairs) {
    path += std::abs(pair.*value);
    net += pair.*value;
  }
  return pairs.empty() ? 0 : (path - std::abs(net)) / static_cast<double>(pairs.size());
}

/// Frames that repeat the one before: they change by what the codec changes, far less than the most
/// that changes within three frames.
double repeated(const std::vector<Pair>& pairs) {
  constexpr std::ptrdiff_t kAround = 3;
  double count = 0;
  for (auto pair = pairs.begin(); pair != pairs.end(); ++pair) {
    const auto first = pair - std::min(kAround, pair - pairs.begin());
    const auto last = pair + std::min(kAround + 1, pairs.end() - pair);
    const auto most = std::max_element(
        first, last, [](const Pair& a, const Pair& b) { return a.change < b.change; });
    count += pair->change < 0.15 * most->change ? 1 : 0;
  }
  return count;
}

/// How much of the motion is new: 0 where both flows are equal, 1 where one of them is still.
double jerk(const cv::Mat& before, const cv::Mat& now) {
  // An eighth of a pixel: below it a flow is the trembling of the codec.
  double turned = 0, moved = 0.125 * static_cast<double>(now.total());
  for (int y = 0; y < now.rows; ++y) {
    const auto *a = before.ptr<cv::Vec2f>(y), *b = now.ptr<cv::Vec2f>(y);
    for (int x = 0; x < now.cols; ++x) {
      turned += std::hypot(b[x][0] - a[x][0], b[x][1] - a[x][1]);
      moved += std::hypot(a[x][0], a[x][1]) + std::hypot(b[x][0], b[x][1]);
    }
  }
  return turned / moved;
}

void summarise_spatial(const std::vector<Spatial>& frames, Measures& out) {
  const auto n = static_cast<double>(frames.size());
  double exposure = 0;
  for (const Spatial& frame : frames) {
    out.sharpness += frame.sharpness / n;
    out.detail += frame.detail / n;
    out.noise += frame.noise / n;
    const double dark = std::clamp(frame.mean / 40, 0.0, 1.0);
    const double bright = std::clamp((255 - frame.mean) / 40, 0.0, 1.0);
    exposure += (1 - frame.clipped) * dark * bright / n;
  }
  out.exposure = exposure;
  out.blockiness = blockiness(frames);
}

void summarise_motion(const std::vector<std::vector<Pair>>& windows, Measures& out) {
  double pairs = 0, jerks = 0, jerk = 0, held = 0;
  for (const auto& window : windows) {
    for (const Pair& pair : window) {
      out.warp_error += pair.error;
      out.dynamic_degree += pair.motion;
      pairs += 1;
      if (pair.jerk) {
        jerk += *pair.jerk;
        jerks += 1;
      }
    }
    held += repeated(window);
    out.flicker += back_and_forth(window, &Pair::shift) / static_cast<double>(windows.size());
    out.contrast_flicker +=
        back_and_forth(window, &Pair::contrast) / static_cast<double>(windows.size());
  }
  if (pairs == 0) return;
  out.warp_error /= pairs;
  out.dynamic_degree /= pairs;
  out.temporal = jerks > 0;
  if (jerks > 0) out.motion_smoothness = 1 - jerk / jerks;

  out.repeated = held / pairs;
}

}  // namespace

MotionMeter::MotionMeter() : flow_(cv::DISOpticalFlow::create(cv::DISOpticalFlow::PRESET_FAST)) {}

void MotionMeter::begin_window() {
  previous_.release();
  previous_flow_.release();
  windows_.emplace_back();
}

void MotionMeter::add(const cv::Mat& frame) {
  const double spread_now = spread(frame);
  if (!previous_.empty()) {
    cv::Mat flow;
    flow_->calc(previous_, frame, flow);
    Pair pair;
    std::vector<float> differences, magnitudes;
    double error = 0;
    cv::Mat map_x(flow.size(), CV_32F), map_y(flow.size(), CV_32F), warped;
    for (int y = 0; y < flow.rows; ++y) {
      const auto* row = flow.ptr<cv::Vec2f>(y);
      for (int x = 0; x < flow.cols; ++x) {
        map_x.at<float>(y, x) = static_cast<float>(x) + row[x][0];
        map_y.at<float>(y, x) = static_cast<float>(y) + row[x][1];
      }
    }
    cv::remap(frame, warped, map_x, map_y, cv::INTER_LINEAR, cv::BORDER_REPLICATE);
    for (int y = 0; y < flow.rows; ++y) {
      const auto* row = flow.ptr<cv::Vec2f>(y);
      for (int x = 0; x < flow.cols; ++x) {
        const float to_x = map_x.at<float>(y, x), to_y = map_y.at<float>(y, x);
        magnitudes.push_back(std::hypot(row[x][0], row[x][1]));
        // What leaves the picture has no partner.
        if (to_x < 0 || to_y < 0 || to_x > static_cast<float>(flow.cols - 1) ||
            to_y > static_cast<float>(flow.rows - 1)) {
          continue;
        }
        differences.push_back(static_cast<float>(warped.at<std::uint8_t>(y, x)) -
                              static_cast<float>(previous_.at<std::uint8_t>(y, x)));
      }
    }
    pair.shift = median(differences);
    for (const float difference : differences) error += std::abs(difference - pair.shift);
    if (!differences.empty()) error /= static_cast<double>(differences.size());
    // Half a level: the error of a flat picture is rounding.
    pair.error = error / (mean_gradient(previous_) + 0.5);
    pair.contrast = spread_now - previous_spread_;
    const std::size_t fastest = std::max<std::size_t>(1, magnitudes.size() / 20);
    std::nth_element(magnitudes.begin(), magnitudes.end() - static_cast<std::ptrdiff_t>(fastest),
                     magnitudes.end());
    pair.motion = std::accumulate(magnitudes.end() - static_cast<std::ptrdiff_t>(fastest),
                                  magnitudes.end(), 0.0) /
                  static_cast<double>(fastest);
    cv::Mat difference;
    cv::absdiff(frame, previous_, difference);
    pair.change = cv::mean(difference)[0];
    // Over areas of 8x8 the flow of grain averages out, that of things does not.
    cv::Mat coarse;
    cv::resize(flow, coarse, cv::Size(), 1.0 / 8, 1.0 / 8, cv::INTER_AREA);
    if (!previous_flow_.empty()) pair.jerk = jerk(previous_flow_, coarse);
    windows_.back().push_back(pair);
    previous_flow_ = coarse;
  }
  previous_ = frame;
  previous_spread_ = spread_now;
}

Measures measure(const Video& video, std::stop_token stop) {
  Measures out;
  const std::vector<Window> windows = windows_of(video.info().frame_count);
  for (const Window& window : windows) {
    for (std::int64_t i = 0; i < window.count; ++i) out.frames.push_back(window.first + i);
  }
  // Windows of a video only a little longer than all of them may overlap.
  std::sort(out.frames.begin(), out.frames.end());
  out.frames.erase(std::unique(out.frames.begin(), out.frames.end()), out.frames.end());

  std::vector<std::int64_t> looked_at;
  const std::size_t wanted = std::min(kSpatialFrames, out.frames.size());
  for (std::size_t k = 0; k < wanted; ++k) {
    looked_at.push_back(out.frames[wanted == 1 ? 0 : k * (out.frames.size() - 1) / (wanted - 1)]);
  }

  // At most 16 frames and 64 MB at once.
  const std::int64_t frame_bytes = 3LL * video.info().width * video.info().height;
  const std::int64_t at_once =
      std::clamp((std::int64_t{64} << 20) / frame_bytes, std::int64_t{1}, kWindow);
  MotionMeter motion;
  std::vector<Spatial> frames;
  std::size_t next = 0;
  for (const Window& window : windows) {
    motion.begin_window();
    for (std::int64_t done = 0; done < window.count; done += at_once) {
      if (stop.stop_requested()) throw Cancelled("pixels");
      std::vector<std::int64_t> indices(
          static_cast<std::size_t>(std::min(at_once, window.count - done)));
      std::iota(indices.begin(), indices.end(), window.first + done);
      const TensorView pixels = video.read_host(indices);
      for (std::size_t i = 0; i < indices.size(); ++i) {
        const cv::Mat luma = luma_of(pixels, static_cast<std::int64_t>(i));
        if (next < looked_at.size() && indices[i] >= looked_at[next]) {
          frames.push_back(measure_frame(luma));
          ++next;
        }
        motion.add(scaled_down(luma));
      }
    }
  }
  summarise_spatial(frames, out);
  summarise_motion(motion.windows(), out);
  return out;
}

}  // namespace bestreel::pixels
