// The frame of the page: head, prompt, ranking, settings.
#include "plugin/runs/report_page.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/file.h"

namespace bestreel::embedded {
extern const std::string_view report_css;
extern const std::string_view report_js;
}  // namespace bestreel::embedded

namespace bestreel::report {
namespace {

/// As a Content-Security-Policy names an inline script or style that may run.
std::string policy_hash(std::string_view text) {
  const std::string digits = sha256(text);
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return "sha256-" + base64(bytes);
}

std::string title(const Page& page) {
  if (!page.verdict.first) return "Bestreel report";
  return page.verdict.first->id + (page.verdict.final ? " wins" : " leads") +
         " \xE2\x80\x93 Bestreel report";
}

/// The policy is the second wall after escaping: the browser itself refuses the network, and every
/// script but the page's own.
Markup head(const Page& page) {
  const Markup css{std::string(embedded::report_css)}, js{std::string(embedded::report_js)};
  return html(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src &#39;none&#39;; "
      "media-src &#39;self&#39; file: data:; img-src data:; style-src &#39;{}&#39;; "
      "script-src &#39;{}&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<meta name=\"generator\" content=\"Bestreel " BESTREEL_VERSION
      "\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n",
      policy_hash(css.html), policy_hash(js.html), title(page), css);
}

bool any_failed(const Candidate& candidate) {
  return std::any_of(candidate.results.begin(), candidate.results.end(),
                     [](const auto& result) { return result && failed(*result); });
}

Markup top(const Page& page) {
  const RunView& view = page.view;
  const auto failures = static_cast<std::size_t>(
      std::count_if(view.candidates.begin(), view.candidates.end(), any_failed));
  const auto judged = static_cast<std::size_t>(
      std::count_if(view.candidates.begin(), view.candidates.end(),
                    [](const Candidate& candidate) { return candidate.reward.has_value(); }));
  std::vector<std::string> parts{counted(view.candidates.size(), "video")};
  if (view.trajectories.size() > view.candidates.size()) {
    parts.insert(parts.begin(), counted(view.trajectories.size(), "candidate"));
  }
  if (judged != view.candidates.size()) parts.push_back(fmt::format("{} ranked", judged));
  if (failures > 0) parts.push_back(fmt::format("{} failed", failures));
  if (view.seconds > 0) parts.push_back(duration(view.seconds));
  Markup out =
      html("<header class=\"top\">\n<p class=\"brand\"><b>Bestreel</b> <span>{}</span></p>\n",
           joined(parts, " \xC2\xB7 "));
  if (!view.finished) {
    out += html(
        "<p class=\"notice\"><b>Not finished.</b> This page shows the run as it was when the "
        "page was written.</p>\n");
  }
  if (!view.settings.prompt.empty()) {
    out += html(
        "<blockquote class=\"prompt{}\" aria-label=\"Prompt\" dir=\"auto\">{}"
        "</blockquote>\n",
        view.settings.prompt.size() > 240 ? " long" : "", view.settings.prompt);
  }
  return out += html("</header>\n");
}

/// The columns of the ranking: the dimensions of the one judge, or else the judges.
std::vector<std::string> columns_of(const Page& page) {
  std::vector<std::string> columns;
  if (page.several_judges()) {
    for (std::size_t j = 0; j < page.view.settings.judges.size(); ++j) {
      columns.push_back(page.judge_name(j));
    }
    return columns;
  }
  for (const Candidate& candidate : page.view.candidates) {
    if (const Judgement* judgement = judgement_of(candidate, 0)) {
      for (const Dimension& dimension : judgement->dimensions) columns.push_back(dimension.name);
      return columns;
    }
  }
  return columns;
}

std::string cell(const Page& page, const Candidate& candidate, std::size_t column,
                 const std::string& name) {
  const Judgement* judgement = judgement_of(candidate, page.several_judges() ? column : 0);
  if (!judgement) return "\xE2\x80\x93";
  if (page.several_judges()) return number(judgement->reward);
  for (const Dimension& dimension : judgement->dimensions) {
    if (dimension.name == name) return number(dimension.expected);
  }
  return "\xE2\x80\x93";
}

Markup setting(std::string_view name, std::string_view value) {
  return value.empty() ? Markup{} : html("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
}

std::string combination(const RunView& view) {
  const RunSettings& settings = view.settings;
  if (settings.judges.size() < 2) return {};
  if (!settings.keep.empty())
    return fmt::format("cascade, keeping {}", fmt::join(settings.keep, ", "));
  if (decided_by_one(view)) return "the last judge that judged the video";
  std::string out = settings.combination == Combination::kRankMean ? "mean rank" : "weighted mean";
  if (settings.weights.empty()) return out + ", equal weights";
  std::vector<std::string> weights;
  for (const double weight : settings.weights) weights.push_back(measure(weight));
  return out + ", weights " + joined(weights, " : ");
}

Markup bottom(const Page& page, const std::vector<std::string>& command) {
  const RunSettings& settings = page.view.settings;
  std::vector<std::string> quoted;
  for (const std::string& argument : command) quoted.push_back(shell_quote(argument));
  Markup out = html("<footer>\n");
  if (!quoted.empty()) {
    out += html(
        "<h2>Make it again</h2>\n<div class=\"command\"><pre tabindex=\"0\" "
        "aria-label=\"Command\"><code id=\"command\">{}</code></pre>\n"
        "<button type=\"button\" id=\"copy\" hidden>Copy</button></div>\n",
        joined(quoted, " "));
  }
  Markup rows;
  for (std::size_t j = 0; j < settings.judges.size(); ++j) {
    const std::string id = j < settings.judge_ids.size() ? settings.judge_ids[j] : std::string();
    rows += setting(settings.judges.size() > 1 ? fmt::format("judge {}", j + 1) : "judge",
                    id.empty() || id == settings.judges[j]
                        ? settings.judges[j]
                        : fmt::format("{} ({})", settings.judges[j], id));
  }
  rows += setting("combined by", combination(page.view));
  rows += setting("negative prompt", settings.negative);
  rows += setting("engine", settings.engine);
  rows += setting("strategy", settings.strategy);
  rows += setting("limits", settings.limits);
  rows += setting("threads", settings.threads > 0 ? std::to_string(settings.threads) : "");
  rows += setting("versions", settings.versions);
  rows += setting("report", "Bestreel " BESTREEL_VERSION);
  return out += html("<h2>Settings</h2>\n<dl class=\"settings\">\n{}</dl>\n</footer>\n", rows);
}

}  // namespace

Page::Page(const RunView& run, const std::vector<Clip>& prepared)
    : view(run), clips(prepared), verdict(verdict_of(run)) {
  const bool ranks = several_judges() && view.settings.combination == Combination::kRankMean;
  if (ranks && !decided_by_one(view)) return;  // 0 to 1
  double low = 1, high = 5;
  bool scores = true;
  for (const Candidate& candidate : view.candidates) {
    if (!candidate.reward || !std::isfinite(*candidate.reward)) continue;
    scores = scores && *candidate.reward >= 1 && *candidate.reward <= 5;
    low = std::min(low, *candidate.reward);
    high = std::max(high, *candidate.reward);
  }
  rewards = scores ? kScores : Range{std::min(low, 0.0), high};
}

std::string Page::judge_name(std::size_t judge) const {
  const std::vector<std::string>& specs = view.settings.judges;
  if (judge >= specs.size()) return fmt::format("judge {}", judge + 1);
  const std::string name = specs[judge].substr(0, specs[judge].find(':'));
  const auto same = std::count_if(specs.begin(), specs.end(), [&](const std::string& spec) {
    return spec.substr(0, spec.find(':')) == name;
  });
  return same == 1 && !name.empty() ? name : specs[judge];
}

Markup name_of(const Candidate& candidate) { return html("<bdi>{}</bdi>", candidate.id); }

std::string anchor_of(const Page& page, const Candidate& candidate) {
  return fmt::format("#v{}", &candidate - page.view.candidates.data() + 1);
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "unknown time";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(std::min(seconds, 1e12)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

Markup ranking_section(const Page& page) {
  const std::vector<std::string> columns = columns_of(page);
  Markup heads;
  for (const std::string& column : columns) {
    heads += html("<th scope=\"col\" class=\"part\">{}</th>", words(column));
  }
  Markup rows;
  std::size_t count = 0;
  std::optional<std::size_t> stage;
  for (const Candidate& candidate : page.view.candidates) {
    if (!candidate.reward) continue;
    ++count;
    Markup parts;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      parts += html("<td class=\"part\">{}</td>", cell(page, candidate, i, columns[i]));
    }
    const std::string reward = number(*candidate.reward);
    if (candidate.decided_by && candidate.decided_by != stage) {
      rows +=
          html("<tr class=\"stage\"><th scope=\"rowgroup\" colspan=\"{}\">reward by {}</th></tr>\n",
               4 + columns.size(), page.judge_name(*candidate.decided_by));
    }
    stage = candidate.decided_by;
    rows += html(
        "<tr{}><td class=\"place\">{}</td><th scope=\"row\"><a href=\"{}\">{}</a></th>"
        "<td class=\"long\">{}</td><td class=\"total\">{}</td>{}</tr>\n",
        page.view.finished && &candidate == page.verdict.first ? html(" class=\"winner\"")
                                                               : Markup{},
        candidate.rank > 0 ? std::to_string(candidate.rank) : std::string(),
        anchor_of(page, candidate), name_of(candidate),
        bar(page.rewards, *candidate.reward, std::nullopt, "Reward " + reward, "reward"), reward,
        parts);
  }
  if (count < 2) return {};
  return html(
      "<section class=\"ranking\" aria-labelledby=\"ranking\">\n<h2 id=\"ranking\">Ranking"
      "</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" "
      "aria-labelledby=\"ranking\">\n<table>\n<thead><tr>"
      "<th scope=\"col\" class=\"place\">#</th><th scope=\"col\">video</th>"
      "<th scope=\"col\" colspan=\"2\">reward ({}\xE2\x80\x93{})</th>{}</tr></thead>\n"
      "<tbody>\n{}</tbody>\n</table>\n</div>\n</section>\n",
      measure(page.rewards.low), measure(page.rewards.high), heads, rows);
}

std::string render(const RunView& view, const std::vector<Clip>& clips,
                   const std::vector<std::string>& command) {
  const Page page(view, clips);
  Markup out = head(page);
  out += html("<body>\n<div class=\"page\">\n");
  out += top(page);
  out += html("<main>\n");
  out += verdict_section(page);
  out += ranking_section(page);
  out += cascade_section(page);
  out += cards_section(page);
  out += failures_section(page);
  out += making_section(page);
  out += html("</main>\n");
  out += bottom(page, command);
  out += html("</div>\n<script>{}</script>\n</body>\n</html>\n",
              Markup{std::string(embedded::report_js)});
  return std::move(out.html);
}

}  // namespace bestreel::report
