#include "reward/videoscore2/prompt.h"

namespace bestreel::videoscore2 {

std::string query_text(const QueryTemplate& query, const std::string& user_text) {
  std::string text;
  bool first = true;
  for (const std::string& piece : query.pieces()) {
    if (!first) text += user_text;
    text += piece;
    first = false;
  }
  return text;
}

std::vector<std::int64_t> prompt_ids(const Tokenizer& tokenizer, const ChatFormat& chat,
                                     const std::string& query, std::int64_t video_token_id,
                                     std::int64_t video_tokens) {
  std::vector<std::int64_t> ids;
  const auto add = [&](const std::vector<std::int64_t>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  add(tokenizer.encode("<|im_start|>system\n" + chat.system +
                       "<|im_end|>\n<|im_start|>user\n<|vision_start|>"));
  ids.insert(ids.end(), static_cast<std::size_t>(video_tokens), video_token_id);
  add(tokenizer.encode("<|vision_end|>"));
  add(tokenizer.encode_plain(query));
  add(tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n"));
  return ids;
}

}  // namespace bestreel::videoscore2
