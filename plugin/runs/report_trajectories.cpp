// How the candidates of a generating run were made: who went on, who was dropped on what, what it
// cost.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "plugin/runs/report_page.h"

namespace bestreel::report {
namespace {

// Of the picture, in its own units: the axis above, a row per candidate, room at the right for
// scores.
constexpr double kLeft = 70, kRight = 950, kTop = 24, kRow = 30;

std::optional<double> reward_at(const TrajectoryRecord::Preview& preview) {
  const auto* judgement = preview.result ? std::get_if<Judgement>(&*preview.result) : nullptr;
  return judgement ? std::optional(judgement->reward) : std::nullopt;
}

/// "1st", "2nd", "3rd", "11th".
std::string ordinal(std::size_t n) {
  const bool teen = n % 100 / 10 == 1;
  const char* ending = teen          ? "th"
                       : n % 10 == 1 ? "st"
                       : n % 10 == 2 ? "nd"
                       : n % 10 == 3 ? "rd"
                                     : "th";
  return fmt::format("{}{}", n, ending);
}

/// The last preview that a decision at the end of `trajectory` can rest on.
const TrajectoryRecord::Preview* last_preview(const TrajectoryRecord& trajectory) {
  const TrajectoryRecord::Preview* last = nullptr;
  for (const TrajectoryRecord::Preview& preview : trajectory.previews) {
    if (preview.step <= trajectory.step) last = &preview;
  }
  return last;
}

/// Why it was dropped: what its last preview scored, and beside whom.
std::string dropped_on(const RunView& view, const TrajectoryRecord& trajectory) {
  const TrajectoryRecord::Preview* last = last_preview(trajectory);
  if (last == nullptr) return {};
  const auto reward = reward_at(*last);
  if (!reward) return fmt::format(": its preview at step {} could not be judged", last->step);
  const std::string said =
      fmt::format(": its preview at step {} scored {}", last->step, number(*reward));
  // One after the other, the later ones were not known yet.
  if (view.settings.strategy.starts_with("race(")) return said + ", behind those before it";
  std::size_t place = 1, all = 0;
  for (const TrajectoryRecord& other : view.trajectories) {
    if (other.wave != trajectory.wave) continue;
    for (const TrajectoryRecord::Preview& preview : other.previews) {
      if (preview.step != last->step) continue;
      ++all;
      const auto theirs = reward_at(preview);
      if (theirs && (*theirs > *reward || (*theirs == *reward && other.id < trajectory.id)))
        ++place;
    }
  }
  return said + fmt::format(", {} of {}", ordinal(place), all);
}

std::string outcome(const RunView& view, const TrajectoryRecord& trajectory) {
  switch (trajectory.end) {
    case TrajectoryRecord::End::kFinished:
      return trajectory.id == view.winner ? "won" : "finished";
    case TrajectoryRecord::End::kDropped:
      return fmt::format("dropped at step {}{}", trajectory.step, dropped_on(view, trajectory));
    case TrajectoryRecord::End::kStopped:
      return trajectory.reason;
    case TrajectoryRecord::End::kFailed:
      return fmt::format("failed at step {}: {}", trajectory.step, trajectory.reason);
    case TrajectoryRecord::End::kRunning:
      return fmt::format("at step {}", trajectory.step);
  }
  return {};
}

/// Previews lie beside the report, in a folder of their own.
Markup previews(const TrajectoryRecord& trajectory) {
  Markup out;
  for (const TrajectoryRecord::Preview& preview : trajectory.previews) {
    const auto reward = reward_at(preview);
    const std::string said =
        fmt::format("step {}: {}", preview.step, reward ? number(*reward) : "no score");
    if (!out.html.empty()) out += html(", ");
    if (preview.path.empty()) {
      out += html("{}", said);
    } else {
      const std::string file = std::filesystem::path(preview.path).filename().string();
      out += html("<a href=\"{}\">{}</a>", "previews/" + url_path(file), said);
    }
  }
  return out;
}

Markup table(const RunView& view) {
  Markup rows;
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    std::string begins = trajectory.start;
    for (const TrajectoryRecord::Resampling& each : trajectory.resamplings) {
      begins += fmt::format(", from {} at step {}", each.parent, each.step);
    }
    rows += html("<tr{}><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                 trajectory.id == view.winner ? html(" class=\"winner\"") : Markup{}, trajectory.id,
                 begins, previews(trajectory), outcome(view, trajectory));
  }
  return html(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"making\">\n<table>\n"
      "<thead><tr><th scope=\"col\">candidate</th><th scope=\"col\">begins from</th>"
      "<th scope=\"col\">previews</th><th scope=\"col\">outcome</th></tr></thead>\n"
      "<tbody>\n{}</tbody>\n</table>\n</div>\n",
      rows);
}

/// The axis: where previews were looked at, and the end.
Markup axis(const std::set<std::int64_t>& marks, const auto& x, double height) {
  Markup out;
  double free = 0;  // a label is left out where it would run into the one before
  for (const std::int64_t step : marks) {
    out +=
        html("<line class=\"mark\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>",
             x(step), kTop, height);
    if (x(step) < free) continue;
    out += html("<text class=\"tick\" x=\"{:.1f}\" y=\"14\">step {}</text>", x(step), step);
    free = x(step) + 60;
  }
  return out;
}

