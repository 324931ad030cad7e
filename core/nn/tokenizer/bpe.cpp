#include "core/nn/tokenizer/bpe.h"

#include <cstddef>
#include <functional>
#include <queue>
#include <tuple>

namespace bestreel {

/// A run of bytes that has become one token, in a doubly linked list; -1 ends the list.
struct Bpe::Symbol {
  std::int64_t id;
  std::ptrdiff_t previous, next;
  bool alive;
};

void Bpe::add_merge(std::uint32_t left, std::uint32_t right, std::uint32_t rank,
                    std::uint32_t merged) {
  merges_[std::uint64_t{left} << 32 | right] = {rank, merged};
}

const Bpe::Merge* Bpe::find(std::int64_t left, std::int64_t right) const {
  const auto at =
      merges_.find(static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right));
  return at == merges_.end() ? nullptr : &at->second;
}

bool Bpe::encode(std::string_view piece, std::vector<std::int64_t>& ids) const {
  const auto length = static_cast<std::ptrdiff_t>(piece.size());
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (std::ptrdiff_t i = 0; i < length; ++i) {
    const std::int64_t id =
        byte_ids[static_cast<unsigned char>(piece[static_cast<std::size_t>(i)])];
    if (id == kNone) return false;
    symbols.push_back({id, i - 1, i + 1 < length ? i + 1 : -1, true});
  }

  using Candidate = std::tuple<std::uint32_t, std::ptrdiff_t, std::uint32_t>;  // rank, where, into
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto propose = [&](std::ptrdiff_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    if (const Merge* merge = find(symbols[left].id, symbols[symbols[left].next].id)) {
      queue.emplace(merge->rank, left, merge->id);
    }
  };
  for (std::ptrdiff_t i = 0; i + 1 < length; ++i) propose(i);

  while (!queue.empty()) {
    const auto [rank, where, into] = queue.top();
    queue.pop();
    Symbol& left = symbols[where];
    if (!left.alive || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const Merge* merge = find(left.id, right.id);
    if (merge == nullptr || merge->id != into) continue;  // a neighbour changed in the meantime
    left.id = into;
    right.alive = false;
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = where;
    propose(left.previous);
    propose(where);
  }
  for (std::ptrdiff_t i = 0; i >= 0 && i < length; i = symbols[i].next)
    ids.push_back(symbols[i].id);
  return true;
}

}  // namespace bestreel
