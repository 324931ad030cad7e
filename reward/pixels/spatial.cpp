#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "reward/pixels/measures.h"

namespace bestreel::pixels {
namespace {

constexpr int kBlock = 16;
/// A Sobel kernel divided by 8 keeps 12/64 of white noise's variance in each direction, the
/// Laplacian kernel of Immerkaer 36.
constexpr double kSobelNoise = 12.0 / 64.0;
constexpr double kImmerkaerGain = 6.0;

/// Means over the whole blocks of `image`; the frame itself where it is smaller than one.
std::vector<double> block_means(const cv::Mat& image) {
  const int size = std::min({kBlock, image.rows, image.cols});
  std::vector<double> means;
  for (int y = 0; y + size <= image.rows; y += size) {
    for (int x = 0; x + size <= image.cols; x += size) {
      means.push_back(cv::mean(image(cv::Rect(x, y, size, size)))[0]);
    }
  }
  return means;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const double place = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(low), values.end());
  const double a = values[low];
  if (low + 1 == values.size()) return a;
  const double b =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(low) + 1, values.end());
  return a + (place - static_cast<double>(low)) * (b - a);
}

double noise_level(const cv::Mat& luma) {
  if (luma.rows < 3 || luma.cols < 3) return 0;
  static const cv::Mat kernel = (cv::Mat_<float>(3, 3) << 1, -2, 1, -2, 4, -2, 1, -2, 1);
  cv::Mat response;
  cv::filter2D(luma, response, CV_32F, kernel);
  const cv::Rect inside(1, 1, luma.cols - 2, luma.rows - 2);
  const std::vector<double> strength = block_means(cv::abs(response(inside)));
  const std::vector<double> level = block_means(luma(inside));
  // At the ends of the range clipping hides the noise.
  std::vector<double> usable;
  for (std::size_t i = 0; i < strength.size(); ++i) {
    if (level[i] > 12 && level[i] < 243) usable.push_back(strength[i]);
  }
  return quantile(std::move(usable), 0.1) * std::sqrt(CV_PI / 2) / kImmerkaerGain;
}

/// Squared gradient magnitude.
cv::Mat gradient_energy(const cv::Mat& image) {
  cv::Mat x, y;
  cv::Sobel(image, x, CV_32F, 1, 0, 3, 1.0 / 8);
  cv::Sobel(image, y, CV_32F, 0, 1, 3, 1.0 / 8);
  return x.mul(x) + y.mul(y);
}

void measure_edges(const cv::Mat& luma, Spatial& result) {
  cv::Mat blurred;
  cv::GaussianBlur(luma, blurred, cv::Size(), 2.0);
  const cv::Mat fine = gradient_energy(luma), coarse = gradient_energy(blurred);
  // The quietest tenth of the blocks lies below the mean noise: by a half in energy.
  const double noise_energy = 1.5 * 2 * kSobelNoise * result.noise * result.noise;

  std::vector<double> samples;
  for (int y = 0; y < coarse.rows; y += 2) {
    const float* row = coarse.ptr<float>(y);
    for (int x = 0; x < coarse.cols; x += 2) samples.push_back(row[x]);
  }
  const double threshold = std::max(1.0, quantile(std::move(samples), 0.95));
  const cv::Mat strong = coarse >= threshold;
  const int count = cv::countNonZero(strong);
  if (count > 0) {
    const double top = cv::mean(fine, strong)[0] - noise_energy;
    result.sharpness = std::sqrt(std::max(0.0, top) / cv::mean(coarse, strong)[0]);
  }

  const std::vector<double> fine_blocks = block_means(fine), coarse_blocks = block_means(coarse);
  double sum = 0;
  int textured = 0;
  for (std::size_t i = 0; i < fine_blocks.size(); ++i) {
    if (coarse_blocks[i] <= 0.25) continue;
    sum += std::log2((std::max(0.0, fine_blocks[i] - noise_energy) + 0.05) /
                     (coarse_blocks[i] + 0.05));
    ++textured;
  }
  if (textured > 0) result.detail = sum / textured;
}

/// For each phase of 8 columns the mean of how far its step exceeds both neighbours' steps. Capped:
/// a block edge is small, an object's edge is not.
std::vector<double> phase_steps(const cv::Mat& luma) {
  constexpr float kCap = 12;
  if (luma.cols < 32) return {};
  std::vector<double> sum(8, 0.0), count(8, 0.0);
  std::vector<float> step(static_cast<std::size_t>(luma.cols) - 1);
  for (int y = 0; y < luma.rows; ++y) {
    const float* row = luma.ptr<float>(y);
    for (std::size_t x = 0; x < step.size(); ++x) step[x] = std::abs(row[x + 1] - row[x]);
    for (std::size_t x = 1; x + 1 < step.size(); ++x) {
      sum[(x + 1) % 8] += std::clamp(step[x] - std::max(step[x - 1], step[x + 1]), 0.0F, kCap);
      count[(x + 1) % 8] += 1;
    }
  }
  for (std::size_t p = 0; p < 8; ++p) sum[p] /= count[p];
  return sum;
}

double grid_strength(const std::vector<Spatial>& frames, std::vector<double> Spatial::*steps) {
  // Beside it a step is not seen; it also keeps frames without any texture from dividing by zero.
  constexpr double kInvisible = 0.1;
  std::vector<double> mean(8, 0.0);
  for (const Spatial& frame : frames) {
    if ((frame.*steps).empty()) return 1;
    for (std::size_t p = 0; p < 8; ++p)
      mean[p] += (frame.*steps)[p] / static_cast<double>(frames.size());
  }
  std::sort(mean.begin(), mean.end());
  const double strongest = mean.back();
  mean.pop_back();
  return (strongest + kInvisible) / (quantile(mean, 0.5) + kInvisible);
}

}  // namespace

Spatial measure_frame(const cv::Mat& luma8) {
  cv::Mat luma;
  luma8.convertTo(luma, CV_32F);
  Spatial result;
  result.noise = noise_level(luma);
  measure_edges(luma, result);
  const double pixels = static_cast<double>(luma8.total());
  result.clipped = (cv::countNonZero(luma8 < 3) + cv::countNonZero(luma8 > 252)) / pixels;
  result.mean = cv::mean(luma8)[0];
  result.column_steps = phase_steps(luma);
  result.row_steps = phase_steps(luma.t());
  return result;
}

double blockiness(const std::vector<Spatial>& frames) {
  if (frames.empty()) return 1;
  return std::sqrt(grid_strength(frames, &Spatial::column_steps) *
                   grid_strength(frames, &Spatial::row_steps));
}

}  // namespace bestreel::pixels
