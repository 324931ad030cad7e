// The question as token ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/tokenizer.h"
#include "reward/videoscore2/config.h"
#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {

/// The tokens that the turns are made of must be one id each, those that config.json names: a
/// tokenizer without one would spell it in letters, and the model would read another prompt. Error
/// "tokenizer_unsuitable".
void check_format_tokens(const Tokenizer& tokenizer, const ModelConfig& model);

/// The query with the user's text in the place of `$t2v_prompt`.
std::string query_text(const QueryTemplate& query, const std::string& user_text);

/// System turn (if any), then the user's turn: `video_tokens` placeholders and the query, then the
/// opening of the answer.
///
/// design: the query is encoded as one plain text, so that tokens form across the edges of the
/// user's words as they do in the reference, while "<|im_end|>" or "<|video_pad|>" typed by a user
/// is text and never control.
std::vector<std::int64_t> prompt_ids(const Tokenizer& tokenizer, const ChatFormat& chat,
                                     const std::string& query, std::int64_t video_token_id,
                                     std::int64_t video_tokens);

}  // namespace bestreel::videoscore2
