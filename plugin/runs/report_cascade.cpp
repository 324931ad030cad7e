// What each judge of a cascade saw, cost and saved, and who was dropped by whom.
#include "plugin/runs/cascade_view.h"
#include "plugin/runs/report_page.h"

namespace bestreel::report {
namespace {

std::string saved(const CascadeStage& stage) {
  if (stage.saved_seconds <= 0) return "\xE2\x80\x93";
  std::string text = "about " + duration(stage.saved_seconds);
  if (stage.saved_tokens > 0) text += fmt::format(", {:.0f} tokens", stage.saved_tokens);
  return text;
}

Markup stages(const Page& page) {
  Markup rows;
  for (const CascadeStage& stage : cascade_stages(page.view)) {
    const bool last = stage.judge + 1 == page.view.settings.judges.size();
    rows += html(
        "<tr><th "
        "scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        page.judge_name(stage.judge), std::to_string(stage.saw),
        last ? std::string("\xE2\x80\x93") : std::to_string(stage.kept), duration(stage.seconds),
        stage.tokens > 0 ? std::to_string(stage.tokens) : std::string("\xE2\x80\x93"),
        saved(stage));
  }
  return html(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"cascade\">\n<table>\n"
      "<thead><tr><th scope=\"col\">judge</th><th scope=\"col\">saw</th><th scope=\"col\">handed "
      "on</th>"
      "<th scope=\"col\">judged for</th><th scope=\"col\">tokens</th>"
      "<th scope=\"col\">saved by not seeing the "
      "rest</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
      rows);
}

}  // namespace

Markup cascade_section(const Page& page) {
  if (page.view.settings.keep.empty() || page.view.candidates.empty()) return {};
  Markup dropped;
  for (const Candidate& candidate : page.view.candidates) {
    if (candidate.dropped.empty()) continue;
    dropped += html("<li><a href=\"{}\">{}</a>: {}</li>\n", anchor_of(page, candidate),
                    name_of(candidate), candidate.dropped);
  }
  return html(
      "<section class=\"making\" aria-labelledby=\"cascade\">\n<h2 id=\"cascade\">Judge by "
      "judge</h2>\n{}{}"
      "</section>\n",
      stages(page),
      dropped.html.empty() ? Markup{}
                           : html("<h3>Who went no further</h3>\n<ul>\n{}</ul>\n", dropped));
}

}  // namespace bestreel::report
