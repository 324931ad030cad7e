// Who won, by how much and why: the sentences and the chart at the top of the page.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "plugin/runs/report_page.h"

namespace bestreel::report {
namespace {

/// "a, b and c".
std::string listed(const std::vector<std::string>& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += i + 1 == items.size() ? " and " : ", ";
    out += items[i];
  }
  return out;
}

Markup lead_headline(const Verdict& verdict) {
  const Markup first = name_of(*verdict.first), second = name_of(*verdict.second);
  if (verdict.lead < 0) {
    return html("{} was chosen, although {} scores {} more", first, second, number(-verdict.lead));
  }
  const std::string lead = number(verdict.lead);
  if (verdict.final) return html("{} wins by {} over {}", first, lead, second);
  return html("{} leads by {} over {} so far", first, lead, second);
}

Markup alone_headline(const Page& page) {
  const Markup first = name_of(*page.verdict.first);
  const std::string reward = number(*page.verdict.first->reward);
  const std::size_t others = page.view.candidates.size() - 1;
  if (!page.verdict.final) return html("{} is the first to be judged: {}", first, reward);
  if (others == 0) return html("{} is the only video: {}", first, reward);
  return html("{} wins with {}: the other {} could not be judged", first, reward,
              others == 1 ? std::string("video") : counted(others, "video"));
}

Markup headline(const Page& page) {
  const Verdict& verdict = page.verdict;
  switch (verdict.kind) {
    case Verdict::Kind::kNoVideos:
      return html("This run holds no videos");
    case Verdict::Kind::kPending:
      return html("No video has been judged yet");
    case Verdict::Kind::kNoWinner: {
      const auto& candidates = page.view.candidates;
      if (!std::all_of(candidates.begin(), candidates.end(), all_failed)) {
        return html("No winner: no video was judged by every judge");
      }
      if (candidates.size() == 1) return html("No winner: the only video could not be judged");
      return html("No winner: none of the {} could be judged", counted(candidates.size(), "video"));
    }
    case Verdict::Kind::kAlone:
      return alone_headline(page);
    case Verdict::Kind::kReviewed:
      return html("{} {} with {}: the only one that {} has judged", name_of(*verdict.first),
                  verdict.final ? "wins" : "leads", number(*verdict.first->reward),
                  page.judge_name(*verdict.first->decided_by));
    case Verdict::Kind::kTie:
      return html("{} and {} tie at {}", name_of(*verdict.first), name_of(*verdict.second),
                  number(*verdict.first->reward));
    case Verdict::Kind::kLead:
      break;
  }
  return lead_headline(verdict);
}

/// "Ahead in visual quality (+0.90); behind in temporal consistency (-0.06)." of one judge.
std::string reason(const std::vector<DimensionGap>& gaps) {
  std::vector<std::string> ahead, behind, level;
  for (const DimensionGap& gap : gaps) {
    const std::string name = words(gap.name);
    if (std::abs(gap.difference) < 0.005) {
      level.push_back(name);
    } else {
      (gap.difference > 0 ? ahead : behind)
          .push_back(fmt::format("{} ({})", name, signed_number(gap.difference)));
    }
  }
  std::vector<std::string> parts;
  if (!ahead.empty()) parts.push_back("ahead in " + listed(ahead));
  if (!behind.empty()) parts.push_back("behind in " + listed(behind));
  if (!level.empty()) parts.push_back("level in " + listed(level));
  return joined(parts, "; ");
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

std::vector<DimensionGap> gaps_of_judge(const Verdict& verdict, std::size_t judge) {
  std::vector<DimensionGap> gaps;
  std::copy_if(verdict.gaps.begin(), verdict.gaps.end(), std::back_inserter(gaps),
               [&](const DimensionGap& gap) { return gap.judge == judge; });
  return gaps;
}

Markup reasons(const Page& page) {
  Markup out;
  for (std::size_t judge = 0; judge < page.view.settings.judges.size(); ++judge) {
    const std::string text = reason(gaps_of_judge(page.verdict, judge));
    if (text.empty()) continue;
    out += page.several_judges()
               ? html("<p class=\"reason\"><b>{}:</b> {}.</p>\n", page.judge_name(judge), text)
               : html("<p class=\"reason\">{}.</p>\n", capitalised(text));
  }
  return out;
}

Markup differences(const Page& page) {
  double largest = 0.5;  // so that small differences look small
  for (const DimensionGap& gap : page.verdict.gaps) {
    if (std::isfinite(gap.difference)) largest = std::max(largest, std::abs(gap.difference));
  }
  Markup rows;
  for (const DimensionGap& gap : page.verdict.gaps) {
    const std::string amount = signed_number(gap.difference);
    rows += html(
        "<li><span class=\"label\">{}{}</span>{}<b class=\"value\">{}</b></li>\n", words(gap.name),
        page.several_judges() ? html(" <small>{}</small>", page.judge_name(gap.judge)) : Markup{},
        difference_bar(gap.difference, largest, words(gap.name) + " " + amount), amount);
  }
  if (rows.html.empty()) return rows;
  return html(
      "<figure class=\"differences\">\n<figcaption>{} minus {}</figcaption>\n"
      "<ul>\n{}</ul>\n</figure>\n",
      name_of(*page.verdict.first), name_of(*page.verdict.second), rows);
}

Markup noise_notes(const Page& page) {
  const Verdict& verdict = page.verdict;
  if (verdict.kind != Verdict::Kind::kLead) return {};
  Markup out;
  for (const Noise& noise : verdict.noise) {
    // A mean of ranks has no unit in which to speak of noise: each judge speaks for itself.
    const std::string who =
        page.several_judges() && page.view.settings.combination == Combination::kRankMean
            ? page.judge_name(noise.judge) + ": the"
            : std::string("The");
    if (noise.within()) {
      out += html(
          "<p class=\"notice\"><b>Within the noise.</b> {} lead of {} is no larger than the "
          "spread of repeated samples (\xC2\xB1{}): the judge cannot tell the two "
          "apart.</p>\n",
          who, number(noise.lead), number(noise.spread));
    } else if (noise.spread > 0) {
      out += html(
          "<p class=\"certain\">{} lead of {} is {:.1f} times the spread of repeated "
          "samples (\xC2\xB1{}).</p>\n",
          who, number(noise.lead), noise.lead / noise.spread, number(noise.spread));
    }
  }
  return out;
}

Markup scale_note(const Page& page) {
  if (!page.several_judges()) return {};
  if (decided_by_one(page.view)) {
    return html(
        "<p class=\"scale\">Each reward is the word of the last judge that judged the video. Who "
        "got "
        "further comes first, whatever the numbers: rewards of different judges are not "
        "compared.</p>\n");
  }
  if (page.view.settings.combination == Combination::kRankMean) {
    return html(
        "<p class=\"scale\">The reward is the mean rank over {}: 1 is first with every "
        "judge, 0 is last with every judge.</p>\n",
        counted(page.view.settings.judges.size(), "judge"));
  }
  return html("<p class=\"scale\">The reward is the weighted mean of {}.</p>\n",
              counted(page.view.settings.judges.size(), "judge"));
}

Markup rationale(const Page& page) {
  if (!page.verdict.first) return {};
  Markup out;
  for (std::size_t judge = 0; judge < page.verdict.first->results.size(); ++judge) {
    const Judgement* judgement = judgement_of(*page.verdict.first, judge);
    if (!judgement || judgement->rationale.empty()) continue;
    out += html(
        "<details class=\"rationale\" id=\"why-{}\" open>\n<summary>What {} said of {}"
        "</summary>\n<div class=\"said\" dir=\"auto\">{}</div>\n</details>\n",
        judge + 1, page.several_judges() ? page.judge_name(judge) : "the judge",
        name_of(*page.verdict.first), judgement->rationale);
  }
  return out;
}

}  // namespace

Markup verdict_section(const Page& page) {
  const Verdict& verdict = page.verdict;
  Markup words = html("<h1>{}</h1>\n", headline(page));
  if (verdict.kind == Verdict::Kind::kTie) {
    words += html("<p class=\"reason\">{} is named first because ties go by name.</p>\n",
                  name_of(*verdict.first));
  }
  words += reasons(page);
  words += noise_notes(page);
  words += scale_note(page);
  return html(
      "<section class=\"verdict{}\" aria-label=\"Verdict\">\n<div class=\"because\">\n{}"
      "</div>\n{}{}</section>\n",
      verdict.gaps.empty() ? "" : " with-chart", words,
      verdict.gaps.empty() ? Markup{} : differences(page), rationale(page));
}

}  // namespace bestreel::report
