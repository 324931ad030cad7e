#include "plugin/runs/report_charts.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace bestreel::report {

double Range::percent(double value) const {
  if (!std::isfinite(value) || high <= low) return 0;
  return std::clamp((value - low) / (high - low), 0.0, 1.0) * 100;
}

Markup bar(Range range, double value, std::optional<double> std, std::string_view label,
           std::string_view css_class) {
  Markup out = html(
      R"(<svg class="bar {}" role="img" aria-label="{}"><rect class="track" width="100%" height="100%"/>)"
      R"(<rect class="fill" width="{:.2f}%" height="100%"/>)",
      css_class, label, range.percent(value));
  for (const double score : {2.0, 3.0, 4.0}) {
    if (range.low != 1 || range.high != 5) break;  // only these axes have steps to count
    out += html(R"(<line class="grid-line" x1="{0:.0f}%" x2="{0:.0f}%" y1="0" y2="100%"/>)",
                range.percent(score));
  }
  if (std && std::isfinite(*std)) {
    const double low = range.percent(value - *std), high = range.percent(value + *std);
    out += html(R"(<line class="whisker" x1="{0:.2f}%" x2="{1:.2f}%" y1="50%" y2="50%"/>)"
                R"(<line class="whisker" x1="{0:.2f}%" x2="{0:.2f}%" y1="15%" y2="85%"/>)"
                R"(<line class="whisker" x1="{1:.2f}%" x2="{1:.2f}%" y1="15%" y2="85%"/>)",
                low, high);
  }
  return out += html("</svg>");
}

Markup difference_bar(double difference, double largest, std::string_view label) {
  const double half = Range{0, largest}.percent(std::abs(difference)) / 2;
  return html(R"(<svg class="bar difference" role="img" aria-label="{}">)"
              R"(<rect class="track" width="100%" height="100%"/>)"
              R"(<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"/>)"
              R"(<line class="axis" x1="50%" x2="50%" y1="0" y2="100%"/></svg>)",
              label, difference < 0 ? "behind" : "ahead", difference < 0 ? 50 - half : 50.0, half);
}

Markup histogram(const std::array<double, 5>& probabilities, std::string_view label) {
  std::string said(label);
  Markup columns;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double share = Range{0, 1}.percent(probabilities[i]);
    said += fmt::format("{} {}: {:.0f} %", i == 0 ? "," : ";", i + 1, share);
    // At least a hair line, so that five columns are seen and not one.
    const double height = std::max(4.0, share);
    columns += html(R"(<rect class="fill" x="{}%" width="16%" y="{:.1f}%" height="{:.1f}%"/>)",
                    2 + 20 * i, 100 - height, height);
  }
  return html(R"(<svg class="histogram" role="img" aria-label="{0}"><title>{0}</title>{1}</svg>)",
              said, columns);
}

Markup frame_strip(const std::vector<std::int64_t>& frames, std::int64_t frame_count,
                   std::string_view label) {
  // Ticks closer than a thousandth of the width are one tick to the eye.
  std::set<std::int64_t> places;
  for (const std::int64_t frame : frames) {
    if (frame < 0 || frame >= frame_count) continue;
    places.insert(
        std::llround((static_cast<double>(frame) + 0.5) * 1000 / static_cast<double>(frame_count)));
  }
  Markup ticks;
  if (static_cast<std::int64_t>(places.size()) == frame_count) {
    ticks = html(R"(<rect class="fill" width="100%" height="100%"/>)");
    places.clear();
  }
  for (const std::int64_t place : places) {
    const double x = static_cast<double>(place) / 10;
    ticks += html(R"(<line x1="{0:.1f}%" x2="{0:.1f}%" y1="0" y2="100%"/>)", x);
  }
  return html(R"(<svg class="strip" role="img" aria-label="{}">)"
              R"(<rect class="track" width="100%" height="100%"/>{}</svg>)",
              label, ticks);
}

std::string frame_numbers(const std::vector<std::int64_t>& frames) {
  std::vector<std::int64_t> sorted = frames;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::string out;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t last = i;
    while (last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1) ++last;
    if (last < i + 2) last = i;
    if (!out.empty()) out += ", ";
    out += last == i ? fmt::format("{}", sorted[i])
                     : fmt::format("{}\xE2\x80\x93{}", sorted[i], sorted[last]);
    i = last + 1;
  }
  return out;
}

}  // namespace bestreel::report
