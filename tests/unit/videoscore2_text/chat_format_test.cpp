#include "reward/videoscore2/chat_format.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace bestreel::videoscore2 {
namespace {

const std::string kPlain =
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\n"
    "Be fair.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if 'video' in c %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in c %}"
    "{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

/// The system text; "none" where there is no such turn; else the error's sentence.
std::string system_of(const std::string& chat) {
  try {
    return chat_format(chat, {{"eos_token", "<|im_end|>"}}, "chat_template.jinja")
        .system.value_or("none");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "chat_format_unsupported");
    return error.what();
  }
}

// ChatML is accepted however the template computes it.
TEST(ChatFormat, IsDecidedByRendering) {
  EXPECT_EQ(system_of(kPlain), "Be fair.");
  EXPECT_EQ(system_of(replaced(kPlain, "Be fair.", "{{ 'Be' + ' ' ~ 'fair.' }}")), "Be fair.");
  EXPECT_EQ(system_of(replaced(kPlain, "Be fair.<|im_end|>", "Be fair.{{ eos_token }}")),
            "Be fair.");
  EXPECT_EQ(
      system_of("{%- set system = 'Be fair.' -%}\n" + replaced(kPlain, "Be fair.", "{{ system }}")),
      "Be fair.");
  std::string crlf;
  for (const char c : kPlain) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(system_of(crlf), "Be fair.");
  EXPECT_EQ(system_of(kPlain + "\n"), "Be fair.");
  EXPECT_EQ(
      system_of(
          "{%- macro turn(role, content) -%}\n"
          "{{- '<|im_start|>' ~ role ~ '\\n' }}{% if content is string %}{{ content }}"
          "{% else %}{% for c in content if c.type in ['video', 'text'] %}"
          "{{ '<|vision_start|><|video_pad|><|vision_end|>' if c.type == 'video' else c.text }}"
          "{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}\n{%- endmacro %}\n"
          "{%- if messages[0]['role'] != 'system' %}{{ turn('system', 'Be fair.') }}{% endif %}\n"
          "{%- for m in messages %}{{ turn(m.role, m.content) }}{% endfor %}\n"
          "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"),
      "Be fair.");
}

// A template without a default system turn writes none, and the prompt has none.
TEST(ChatFormat, TheSystemTurnIsOptional) {
  const std::string chat = replaced(kPlain, "<|im_start|>system\nBe fair.<|im_end|>\n", "");
  EXPECT_EQ(system_of(chat), "none");
  EXPECT_EQ(chat_format(chat, {}, "f").before(), "<|im_start|>user\n<|vision_start|>");
  EXPECT_EQ(chat_format(kPlain, {}, "f").before(),
            "<|im_start|>system\nBe fair.<|im_end|>\n<|im_start|>user\n<|vision_start|>");
}

// What would make another prompt than the one that is written here is refused, and says what it is.
TEST(ChatFormat, RefusesWhatIsNoChatMl) {
  ASSERT_EQ(system_of(kPlain), "Be fair.");
  const struct {
    std::string chat;
    const char* says;
  } cases[] = {
      {"[INST] {{ messages[0].content[1].text }} [/INST]", "[INST]"},
      {"", "it writes"},
      {replaced(kPlain, "{{ c['text'] }}", "{{ c['text'] | trim }}"), "it writes"},
      {replaced(kPlain, "{{ c['text'] }}", "{{ c['text'] }} "), "it writes"},
      {replaced(kPlain, "<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n"), "think"},
      {replaced(kPlain, "<|video_pad|>", "<|image_pad|>"), "image_pad"},
      {replaced(kPlain, "{{ c['text'] }}", "{{ c['text'] | escape }}"), "filter"},
      {replaced(kPlain, "Be fair.", "It is {{ strftime_now('%Y') }}."), "strftime_now"},
      {replaced(kPlain, "Be fair.", "{{ raise_exception('no video') }}"), "no video"},
      {replaced(kPlain, "Be fair.", "{% include 'x' %}"), "include"},
      {replaced(kPlain, "{% endfor %}", ""), "lacks an endfor"},
      {replaced(kPlain, "Be fair.", "{{ nothing.at.all }}"), "not defined"},
      {replaced(kPlain, "Be fair.",
                "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}"),
       "more than"},
      {replaced(kPlain, "Be fair.", "{{ 'x' * 9999999 }}"), "more than"},
      {replaced(kPlain, "Be fair.",
                "{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"),
       "nested"},
      {replaced(
           kPlain, "Be fair.",
           "{{ 1" +
               [] {
                 std::string s;
                 for (int i = 0; i < 5000; ++i) s += "+1";
                 return s;
               }() +
               " }}"),
       "parts"},
      {"{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "calls itself"},
      {std::string(1 << 20, 'x'), "longer"},
  };
  for (const auto& [chat, says] : cases) {
    const std::string sentence = system_of(chat);
    EXPECT_NE(sentence.find("chat_template.jinja"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find(says), std::string::npos) << sentence;
    EXPECT_LT(sentence.size(), 2000);
  }
}

}  // namespace
}  // namespace bestreel::videoscore2
