// Any text as an answer, as a recorded file, as a model card, and as a chat template.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "reward/videoscore2/answer.h"
#include "reward/videoscore2/chat_format.h"
#include "reward/videoscore2/recorded.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bestreel::videoscore2;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParsedAnswer answer = parse_answer(text, videoscore2_profile());
  for (const ParsedScore& score : answer.scores) {
    if (score.score && (*score.score < 1 || *score.score > 5 || score.offset >= size)) std::abort();
  }
  try {
    read_recorded(text);
  } catch (const bestreel::Error&) {
  }
  try {
    chat_format(std::string(text), {{"eos_token", "<|im_end|>"}}, "fuzz");
  } catch (const bestreel::Error&) {
  }
  try {
    if (const auto found = template_from_model_card(text, "fuzz")) {
      if (found->pieces().size() < 2) std::abort();
    }
  } catch (const bestreel::Error&) {
  }
  return 0;
}
