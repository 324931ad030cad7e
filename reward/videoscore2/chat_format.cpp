#include "reward/videoscore2/chat_format.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/fail.h"
#include "reward/videoscore2/jinja.h"

namespace bestreel::videoscore2 {
namespace {

constexpr std::string_view kSystem = "<|im_start|>system\n";
constexpr std::string_view kUser = "<|im_start|>user\n";
constexpr std::string_view kEnd = "<|im_end|>\n";
constexpr std::string_view kAnswer = "<|im_end|>\n<|im_start|>assistant\n";
constexpr std::string_view kVideo = "<|vision_start|><|video_pad|><|vision_end|>";

/// Questions that a template which strips, escapes or counts would not leave as they are.
constexpr const char* kQuestions[] = {
    "\n Judge: <b>{{ \"a\" }}</b>, {% if %} 'b' & c\\d \xE2\x80\x93 $5.\n ",
    "a",
};

std::string render(const std::string& chat_template,
                   const std::vector<std::pair<std::string, std::string>>& special_tokens,
                   const std::string& question) {
  using jinja::list_of, jinja::map_of;
  const jinja::Value content =
      list_of({map_of({{"type", "video"}, {"video", "video.mp4"}, {"fps", 2.0}}),
               map_of({{"type", "text"}, {"text", question}})});
  std::vector<std::pair<std::string, jinja::Value>> variables{
      {"messages", list_of({map_of({{"role", "user"}, {"content", content}})})},
      {"tools", jinja::None{}},
      {"documents", jinja::None{}},
      {"add_generation_prompt", true}};
  for (const auto& [name, token] : special_tokens) variables.emplace_back(name, token);
  return jinja::render(chat_template, variables);
}

/// A text from a file, fit for a sentence.
std::string shown(const std::string& text) {
  const std::string part = nlohmann::json(text.substr(0, 400))
                               .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() > 400 ? part + "..." : part;
}

std::string unquoted(const std::string& text) { return text.substr(1, text.find_last_of('"') - 1); }

/// nullopt: the rendered text is no ChatML around the question.
std::optional<ChatFormat> take_apart(std::string_view rendered, const std::string& question) {
  const std::string middle = std::string(kVideo) + question;
  const std::size_t at = rendered.find(middle);
  if (at == std::string_view::npos || rendered.substr(at + middle.size()) != kAnswer)
    return std::nullopt;
  std::string_view before = rendered.substr(0, at);
  if (!before.ends_with(kUser)) return std::nullopt;
  before.remove_suffix(kUser.size());
  ChatFormat format;
  if (before.empty()) return format;
  if (!before.starts_with(kSystem) || !before.ends_with(kEnd) ||
      before.size() < kSystem.size() + kEnd.size())
    return std::nullopt;
  before.remove_prefix(kSystem.size());
  before.remove_suffix(kEnd.size());
  if (before.find("<|im_") != std::string_view::npos) return std::nullopt;  // more turns
  format.system = std::string(before);
  return format;
}

}  // namespace

std::string ChatFormat::before() const {
  std::string text;
  if (system) text.append(kSystem).append(*system).append(kEnd);
  return text.append(kUser).append("<|vision_start|>");
}

std::string ChatFormat::after() const { return std::string(kAnswer); }

ChatFormat chat_format(const std::string& chat_template,
                       const std::vector<std::pair<std::string, std::string>>& special_tokens,
                       const std::string& file) {
  std::optional<ChatFormat> format;
  for (const char* question : kQuestions) {
    std::string rendered;
    try {
      rendered = render(chat_template, special_tokens, question);
    } catch (const jinja::TemplateError& error) {
      fail("chat_format_unsupported", "checkpoint",
           "{}: its chat template must be one that Bestreel can run but it {}: write the ChatML of "
           "Qwen2.5-VL's own checkpoint into chat_template.jinja",
           file, unquoted(shown(error.what())));
    }
    const auto found = take_apart(rendered, question);
    if (!found || (format && format->system != found->system))
      fail(
          "chat_format_unsupported", "checkpoint",
          "{}: its chat template must write Qwen2.5-VL's ChatML (an optional <|im_start|>system "
          "turn, <|im_start|>user, <|vision_start|><|video_pad|><|vision_end|>, the question as it "
          "is, <|im_end|>, <|im_start|>assistant) but for the question {} it writes {}: use the "
          "chat template that the model was trained with",
          file, shown(question), shown(rendered));
    format = found;
  }
  format->source = file;
  return *format;
}

}  // namespace bestreel::videoscore2
