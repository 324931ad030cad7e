// One card per video, side by side, and the list of those that could not be judged.
#include <algorithm>
#include <filesystem>
#include <set>

#include "plugin/runs/report_page.h"

namespace bestreel::report {
namespace {

Markup screen(const Candidate& candidate, const Clip& clip, bool winner) {
  const Markup crown = winner ? html("<span class=\"crown\">Winner</span>") : Markup{};
  if (clip.kind == Clip::Kind::kNone) {
    return html("<div class=\"screen empty\">{}<p>{}</p></div>\n", crown, clip.note);
  }
  Markup size;
  if (candidate.video.width > 0 && candidate.video.height > 0) {
    size = html(" width=\"{}\" height=\"{}\"", candidate.video.width, candidate.video.height);
  }
  // Phones show no frame of a video that has not played; asked for a moment, they do.
  const bool embedded = clip.src.starts_with("data:");
  return html(
      "<div class=\"screen\"><video controls preload=\"metadata\" playsinline muted loop{} "
      "aria-label=\"{}\" src=\"{}{}\"></video>{}</div>\n",
      size, candidate.id, clip.src, embedded ? "" : "#t=0.001", crown);
}

Markup facts(const Candidate& candidate, const Clip& clip) {
  const VideoInfo& video = candidate.video;
  std::vector<std::string> parts;
  if (video.width > 0) parts.push_back(fmt::format("{}\xC3\x97{}", video.width, video.height));
  if (video.frame_count > 0) {
    parts.push_back(counted(static_cast<std::size_t>(video.frame_count), "frame"));
  }
  if (video.fps.value() > 0) {
    parts.push_back(fmt::format("{:.4g} fps{}", video.fps.value(),
                                video.variable_frame_rate ? " (variable)" : ""));
  }
  if (video.duration > 0) parts.push_back(fmt::format("{:.1f} s", video.duration));
  if (!video.codec.empty()) parts.push_back(video.codec);
  Markup out = html("<p class=\"facts\">{}", joined(parts, " \xC2\xB7 "));
  if (!clip.original.empty()) {
    out += html("<span class=\"link\"> \xC2\xB7 <a href=\"{}\">open&nbsp;file</a></span>",
                clip.original);
    if (!candidate.lossless.empty()) {
      const std::string file = std::filesystem::path(candidate.lossless).filename().string();
      out += html("<span class=\"link\"> \xC2\xB7 <a href=\"{}\">without&nbsp;loss</a></span>",
                  url_path(file));
    }
  }
  out += html("</p>\n");
  if (clip.kind == Clip::Kind::kCopy) out += html("<p class=\"note\">{}</p>\n", clip.note);
  return out;
}

Markup dimension_row(const Dimension& dimension) {
  const std::string name = words(dimension.name);
  std::string label = fmt::format("{}: {} of 5", name, number(dimension.expected));
  if (dimension.std) label += fmt::format(", plus or minus {}", number(*dimension.std));
  Markup spread;
  if (dimension.std) spread = html(" <small>\xC2\xB1{}</small>", number(*dimension.std));
  return html(
      "<li><span class=\"label\">{}</span>{}<span class=\"value\"><b>{}</b>{}</span>{}"
      "</li>\n",
      name,
      dimension.probabilities ? histogram(*dimension.probabilities, "Probability of each score")
                              : Markup{},
      number(dimension.expected), spread,
      bar(kScores, dimension.expected, dimension.std, label, "score"));
}

Markup frames_seen(const Candidate& candidate, const Judgement& judgement) {
  if (judgement.frames.empty()) return {};
  const std::set<std::int64_t> distinct(judgement.frames.begin(), judgement.frames.end());
  const std::int64_t total = std::max(candidate.video.frame_count, *distinct.rbegin() + 1);
  const bool every = static_cast<std::int64_t>(distinct.size()) == total;
  const std::string label =
      every ? fmt::format("The judge saw every frame ({})", total)
            : fmt::format("The judge saw {} of {} frames", distinct.size(), total);
  Markup out =
      html("<div class=\"frames\">{}<p>{}", frame_strip(judgement.frames, total, label), label);
  const std::string numbers = frame_numbers(judgement.frames);
  if (every) return out += html("</p></div>\n");
  if (numbers.size() <= 80) return out += html(": {}</p></div>\n", numbers);
  return out +=
         html("</p><details><summary>Which frames</summary><p>{}</p></details></div>\n", numbers);
}

Markup all_numbers(const Judgement& judgement) {
  const bool soft = std::any_of(judgement.dimensions.begin(), judgement.dimensions.end(),
                                [](const Dimension& d) { return d.reference_soft.has_value(); });
  Markup rows;
  for (const Dimension& d : judgement.dimensions) {
    rows += html(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>{}</tr>\n", words(d.name), d.score,
        number(d.expected),
        soft ? html("<td>{}</td>", d.reference_soft ? number(*d.reference_soft) : std::string())
             : Markup{});
  }
  Markup measures;
  for (const auto& [name, value] : judgement.measures) {
    measures += html("<div><dt>{}</dt><dd>{}</dd></div>\n", words(name), measure(value));
  }
  if (judgement.seconds > 0) {
    measures += html("<div><dt>judged in</dt><dd>{}</dd></div>\n", duration(judgement.seconds));
  }
  return html(
      "<details class=\"numbers\"><summary>All numbers</summary>\n<table>\n"
      "<thead><tr><th scope=\"col\">dimension</th><th scope=\"col\">score</th>"
      "<th scope=\"col\">expected</th>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n"
      "<dl class=\"measures\">\n{}</dl>\n</details>\n",
      soft ? html("<th scope=\"col\">soft score</th>") : Markup{}, rows, measures);
}

Markup judgement_block(const Page& page, const Candidate& candidate, std::size_t judge,
                       const Judgement& judgement) {
  Markup out;
  if (page.several_judges()) {
    out += html("<h4>{} <b>{}</b></h4>\n", page.judge_name(judge), number(judgement.reward));
  }
  Markup rows;
  for (const Dimension& dimension : judgement.dimensions) rows += dimension_row(dimension);
  out += html("<ul class=\"dimensions\">\n{}</ul>\n", rows);
  if (judgement.transcript && judgement.transcript->forced) {
    out += html(
        "<p class=\"notice\"><b>Answer completed.</b> The model did not finish by itself: "
        "its final block was written for it and the scores read from there.</p>\n");
  }
  out += frames_seen(candidate, judgement);
  if (!judgement.rationale.empty()) {
    if (&candidate == page.verdict.first) {
      out +=
          html("<p class=\"above\"><a href=\"#why-{}\">Rationale: see above</a></p>\n", judge + 1);
    } else {
      out += html(
          "<details class=\"rationale\"><summary>Rationale</summary>\n"
          "<div class=\"said\" dir=\"auto\">{}</div>\n</details>\n",
          judgement.rationale);
    }
  }
  return out += all_numbers(judgement);
}

Markup failure_block(const Page& page, std::size_t judge, const Failure& failure) {
  return html("<div class=\"failure\">{}<p>{}</p><p class=\"code\"><code>{}</code></p></div>\n",
              page.several_judges() ? html("<h4>{}</h4>", page.judge_name(judge)) : Markup{},
              failure.sentence, failure.code);
}

Markup results(const Page& page, const Candidate& candidate) {
  Markup out;
  for (std::size_t judge = 0; judge < candidate.results.size(); ++judge) {
    const auto& result = candidate.results[judge];
    Markup block;
    if (!result && !candidate.dropped.empty()) {
      block = html("<h4>{}</h4>\n<p class=\"pending\">Never saw it: {}.</p>\n",
                   page.judge_name(judge), candidate.dropped);
    } else if (!result) {
      block = html("{}<p class=\"pending\">{}</p>\n",
                   page.several_judges() ? html("<h4>{}</h4>\n", page.judge_name(judge)) : Markup{},
                   candidate.decided_by && page.view.finished ? "Not asked: not among the best."
                                                              : "Not judged yet.");
    } else if (const auto* failure = std::get_if<Failure>(&*result)) {
      block = failure_block(page, judge, *failure);
    } else {
      block = judgement_block(page, candidate, judge, std::get<Judgement>(*result));
    }
    out += html("<section class=\"judge\">\n{}</section>\n", block);
  }
  return out;
}

Markup card(const Page& page, std::size_t index) {
  const Candidate& candidate = page.view.candidates[index];
  const Clip& clip = page.clips[index];
  const bool winner = page.view.finished && &candidate == page.verdict.first;
  Markup out = html("<article class=\"card{}\" id=\"v{}\">\n", winner ? " winner" : "", index + 1);
  out += screen(candidate, clip, winner);
  out += html("<div class=\"body\">\n<header>{}<h3>{}</h3>{}</header>\n",
              candidate.rank > 0
                  ? html("<span class=\"rank\" aria-label=\"Rank {0}\">{0}</span>", candidate.rank)
                  : Markup{},
              name_of(candidate),
              candidate.reward
                  ? html("<span class=\"reward\"><span class=\"unseen\">Reward </span>"
                         "{}{}</span>",
                         number(*candidate.reward),
                         candidate.decided_by
                             ? html(" <small>by {}</small>", page.judge_name(*candidate.decided_by))
                             : Markup{})
                  : Markup{});
  out += facts(candidate, clip);
  return out += html("{}</div>\n</article>\n", results(page, candidate));
}

}  // namespace

Markup cards_section(const Page& page) {
  Markup cards;
  bool any_video = false;
  for (std::size_t i = 0; i < page.view.candidates.size(); ++i) {
    if (all_failed(page.view.candidates[i])) continue;
    any_video = any_video || page.clips[i].kind != Clip::Kind::kNone;
    cards += card(page, i);
  }
  if (cards.html.empty()) return cards;
  // The controls need the script and stay hidden without it.
  const Markup controls =
      any_video
          ? html(
                "<div class=\"controls\" id=\"controls\" role=\"group\" "
                "aria-label=\"All videos together\" hidden>\n"
                "<button type=\"button\" id=\"play\">Play all</button>\n"
                "<input type=\"range\" id=\"seek\" min=\"0\" max=\"1000\" value=\"0\" "
                "aria-label=\"Position in all videos\">\n"
                "<select id=\"rate\" aria-label=\"Speed\"><option value=\"0.25\">\xC2\xBC\xC3\x97"
                "</option><option value=\"0.5\">\xC2\xBD\xC3\x97</option>"
                "<option value=\"1\" selected>1\xC3\x97</option></select>\n</div>\n")
          : Markup{};
  return html(
      "<section class=\"videos\" aria-labelledby=\"videos\">\n<h2 id=\"videos\">Side by side"
      "</h2>\n{}<div class=\"grid\">\n{}</div>\n</section>\n",
      controls, cards);
}

Markup failures_section(const Page& page) {
  Markup items;
  std::size_t count = 0;
  for (std::size_t i = 0; i < page.view.candidates.size(); ++i) {
    const Candidate& candidate = page.view.candidates[i];
    if (!all_failed(candidate)) continue;
    ++count;
    items += html(
        "<article class=\"card failed\" id=\"v{}\">\n<div class=\"body\">\n<header><h3>{}"
        "</h3></header>\n{}</div>\n</article>\n",
        i + 1, name_of(candidate), results(page, candidate));
  }
  if (count == 0) return {};
  return html(
      "<section class=\"failures\" aria-labelledby=\"failures\">\n<h2 id=\"failures\">"
      "Could not be judged ({})</h2>\n<div class=\"grid\">\n{}</div>\n</section>\n",
      count, items);
}

}  // namespace bestreel::report
