#include "core/media/colour.h"

#include <cmath>
#include <cstddef>
#include <cstdlib>

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace bestreel {
namespace {

/// Whole blocks of pixels, as wide as libswscale's widest (32 pixels with AVX2).
std::int64_t padded_row(int width, int bytes_per_pixel) {
  constexpr std::int64_t kBlock = 32;
  constexpr std::int64_t kAlignment = 64;
  const std::int64_t bytes = (width + kBlock - 1) / kBlock * kBlock * bytes_per_pixel;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

bool has_alpha(AVPixelFormat format) {
  const AVPixFmtDescriptor* descriptor = av_pix_fmt_desc_get(format);
  return descriptor != nullptr && (descriptor->flags & AV_PIX_FMT_FLAG_ALPHA) != 0;
}

enum class Model { kYuv, kRgb, kGray };

Model model_of(AVPixelFormat format) {
  const AVPixFmtDescriptor* descriptor = av_pix_fmt_desc_get(format);
  if (descriptor == nullptr) return Model::kYuv;
  if ((descriptor->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0) return Model::kRgb;
  // One component, or one beside an opacity.
  return descriptor->nb_components <= 2 ? Model::kGray : Model::kYuv;
}

/// The old "J" formats are the plain ones in full range; libswscale warns about them.
AVPixelFormat without_j(AVPixelFormat format) {
  switch (format) {
    case AV_PIX_FMT_YUVJ411P:
      return AV_PIX_FMT_YUV411P;
    case AV_PIX_FMT_YUVJ420P:
      return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
      return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ440P:
      return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ444P:
      return AV_PIX_FMT_YUV444P;
    default:
      return format;
  }
}

/// RGBA to RGB in place, row by row: over black, a pixel is its colour times its opacity.
void composite_over_black(const std::uint8_t* rgba, std::int64_t rgba_stride, int width, int height,
                          std::uint8_t* rgb, std::int64_t rgb_stride) {
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* in = rgba + y * rgba_stride;
    std::uint8_t* out = rgb + y * rgb_stride;
    for (int x = 0; x < width; ++x, in += 4, out += 3) {
      for (int c = 0; c < 3; ++c) {
        out[c] = static_cast<std::uint8_t>((in[c] * in[3] + 127) / 255);
      }
    }
  }
}

}  // namespace

Orientation orientation_of(const std::int32_t* matrix) {
  Orientation none;
  if (matrix == nullptr) return none;
  // A stored point (x, y) is shown at (a x + c y, b x + d y).
  const double a = matrix[0];
  const double b = matrix[1];
  const double c = matrix[3];
  const double d = matrix[4];
  const double straight = std::abs(a) + std::abs(d);
  const double crossed = std::abs(b) + std::abs(c);
  constexpr double kTolerance = 0.02;  // about one degree
  Orientation turned;
  if (a * d == b * c) return none;  // everything on one line, or nowhere
  if (crossed <= kTolerance * straight) {
    turned.mirror_x = a < 0;
    turned.mirror_y = d < 0;
    turned.clockwise = turned.mirror_x && turned.mirror_y ? 180 : 0;
  } else if (straight <= kTolerance * crossed) {
    turned.transpose = true;
    turned.mirror_x = c < 0;
    turned.mirror_y = b < 0;
    if (turned.mirror_x != turned.mirror_y) turned.clockwise = turned.mirror_x ? 90 : 270;
  }
  return turned;
}

RgbConverter::RgbConverter(int stored_width, int stored_height, Orientation orientation)
    : stored_width_(stored_width), stored_height_(stored_height), orientation_(orientation) {}

std::int64_t RgbConverter::row_bytes() const { return padded_row(width(), 3); }

int RgbConverter::scale(const AVFrame& frame, AVPixelFormat format, std::uint8_t* out,
                        std::int64_t stride) {
  const auto stored = static_cast<AVPixelFormat>(frame.format);
  const AVPixelFormat plain = without_j(stored);
  // Bilinear is what PyAV and decord ask for; it only matters when a stream changes its size.
  scaler_.reset(sws_getCachedContext(scaler_.release(), frame.width, frame.height, plain,
                                     stored_width_, stored_height_, format, SWS_BILINEAR, nullptr,
                                     nullptr, nullptr));
  if (!scaler_) return AVERROR(EINVAL);
  // The stream's own matrix and range are honoured, and BT.601 stands in when it names none: that
  // is what PyAV 18, decord 0.6 and OpenCV do, each within one level (tests/parity/media).
  // Matrix and range are matters of YUV alone: gray always fills its range, and libswscale takes
  // deep RGB through a YUV of its own, which must be the same there and back.
  const Model model = model_of(plain);
  const bool full =
      model == Model::kGray ||
      (model == Model::kYuv && (frame.color_range == AVCOL_RANGE_JPEG || plain != stored));
  const int matrix = model == Model::kYuv ? static_cast<int>(frame.colorspace) : SWS_CS_DEFAULT;
  sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(matrix), full ? 1 : 0,
                           sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
  std::uint8_t* const planes[4] = {out, nullptr, nullptr, nullptr};
  const int strides[4] = {static_cast<int>(stride), 0, 0, 0};
  const int rows =
      sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  return rows == stored_height_ ? 0 : (rows < 0 ? rows : AVERROR(EINVAL));
}

int RgbConverter::convert(const AVFrame& frame, std::uint8_t* rgb) {
  const bool alpha = has_alpha(static_cast<AVPixelFormat>(frame.format));
  if (!alpha && orientation_.upright()) return scale(frame, AV_PIX_FMT_RGB24, rgb, row_bytes());

  const AVPixelFormat format = alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24;
  const std::int64_t stride = padded_row(stored_width_, alpha ? 4 : 3);
  scratch_.resize(static_cast<std::size_t>(stride * (stored_height_ + 1)));
  if (const int status = scale(frame, format, scratch_.data(), stride); status < 0) return status;
  if (alpha && orientation_.upright()) {
    composite_over_black(scratch_.data(), stride, stored_width_, stored_height_, rgb, row_bytes());
    return 0;
  }
  if (alpha) {  // in place: the RGB row ends before the RGBA row that it is made of
    composite_over_black(scratch_.data(), stride, stored_width_, stored_height_, scratch_.data(),
                         stride);
  }
  turn(scratch_.data(), stride, rgb);
  return 0;
}

void RgbConverter::turn(const std::uint8_t* stored, std::int64_t stride, std::uint8_t* rgb) const {
  const int shown_width = width();
  const int shown_height = height();
  for (int y = 0; y < shown_height; ++y) {
    std::uint8_t* out = rgb + y * row_bytes();
    const int v = orientation_.mirror_y ? shown_height - 1 - y : y;
    for (int x = 0; x < shown_width; ++x, out += 3) {
      const int u = orientation_.mirror_x ? shown_width - 1 - x : x;
      const std::uint8_t* in = orientation_.transpose ? stored + u * stride + std::int64_t{3} * v
                                                      : stored + v * stride + std::int64_t{3} * u;
      out[0] = in[0];
      out[1] = in[1];
      out[2] = in[2];
    }
  }
}

}  // namespace bestreel
