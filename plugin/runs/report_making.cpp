// How the candidates of a generating run were made: who went on, who was dropped on what, what it
// cost.
#include <algorithm>
#include <filesystem>
#include <map>

#include "plugin/runs/report_page.h"

namespace bestreel::report {
namespace {

constexpr double kLeft = 70, kRight = 970, kRow = 26;  // of the picture, in its own units

std::optional<double> reward_at(const Making::Preview& preview) {
  const auto* judgement = preview.result ? std::get_if<Judgement>(&*preview.result) : nullptr;
  return judgement ? std::optional(judgement->reward) : std::nullopt;
}

std::string outcome(const RunView& view, const Making& making) {
  switch (making.end) {
    case Making::End::kFinished:
      return making.id == view.winner ? "won" : "finished";
    case Making::End::kDropped:
      return fmt::format("dropped at step {}", making.step);
    case Making::End::kStopped:
      return making.reason;
    case Making::End::kFailed:
      return fmt::format("failed at step {}: {}", making.step, making.reason);
    case Making::End::kRunning:
      return fmt::format("at step {}", making.step);
  }
  return {};
}

/// Previews lie beside the report, in a folder of their own.
Markup previews(const Making& making) {
  Markup out;
  for (const Making::Preview& preview : making.previews) {
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
  for (const Making& making : view.makings) {
    std::string begins = making.noise;
    for (const Making::Resampling& each : making.resamplings) {
      begins += fmt::format(", from {} at step {}", each.parent, each.step);
    }
    rows += html("<tr{}><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                 making.id == view.winner ? html(" class=\"winner\"") : Markup{}, making.id, begins,
                 previews(making), outcome(view, making));
  }
  return html(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"making\">\n<table>\n"
      "<thead><tr><th scope=\"col\">candidate</th><th scope=\"col\">begins from</th>"
      "<th scope=\"col\">previews</th><th scope=\"col\">outcome</th></tr></thead>\n"
      "<tbody>\n{}</tbody>\n</table>\n</div>\n",
      rows);
}

/// A line per candidate along the denoising steps: dots are previews, a cross an early end, a ring
/// a finished video; a slanted line is a state that was copied.
Markup lineage(const RunView& view) {
  std::int64_t steps = 1;
  for (const Making& making : view.makings) steps = std::max(steps, making.step);
  const auto x = [&](std::int64_t step) {
    return kLeft + (kRight - kLeft) * static_cast<double>(step) / static_cast<double>(steps);
  };
  std::map<std::string, double> rows;
  for (const Making& making : view.makings) {
    rows[making.id] = kRow * (static_cast<double>(rows.size()) + 0.5);
  }
  Markup out;
  for (const Making& making : view.makings) {
    const double y = rows.at(making.id), end = x(making.step);
    out += html(
        "<g class=\"{}\"><text x=\"4\" y=\"{:.1f}\">{}</text>"
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
        making.id == view.winner ? "winner" : "other", y + 5, making.id, kLeft, y, end, y);
    for (const Making::Resampling& each : making.resamplings) {
      const auto parent = rows.find(each.parent);
      if (parent == rows.end()) continue;
      out += html("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                  x(each.step) - 12, parent->second, x(each.step), y);
    }
    for (const Making::Preview& preview : making.previews) {
      const auto reward = reward_at(preview);
      out += html(
          "<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"><title>{} at step {}: "
          "{}</title></circle>",
          x(preview.step), y, making.id, preview.step,
          reward ? number(*reward) : std::string("no score"));
    }
    if (making.end == Making::End::kFinished) {
      out += html("<circle class=\"ring\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"7\"/>", end, y);
    } else if (making.end != Making::End::kRunning) {
      out += html("<path d=\"M{0:.1f} {2:.1f}L{1:.1f} {3:.1f}M{0:.1f} {3:.1f}L{1:.1f} {2:.1f}\"/>",
                  end - 6, end + 6, y - 6, y + 6);
    }
    out += html("</g>\n");
  }
  return html(
      "<svg class=\"lineage\" viewBox=\"0 0 1000 {:.0f}\" role=\"img\" aria-label=\"Who went "
      "on and who ended at which of {} steps; the table says it in words\">\n{}</svg>\n",
      kRow * static_cast<double>(view.makings.size()), steps, out);
}

Markup entry(std::string_view name, const std::string& value) {
  return html("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
}

Markup costs(const Ledger& ledger) {
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
  if (page.view.makings.empty()) return {};
  return html(
      "<section class=\"making\" aria-labelledby=\"making\">\n<h2 id=\"making\">How they were made"
      "</h2>\n{}{}{}</section>\n",
      lineage(page.view), table(page.view), costs(page.view.ledger));
}

}  // namespace bestreel::report