/// How one ends: a ring is a finished video, a bar across an early end.
Markup end_mark(const TrajectoryRecord& trajectory, double x, double y) {
  if (trajectory.end == TrajectoryRecord::End::kRunning) return {};
  if (trajectory.end == TrajectoryRecord::End::kFinished) {
    return html("<circle class=\"ring\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"7\"/>", x, y);
  }
  return html("<line class=\"stop\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>",
              x, y - 9, y + 9);
}

/// A line per candidate along the denoising steps: dots are previews with their scores; a slanted
/// line is a state that was copied.
Markup lineage(const RunView& view) {
  std::int64_t steps = 1;
  std::set<std::int64_t> marks;
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    steps = std::max(steps, trajectory.step);
    for (const TrajectoryRecord::Preview& preview : trajectory.previews) marks.insert(preview.step);
  }
  marks.insert(steps);
  const auto x = [&](std::int64_t step) {
    return kLeft + (kRight - kLeft) * static_cast<double>(step) / static_cast<double>(steps);
  };
  std::map<std::string, double> rows;
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    rows[trajectory.id] = kTop + kRow * (static_cast<double>(rows.size()) + 0.5);
  }
  const double height = kTop + kRow * static_cast<double>(view.trajectories.size());
  Markup out = axis(marks, x, height);
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    const double y = rows.at(trajectory.id), end = x(trajectory.step);
    const bool early = trajectory.end != TrajectoryRecord::End::kFinished &&
                       trajectory.end != TrajectoryRecord::End::kRunning;
    out += html(
        "<g class=\"{}\"><text x=\"4\" y=\"{:.1f}\">{}</text>"
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
        trajectory.id == view.winner ? "winner"
        : early                      ? "early"
                                     : "other",
        y + 5, trajectory.id, kLeft, y, end, y);
    for (const TrajectoryRecord::Resampling& each : trajectory.resamplings) {
      const auto parent = rows.find(each.parent);
      if (parent == rows.end()) continue;
      out += html("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                  x(each.step) - 12, parent->second, x(each.step), y);
    }
    for (const TrajectoryRecord::Preview& preview : trajectory.previews) {
      const auto reward = reward_at(preview);
      const std::string said = reward ? number(*reward) : std::string("no score");
      out += html(
          "<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{} at step {}: "
          "{}</title></circle><text class=\"score\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
          x(preview.step), y, trajectory.id, preview.step, said, x(preview.step) + 8, y - 5, said);
    }
    out += end_mark(trajectory, end, y);
    out += html("</g>\n");
  }
  return html(
      "<div class=\"picture\"><svg class=\"lineage\" viewBox=\"0 0 1000 {:.0f}\" role=\"img\" "
      "aria-label=\"Who went on and who ended at which of {} steps; the table says it in "
      "words\">\n{}</svg></div>\n",
      height, steps, out);
}

Markup entry(std::string_view name, const std::string& value) {
  return html("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
}

Markup costs(const CostTotals& ledger) {
  Markup rows = entry("denoiser forwards", measure(ledger.forwards));
  const auto count = [&](std::string_view name, std::int64_t value) {
    if (value > 0) rows += entry(name, std::to_string(value));
  };
  count("previews decoded", ledger.previews);
  count("videos decoded", ledger.decodes);
  count("judgements", ledger.judgements);
  count("judge tokens read", ledger.prefill_tokens);
  count("judge tokens written", ledger.decode_tokens);
  const auto time = [&](std::string_view name, double seconds) {
    if (seconds > 0) rows += entry(name, duration(seconds));
  };
  time("denoising", ledger.denoise_seconds);
  time("decoding previews", ledger.preview_seconds);
  time("decoding videos", ledger.decode_seconds);
  time("judging", ledger.judge_seconds);
  time("engine waited for judges", ledger.waited_seconds);
  if (ledger.judge_seconds > 0) {
    rows += entry("judging hidden behind denoising",
                  fmt::format("{:.0f} %", 100 * ledger.hidden_share()));
  }
  if (ledger.peak_bytes > 0) {
    rows += entry("peak memory of the engine",
                  fmt::format("{:.2f} GB", static_cast<double>(ledger.peak_bytes) / 1e9));
  }
  if (ledger.redone_forwards > 0) {
    rows += entry("forwards done again after interruptions", measure(ledger.redone_forwards));
  }
  return html("<h3>What it cost</h3>\n<dl class=\"settings\">\n{}</dl>\n", rows);
}

}  // namespace

Markup making_section(const Page& page) {
  if (page.view.trajectories.empty()) return {};
  return html(
      "<section class=\"making\" aria-labelledby=\"making\">\n<h2 id=\"making\">How they were made"
      "</h2>\n{}{}{}</section>\n",
      lineage(page.view), table(page.view), costs(page.view.ledger));
}

}  // namespace bestreel::report
