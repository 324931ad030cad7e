// The measures of the judge `pixels`. Private: the public header is pixels_judge.h.
//
// Spatial measures are taken on the luma (0..255) of up to 12 frames at the video's own size,
// temporal ones on consecutive frames scaled to 256 pixels on the longer side: all frames up to
// 128, else 8 windows of 16 spread evenly over the video.
#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/video/tracking.hpp>
#include <optional>
#include <stop_token>
#include <vector>

#include "core/media/video.h"

namespace bestreel::pixels {

/// Of one frame.
struct Spatial {
  /// Fine over coarse gradient at the strongest 5 % of edges, noise taken out: about 1.2 (sigma 3
  /// blur) to 2 (sharp). The re-blur principle of Crete et al., "The blur effect" (SPIE 2007).
  double sharpness = 0;
  /// The same ratio over all textured 16x16 blocks, log2: falls where a codec wipes texture out.
  double detail = 0;
  /// Standard deviation of noise in levels: Immerkaer, "Fast noise variance estimation" (CVIU
  /// 1996), at the quietest tenth of the 16x16 blocks, so that texture does not count.
  double noise = 0;
  /// Share of pixels at either end of the range (under 3 or over 252).
  double clipped = 0;
  double mean = 0;  ///< 0..255
  /// Mean step of each of the 8 column and row phases beyond its neighbours' steps (Wang, Sheikh
  /// and Bovik, "No-reference perceptual quality assessment of JPEG images", ICIP 2002); empty for
  /// frames under 32 pixels.
  std::vector<double> column_steps, row_steps;
};
Spatial measure_frame(const cv::Mat& luma);

/// Strength of the 8x8 grid over frames: the strongest phase over the median of the others, 1 = no
/// grid; the mean over frames is taken first, so that content averages out and a grid does not.
double blockiness(const std::vector<Spatial>& frames);

/// Of two consecutive small frames.
struct Pair {
  double shift = 0;     ///< median brightness change along the motion, levels
  double contrast = 0;  ///< change of log2 of the frame's standard deviation
  double error = 0;     ///< mean |difference| along the motion, over the mean gradient
  double motion = 0;    ///< mean flow magnitude of the fastest 5 % of pixels, pixels
  double change = 0;    ///< mean |difference| in place, levels
  /// Change of flow against the pair before, over the flow of both; nullopt for a window's first.
  std::optional<double> jerk;
};

/// Measures of consecutive frames, fed one by one; flow by OpenCV's DIS (Kroeger et al., ECCV
/// 2016).
class MotionMeter {
 public:
  MotionMeter();
  void begin_window();
  void add(const cv::Mat& small_luma);
  const std::vector<std::vector<Pair>>& windows() const { return windows_; }

 private:
  cv::Ptr<cv::DenseOpticalFlow> flow_;
  cv::Mat previous_, previous_flow_;
  double previous_spread_ = 0;
  std::vector<std::vector<Pair>> windows_;
};

struct Measures {
  double sharpness = 0, detail = 0, noise = 0, blockiness = 1;  ///< as in Spatial, mean of frames
  double exposure = 1;  ///< 0..1: 1 - clipped, less where the mean luma leaves 40..215
  /// Brightness that goes up and comes down again, levels a frame: path length less net change.
  double flicker = 0;
  double contrast_flicker = 0;  ///< the same for contrast, log2 units a frame
  /// Flow of the fastest 5 % of pixels, pixels a frame at 256 pixels width: VBench's dynamic degree
  /// (Huang et al., CVPR 2024) with DIS in place of RAFT.
  double dynamic_degree = 0;
  /// 1 - mean jerk, about 0.8 for a steady camera, 0.2 where every third frame is held.
  double motion_smoothness = 1;
  double warp_error = 0;  ///< mean Pair::error
  double repeated = 0;    ///< share of frames that repeat the one before while the video moves
  bool temporal = false;  ///< at least three consecutive frames were there
  std::vector<std::int64_t> frames;  ///< indices that were looked at, ascending
};

/// Reads the video window by window, so memory is bounded by 16 frames. Throws Cancelled on stop.
Measures measure(const Video& video, std::stop_token stop);

}  // namespace bestreel::pixels
