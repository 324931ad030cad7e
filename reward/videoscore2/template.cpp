#include <algorithm>
#include <filesystem>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "reward/videoscore2/profile.h"
#include "reward/videoscore2/python_source.h"

namespace bestreel::videoscore2 {
namespace {

/// Ours, for a checkpoint without a model card. The labels are what the final block is read by.
constexpr const char* kFallback =
    "Please rate the generated video above. Three things are rated on their own, each with a whole "
    "number between 1 (poor) and 5 (excellent):\n"
    "- visual quality: is the picture sharp, steady and free of visible errors?\n"
    "- text-to-video alignment: does the video show what its prompt asks for?\n"
    "- physical/common-sense consistency: do things move and behave as they would in reality?\n\n"
    "The prompt was:\n$t2v_prompt\n\n"
    "Think first, between <think> and </think>. Then finish with these three lines, each with its "
    "number:\n"
    "(1) visual quality: \n"
    "(2) text-to-video alignment: \n"
    "(3) physical/common-sense consistency: \n";

constexpr std::string_view kPlaceholder = "t2v_prompt";

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// The length of `$t2v_prompt` or `${t2v_prompt}` at `position`, or 0.
std::size_t placeholder_at(std::string_view text, std::size_t position) {
  std::string_view rest = text.substr(position);
  if (rest.starts_with("${")) {
    rest.remove_prefix(2);
    return rest.starts_with(kPlaceholder) && rest.substr(kPlaceholder.size()).starts_with('}')
               ? kPlaceholder.size() + 3
               : 0;
  }
  if (!rest.starts_with('$')) return 0;
  rest.remove_prefix(1);
  if (!rest.starts_with(kPlaceholder)) return 0;
  rest.remove_prefix(kPlaceholder.size());
  return rest.empty() || !is_name(rest.front()) ? kPlaceholder.size() + 1 : 0;
}

std::vector<std::string> split_template(std::string_view text) {
  std::vector<std::string> pieces(1);
  for (std::size_t position = 0; position < text.size();) {
    if (text.substr(position).starts_with("$$")) {
      pieces.back() += '$';
      position += 2;
    } else if (const std::size_t length = placeholder_at(text, position); length > 0) {
      pieces.emplace_back();
      position += length;
    } else {
      pieces.back() += text[position++];
    }
  }
  return pieces;
}

bool has_placeholder(std::string_view text) { return split_template(text).size() > 1; }

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end == std::string_view::npos ? end : end + 1);
  text.remove_prefix(line.size());
  return line;
}

/// How many fence characters open or close a block on this line; 0: none.
std::size_t fence(std::string_view line, char& kind, std::string_view& info) {
  line = line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
  if (line.empty() || (line.front() != '`' && line.front() != '~')) return 0;
  kind = line.front();
  const std::size_t length = std::min(line.find_first_not_of(kind), line.size());
  info = line.substr(length);
  info = info.substr(std::min(info.find_first_not_of(" \t\r\n"), info.size()));
  return length >= 3 ? length : 0;
}

std::vector<std::string_view> fenced_blocks(std::string_view markdown) {
  std::vector<std::string_view> blocks;
  std::string_view rest = markdown;
  while (!rest.empty()) {
    char kind = 0, closing = 0;
    std::string_view info;
    const std::size_t open = fence(take_line(rest), kind, info);
    if (open == 0 || (kind == '`' && info.find('`') != std::string_view::npos)) continue;
    const std::string_view block = rest;
    std::size_t length = block.size();  // a block that is never closed goes on to the end
    while (!rest.empty()) {
      const std::size_t line_at = block.size() - rest.size();
      const std::size_t close = fence(take_line(rest), closing, info);
      if (close >= open && closing == kind && info.empty()) {
        length = line_at;
        break;
      }
    }
    blocks.push_back(block.substr(0, length));
  }
  return blocks;
}

QueryTemplate make(std::string text, std::string source, bool fallback = false) {
  std::string hash = sha256(text);
  return {std::move(text), std::move(source), std::move(hash), fallback};
}

}  // namespace

std::vector<std::string> QueryTemplate::pieces() const { return split_template(text); }

std::optional<QueryTemplate> template_from_model_card(std::string_view markdown,
                                                      const std::string& source) {
  std::optional<Assignment> first;
  std::size_t count = 0;
  for (const std::string_view block : fenced_blocks(markdown)) {
    for (Assignment& assignment : triple_quoted_assignments(block)) {
      if (!has_placeholder(assignment.text)) continue;
      ++count;
      if (!first || (!first->problem.empty() && assignment.problem.empty())) {
        first = std::move(assignment);
      }
    }
  }
  if (!first) return std::nullopt;
  if (!first->problem.empty()) {
    fail("template_malformed", "template",
         "{}: {} must be a plain text but {}: write the text of the query into a file and pass it "
         "with --template",
         source, first->name, first->problem);
  }
  const std::string which = count == 1 ? "" : fmt::format(", the first usable of {}", count);
  return make(std::move(first->text), fmt::format("{} ({}{})", source, first->name, which));
}

QueryTemplate find_template(const std::string& folder, const std::string& template_file) {
  if (!template_file.empty()) {
    std::string text = read_file(template_file);
    if (!has_placeholder(text)) {
      fail("template_malformed", "template",
           "{} must hold $t2v_prompt where the video's prompt goes, but does not: write it there",
           template_file);
    }
    return make(std::move(text), template_file);
  }
  const std::string card = (std::filesystem::path(folder) / "README.md").string();
  std::error_code ignored;
  if (std::filesystem::exists(card, ignored)) {
    if (auto found = template_from_model_card(read_file(card), card)) return *found;
  }
  return make(kFallback, "built in", true);
}

}  // namespace bestreel::videoscore2
