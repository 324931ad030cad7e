// From a decoded frame to upright interleaved RGB. Private to core/media.
#pragma once

#include <cstdint>
#include <vector>

#include "core/media/libav.h"

namespace bestreel {

/// How a stored picture must be turned to be upright: shown(x, y) = stored(...) for the eight
/// symmetries of a rectangle.
struct Orientation {
  bool transpose = false;  ///< shown x runs along stored y
  bool mirror_x = false;   ///< then shown x counts from the far end
  bool mirror_y = false;   ///< then shown y counts from the far end
  int clockwise = 0;       ///< degrees, for VideoInfo

  bool upright() const { return !transpose && !mirror_x && !mirror_y; }
};

/// From libav's 3x3 display matrix (16.16 fixed point), nullptr meaning none. Angles that are no
/// multiple of 90 degrees count as none: turning by them would leave corners without a pixel. So
/// does a matrix without an inverse, such as the all-zero one that some muxers write.
Orientation orientation_of(const std::int32_t* matrix);

/// Converts frames of any size and pixel format to one size.
class RgbConverter {
 public:
  RgbConverter(int stored_width, int stored_height, Orientation orientation);

  int width() const { return orientation_.transpose ? stored_height_ : stored_width_; }
  int height() const { return orientation_.transpose ? stored_width_ : stored_height_; }

  /// Bytes from row to row of an output picture. Rows are padded because libswscale's vector code
  /// works in blocks of pixels: in a tight row it would leave the last columns out or, at the end
  /// of a picture, write over the next one.
  std::int64_t row_bytes() const;

  /// `rgb`: height() rows of row_bytes(). Returns libswscale's error, or 0.
  int convert(const AVFrame& frame, std::uint8_t* rgb);

 private:
  int scale(const AVFrame& frame, AVPixelFormat format, std::uint8_t* out, std::int64_t stride);
  void turn(const std::uint8_t* stored, std::int64_t stride, std::uint8_t* rgb) const;

  int stored_width_, stored_height_;
  Orientation orientation_;
  libav::ScalerPtr scaler_;
  std::vector<std::uint8_t> scratch_;
};

}  // namespace bestreel
