// A judge on this engine is a profile: data, not code. Torch-free.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel::videoscore2 {

struct ProfileDimension {
  std::string name;   ///< as in Dimension::name, such as "text_alignment"
  std::string label;  ///< as the model writes it, such as "text-to-video alignment"
};

struct Profile {
  std::string name;                          ///< "videoscore2"
  std::vector<ProfileDimension> dimensions;  ///< in the order of the answer
  std::string think_end;                     ///< "</think>"
  /// The final block is forced as prefix[i] + digit for each dimension i.
  /// With VideoScore2: "\n\n(1) visual quality: ", "\n(2) text-to-video alignment: ", ...
  std::vector<std::string> forced_prefix;
  double fps = 2.0;  ///< frames a second that the judge looks at
};

BESTREEL_API const Profile& videoscore2_profile();

/// The query text with its one placeholder, and where it came from.
struct QueryTemplate {
  std::string text;       ///< bytes as found, placeholder included
  std::string source;     ///< such as "FOLDER/README.md (VS2_QUERY_TEMPLATE)", "built in"
  std::string hash;       ///< sha256 of `text`
  bool fallback = false;  ///< our own wording: scores will differ from published ones

  /// The text before and after each `$t2v_prompt` / `${t2v_prompt}`; `$$` is already a `$`
  /// (Python's string.Template). Always at least two pieces.
  std::vector<std::string> pieces() const;
};

/// From the model card: the first `NAME = Template("""...""")` or plain triple-quoted assignment
/// inside a fenced block that holds `$t2v_prompt`. It is what Python would have in memory: escapes
/// are resolved (not in r"""..."""), a line ends in \n even in a card with CRLF, and nothing is
/// dedented or stripped. nullopt where the card has none. Error "template_malformed" where the text
/// is only known at run time (an f-string, a method called on it, a \N{...} escape).
BESTREEL_API std::optional<QueryTemplate> template_from_model_card(std::string_view markdown,
                                                                   const std::string& source);

/// `template_file` if not empty (its bytes as they are, a last newline too), else the folder's
/// README.md, else our own wording (fallback). Errors: "file_missing", "template_malformed" (no
/// `$t2v_prompt`).
BESTREEL_API QueryTemplate find_template(const std::string& folder,
                                         const std::string& template_file);

}  // namespace bestreel::videoscore2
