// Unicode grows every year, and the reference's parts stopped in different years: its normaliser
// knows Unicode 9, its regular expressions Unicode 16. So that the ids do not depend on the year of
// the libraries installed here, these tables hold what lies between. Private to `formats`.
//
// Both were measured: every code point was put to `tokenizers` 0.21.4, alone and beside others, and
// compared with Unicode's own data. tests/parity/nn repeats that for every code point.
#pragma once

#include <optional>

namespace bestreel {

/// A mark or a composite of Unicode 10 or later: the reference's NFC leaves it where it stands.
bool is_after_unicode_9(char32_t code_point);

/// For a letter or a number of Unicode 15 to 16: one of Unicode 3 in the same class and with as
/// many bytes in UTF-8, which every Oniguruma knows. nullopt for all others.
std::optional<char32_t> stand_in(char32_t code_point);

}  // namespace bestreel
