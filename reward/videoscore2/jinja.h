// Renders the part of Jinja2 that chat templates are written in. Torch-free, private to the
// library.
//
// design: a chat template is a program, so what it writes is found out by running it; what this
// evaluator does not know (a filter, a test, a statement) is refused by name and never guessed at.
// Nothing outside the given variables can be reached, and nesting, steps and output are bounded.
//
// Source: the Jinja2 3.1 template designer documentation; trim_blocks and lstrip_blocks are on, as
// transformers compiles its templates.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bestreel::videoscore2::jinja {

/// Why a template cannot be rendered, as the end of a sentence: "uses the filter \"map\"".
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Node;
class Value;
using List = std::vector<Value>;
/// A dict, in the order of its keys, or a namespace.
struct Map {
  std::vector<std::pair<std::string, Value>> items;
  bool is_namespace = false;
  const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

struct Undefined {};
struct None {};
struct Macro {
  const Node* node;
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, std::string,
                            std::shared_ptr<List>, std::shared_ptr<Map>, Macro>;
  Value() = default;
  template <typename T>
  Value(T data) : data(std::move(data)) {}              // NOLINT: a value is what it is made of
  Value(const char* text) : data(std::string(text)) {}  // NOLINT

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <typename T>
  const T& as() const {
    return std::get<T>(data);
  }
  const std::string* text() const { return std::get_if<std::string>(&data); }
  const List* list() const {
    const auto* list = std::get_if<std::shared_ptr<List>>(&data);
    return list == nullptr ? nullptr : list->get();
  }
  Map* map() const {
    const auto* map = std::get_if<std::shared_ptr<Map>>(&data);
    return map == nullptr ? nullptr : map->get();
  }

  Data data;
};

Value list_of(List items);
Value map_of(std::vector<std::pair<std::string, Value>> items);

/// What the template writes for these variables. Throws TemplateError.
std::string render(std::string_view source,
                   const std::vector<std::pair<std::string, Value>>& variables);

}  // namespace bestreel::videoscore2::jinja
