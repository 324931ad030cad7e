// Private to the report: a RunView as HTML. Pure: no file is read or written here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugin/runs/report_charts.h"
#include "plugin/runs/report_media.h"
#include "plugin/runs/report_text.h"
#include "plugin/runs/report_verdict.h"
#include "plugin/runs/run_view.h"

namespace bestreel::report {

/// What every part of the page looks at.
struct Page {
  const RunView& view;
  const std::vector<Clip>& clips;  ///< one per candidate
  Verdict verdict;
  Range rewards;  ///< the axis of Candidate::reward

  Page(const RunView& view, const std::vector<Clip>& clips);
  bool several_judges() const { return view.settings.judges.size() > 1; }
  /// The name in the SPEC (before ':'), or all of it where two judges share a name.
  std::string judge_name(std::size_t judge) const;
};

inline constexpr Range kScores{1, 5};  ///< the axis of Dimension::expected

/// A candidate's name wherever it is said: isolated, so that right-to-left names keep to
/// themselves.
Markup name_of(const Candidate& candidate);

/// Where its card is: "#v1".
std::string anchor_of(const Page& page, const Candidate& candidate);

/// "34 s", "3 min 12 s", "1 h 4 min".
std::string duration(double seconds);

Markup verdict_section(const Page& page);
Markup ranking_section(const Page& page);
/// Empty for a run without a cascade of judges.
Markup cascade_section(const Page& page);
Markup cards_section(const Page& page);
Markup failures_section(const Page& page);
/// Empty for a run that made no videos.
Markup making_section(const Page& page);

/// The whole document; `command`: see ReportOptions.
std::string render(const RunView& view, const std::vector<Clip>& clips,
                   const std::vector<std::string>& command);

}  // namespace bestreel::report
