// The turns around a question, found out by rendering the checkpoint's chat template. Torch-free.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/export.h"

namespace bestreel::videoscore2 {

/// ChatML with Qwen's vision marks: what prompt_ids() writes around a question.
struct ChatFormat {
  std::optional<std::string>
      system;          ///< the text of the default system turn; nullopt: no such turn
  std::string source;  ///< the file it was read from

  /// Up to the video's placeholders, and from the end of the question on.
  std::string before() const;
  std::string after() const;
};

/// Renders a question of one video and one text with the template, as the reference does, and takes
/// the turns apart. Error "chat_format_unsupported" where that is no ChatML with the question
/// unchanged inside, or where the template uses what jinja.h does not know, naming it.
/// `special_tokens`: those that templates may name ("eos_token"); `file` only names the template in
/// errors.
BESTREEL_API ChatFormat
chat_format(const std::string& chat_template,
            const std::vector<std::pair<std::string, std::string>>& special_tokens,
            const std::string& file);

}  // namespace bestreel::videoscore2
