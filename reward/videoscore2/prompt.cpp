#include "reward/videoscore2/prompt.h"

#include <optional>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {

void check_format_tokens(const Tokenizer& tokenizer, const ModelConfig& model) {
  const struct {
    const char* token;
    const char* key;  // in config.json
    std::optional<std::int64_t> id;
  } wanted[] = {{"<|im_start|>", "", {}},
                {"<|im_end|>", "", {}},
                {"<|vision_start|>", "vision_start_token_id", model.vision_start_token_id},
                {"<|vision_end|>", "vision_end_token_id", model.vision_end_token_id},
                {"<|video_pad|>", "video_token_id", model.video_token_id}};
  for (const auto& [token, key, id] : wanted) {
    const auto ids = tokenizer.encode(token);
    if (ids.size() != 1)
      fail(
          "tokenizer_unsuitable", "checkpoint",
          "{} must encode {} as one token but makes {} of it: the prompt would not be the one that "
          "the model was trained with, so download the tokenizer's files again, "
          "tokenizer_config.json too",
          tokenizer.file(), token, ids.size());
    if (id && ids[0] != *id)
      fail("tokenizer_unsuitable", "checkpoint",
           "{} must encode {} as {} (config.json's {}) but encodes it as {}: the files belong to "
           "different checkpoints, download them again",
           tokenizer.file(), token, *id, key, ids[0]);
  }
}

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
  add(tokenizer.encode(chat.before()));
  ids.insert(ids.end(), static_cast<std::size_t>(video_tokens), video_token_id);
  add(tokenizer.encode("<|vision_end|>"));
  add(tokenizer.encode_plain(query));
  add(tokenizer.encode(chat.after()));
  return ids;
}

}  // namespace bestreel::videoscore2
