#include "core/nn/tokenizer/added_tokens.h"

#include <algorithm>

#include "core/nn/tokenizer/unicode.h"

namespace bestreel {
namespace {

/// Where the character that ends at `end` begins; 0 at the start of the text.
std::size_t previous_character(std::string_view text, std::size_t end) {
  if (end > 0) --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

/// Where the white space that ends at `end` begins.
std::size_t space_before(std::string_view text, std::size_t end) {
  while (end > 0) {
    const std::size_t begin = previous_character(text, end);
    std::size_t position = begin;
    if (!is_space(next_code_point(text, position))) break;
    end = begin;
  }
  return end;
}

/// Where the white space that begins at `begin` ends.
std::size_t space_after(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    std::size_t position = begin;
    if (!is_space(next_code_point(text, position))) break;
    begin = position;
  }
  return begin;
}

}  // namespace

void AddedTokenFinder::add(const AddedToken& token, const std::string& pattern) {
  std::uint32_t node = 0;
  for (const char c : pattern) {
    const auto [at, added] =
        edges_.emplace(std::uint64_t{node} << 8 | static_cast<unsigned char>(c), nodes_);
    if (added) ++nodes_;
    node = at->second;
  }
  tokens_.push_back(token);
  token_of_.emplace(node, tokens_.size() - 1);
}

const AddedToken* AddedTokenFinder::longest(std::string_view text, std::size_t position,
                                            std::size_t& end) const {
  const AddedToken* best = nullptr;
  std::uint32_t node = 0;
  for (std::size_t i = position; i < text.size(); ++i) {
    const auto edge = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto found = token_of_.find(node); found != token_of_.end()) {
      best = &tokens_[found->second];
      end = i + 1;
    }
  }
  return best;
}

bool AddedTokenFinder::touches_word(std::string_view text, std::size_t begin,
                                    std::size_t end) const {
  const std::size_t before = previous_character(text, begin);
  std::size_t after = end;
  if (after < text.size()) next_code_point(text, after);
  return word_.matches(text.substr(before, begin - before)) ||
         word_.matches(text.substr(end, after - end));
}

std::vector<AddedTokenFinder::Part> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (std::size_t position = 0; !tokens_.empty() && position < text.size();) {
    std::size_t match_end = 0;
    const AddedToken* token = longest(text, position, match_end);
    if (token == nullptr) {
      ++position;
      continue;
    }
    std::size_t begin = position, end = match_end;
    position = match_end;
    if (token->single_word && touches_word(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(space_before(text, begin), done);
    if (token->rstrip) end = space_after(text, end);
    if (begin > done) parts.push_back({text.substr(done, begin - done), nullptr});
    parts.push_back({text.substr(begin, end - begin), token});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), nullptr});
  return parts;
}

}  // namespace bestreel
