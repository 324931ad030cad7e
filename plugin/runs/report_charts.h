// Private to the report: the small pictures, as SVG that needs neither script nor style attributes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "plugin/runs/report_text.h"

namespace bestreel::report {

/// The ends of an axis.
struct Range {
  double low = 0;
  double high = 1;
  /// Where `value` lies, 0 to 100, clamped.
  double percent(double value) const;
};

/// A bar from the low end to `value`; a whisker of +-std. `label` is what a screen reader says.
Markup bar(Range range, double value, std::optional<double> std, std::string_view label,
           std::string_view css_class);

/// A bar from the middle, to the right when positive; `largest` fills one half.
Markup difference_bar(double difference, double largest, std::string_view label);

/// p(1)..p(5) as five columns.
Markup histogram(const std::array<double, 5>& probabilities, std::string_view label);

/// A tick per frame seen, along the video's length.
Markup frame_strip(const std::vector<std::int64_t>& frames, std::int64_t frame_count,
                   std::string_view label);

/// "0, 8, 16", and "0-23" for three and more in a row; ascending, each once.
std::string frame_numbers(const std::vector<std::int64_t>& frames);

}  // namespace bestreel::report
