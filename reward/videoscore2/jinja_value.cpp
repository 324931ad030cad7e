#include "reward/videoscore2/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace bestreel::videoscore2::jinja {

const Value* Map::find(std::string_view key) const {
  const auto at =
      std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.first == key; });
  return at == items.end() ? nullptr : &at->second;
}

void Map::set(std::string_view key, Value value) {
  const auto at =
      std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.first == key; });
  if (at == items.end()) {
    items.emplace_back(std::string(key), std::move(value));
  } else {
    at->second = std::move(value);
  }
}

Value list_of(List items) { return std::make_shared<List>(std::move(items)); }
Value map_of(std::vector<std::pair<std::string, Value>> items) {
  auto map = std::make_shared<Map>();
  map->items = std::move(items);
  return map;
}

namespace {

constexpr std::int64_t kMaxRange = 10'000;
constexpr std::string_view kBlanks = " \t\n\r\v\f";

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> what, Args&&... args) {
  throw ValueError(fmt::format(what, std::forward<Args>(args)...));
}

std::string bounded(std::string text) {
  if (text.size() > kMaxText) refuse("makes a text of more than {} bytes", kMaxText);
  return text;
}

bool is_number(const Value& value) {
  return value.is<bool>() || value.is<std::int64_t>() || value.is<double>();
}
bool is_whole(const Value& value) { return value.is<bool>() || value.is<std::int64_t>(); }
std::int64_t whole(const Value& value) {
  return value.is<bool>() ? static_cast<std::int64_t>(value.as<bool>()) : value.as<std::int64_t>();
}
double real(const Value& value) {
  return value.is<double>() ? value.as<double>() : static_cast<double>(whole(value));
}

const std::string& text_of(const Value& value, std::string_view who) {
  if (value.text() == nullptr) refuse("gives {} what is no text", who);
  return *value.text();
}

/// Bytes of the character at `at` of UTF-8, at least one.
std::size_t character(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  return end - at;
}
std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character(text, at);
    out.emplace_back(text.substr(at, length));
    at += length;
  }
  return out;
}

/// What does not depend on a template's text alone, or would need Unicode's tables.
void check_ascii(std::string_view text, std::string_view who) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) refuse("gives {} text beyond ASCII", who);
}

std::string strip(std::string_view text, std::string_view set, bool left, bool right) {
  if (left) text.remove_prefix(std::min(text.find_first_not_of(set), text.size()));
  if (right) text = text.substr(0, text.find_last_not_of(set) + 1);
  return std::string(text);
}

std::string changed_case(std::string text, bool upper, std::string_view who) {
  check_ascii(text, who);
  for (char& c : text) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string replaced(std::string_view text, std::string_view old, std::string_view with) {
  if (old.empty()) refuse("replaces an empty text");
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(old)) {
      out += with;
      at += old.size();
    } else {
      out += text[at++];
    }
    if (out.size() > kMaxText) refuse("makes a text of more than {} bytes", kMaxText);
  }
  return out;
}

/// One of the arguments, in its place or by its name.
const Value* argument(const Arguments& given, std::size_t place, std::string_view name) {
  return place < given.values.size() ? &given.values[place] : given.keywords.find(name);
}

void expect(std::string_view who, const Arguments& given, std::size_t most) {
  if (given.values.size() + given.keywords.items.size() > most)
    refuse("gives {} more than {} arguments", who, most);
}

nlohmann::ordered_json to_json(const Value& value, int depth = 0) {
  if (depth > 50) refuse("writes a value that is nested too deep");
  if (value.is<None>()) return nullptr;
  if (value.is<bool>()) return value.as<bool>();
  if (value.is<std::int64_t>()) return value.as<std::int64_t>();
  if (value.is<double>()) return value.as<double>();
  if (const std::string* text = value.text()) return *text;
  if (const List* list = value.list()) {
    auto out = nlohmann::ordered_json::array();
    for (const Value& item : *list) out.push_back(to_json(item, depth + 1));
    return out;
  }
  if (const Map* map = value.map(); map != nullptr && !map->is_namespace) {
    auto out = nlohmann::ordered_json::object();
    for (const auto& [key, item] : map->items) out[key] = to_json(item, depth + 1);
    return out;
  }
  refuse("writes as JSON what is none");
}

bool equal(const Value& a, const Value& b, int depth = 0) {
  if (depth > 50) refuse("compares values that are nested too deep");
  if (is_number(a) && is_number(b))
    return is_whole(a) && is_whole(b) ? whole(a) == whole(b) : real(a) == real(b);
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (const List *x = a.list(), *y = b.list(); x != nullptr && y != nullptr)
    return std::equal(x->begin(), x->end(), y->begin(), y->end(),
                      [&](const Value& i, const Value& j) { return equal(i, j, depth + 1); });
  if (const Map *x = a.map(), *y = b.map(); x != nullptr && y != nullptr) {
    if (x == y) return true;
    if (x->items.size() != y->items.size()) return false;
    return std::all_of(x->items.begin(), x->items.end(), [&](const auto& item) {
      const Value* other = y->find(item.first);
      return other != nullptr && equal(item.second, *other, depth + 1);
    });
  }
  return a.data.index() == b.data.index() && (a.is<None>() || a.is<Undefined>());
}

bool contains(const Value& all, const Value& one) {
  if (const std::string* text = all.text())
    return text->find(text_of(one, "the operator in")) != std::string::npos;
  if (const Map* map = all.map()) return one.text() != nullptr && map->find(*one.text()) != nullptr;
  if (const List* list = all.list())
    return std::any_of(list->begin(), list->end(), [&](const Value& v) { return equal(v, one); });
  if (all.is<Undefined>()) return false;
  refuse("looks for something in what holds nothing");
}

}  // namespace

bool truth(const Value& value) {
  if (value.is<bool>()) return value.as<bool>();
  if (value.is<std::int64_t>()) return value.as<std::int64_t>() != 0;
  if (value.is<double>()) return value.as<double>() != 0;
  if (const std::string* text = value.text()) return !text->empty();
  if (const List* list = value.list()) return !list->empty();
  if (const Map* map = value.map()) return map->is_namespace || !map->items.empty();
  return value.is<Macro>();
}

std::string to_text(const Value& value) {
  if (value.is<Undefined>()) return "";
  if (value.is<None>()) return "None";
  if (value.is<bool>()) return value.as<bool>() ? "True" : "False";
  if (value.is<std::int64_t>()) return std::to_string(value.as<std::int64_t>());
  if (const std::string* text = value.text()) return *text;
  refuse("writes a value that is neither a text nor a whole number");
}

std::optional<List> items_of(const Value& value) {
  if (value.is<Undefined>()) return List{};
  if (const List* list = value.list()) return *list;
  List out;
  if (const Map* map = value.map(); map != nullptr && !map->is_namespace) {
    for (const auto& item : map->items) out.emplace_back(item.first);
    return out;
  }
  if (const std::string* text = value.text()) {
    for (std::string& each : characters(*text)) out.emplace_back(std::move(each));
    return out;
  }
  return std::nullopt;
}

Value element(const Value& object, std::int64_t index) {
  if (object.map() != nullptr) return {};
  const auto items = items_of(object);
  if (!items) return {};
  const auto count = static_cast<std::int64_t>(items->size());
  if (index < 0) index += count;
  return index < 0 || index >= count ? Value() : (*items)[static_cast<std::size_t>(index)];
}

/// As Python's.
Value slice_of(const Value& object, std::optional<std::int64_t> start,
               std::optional<std::int64_t> stop, std::optional<std::int64_t> step) {
  const bool text = object.text() != nullptr;
  if (!text && object.list() == nullptr) refuse("cuts a slice of what is no list and no text");
  const List items = *items_of(object);
  const auto count = static_cast<std::int64_t>(items.size());
  const std::int64_t by = step.value_or(1);
  if (by == 0 || by > kMaxRange || by < -kMaxRange) refuse("has a slice by {}", by);
  const auto place = [&](std::optional<std::int64_t> at, std::int64_t missing) {
    if (!at) return missing;
    const std::int64_t low = by > 0 ? 0 : -1, high = by > 0 ? count : count - 1;
    return std::clamp(*at < 0 ? std::max(*at, -count - 1) + count : std::min(*at, count), low,
                      high);
  };
  List out;
  const std::int64_t begin = place(start, by > 0 ? 0 : count - 1);
  const std::int64_t end = place(stop, by > 0 ? count : -1);
  for (std::int64_t i = begin; by > 0 ? i < end : i > end; i += by)
    out.push_back(items[static_cast<std::size_t>(i)]);
  if (!text) return list_of(std::move(out));
  std::string joined;
  for (const Value& each : out) joined += *each.text();
  return joined;
}

Value binary(std::string_view sign, const Value& left, const Value& right) {
  if (sign == "~") return bounded(to_text(left) + to_text(right));
  if (sign == "+") {
    if (left.text() != nullptr && right.text() != nullptr)
      return bounded(*left.text() + *right.text());
    if (left.list() != nullptr && right.list() != nullptr) {
      List all = *left.list();
      if (all.size() + right.list()->size() > kMaxRange) refuse("makes a list that is too long");
      all.insert(all.end(), right.list()->begin(), right.list()->end());
      return list_of(std::move(all));
    }
  }
  if (sign == "*" && left.text() != nullptr && is_whole(right)) {
    const std::string& text = *left.text();
    const std::int64_t times = text.empty() ? 0 : std::max<std::int64_t>(whole(right), 0);
    if (times > static_cast<std::int64_t>(kMaxText / std::max<std::size_t>(text.size(), 1)))
      refuse("makes a text of more than {} bytes", kMaxText);
    std::string all;
    for (std::int64_t i = 0; i < times; ++i) all += text;
    return all;
  }
  if (!is_number(left) || !is_number(right))
    refuse("computes \"{}\" of values that do not fit", sign);
  if (!is_whole(left) || !is_whole(right) || sign == "/") {
    const double a = real(left), b = real(right);
    if (sign == "+") return a + b;
    if (sign == "-") return a - b;
    if (sign == "*") return a * b;
    if (b == 0) refuse("divides by zero");
    if (sign == "/") return a / b;
    if (sign == "//") return std::floor(a / b);
    return a - b * std::floor(a / b);
  }
  const std::int64_t a = whole(left), b = whole(right);
  std::int64_t out = 0;
  const bool overflow = sign == "+"   ? __builtin_add_overflow(a, b, &out)
                        : sign == "-" ? __builtin_sub_overflow(a, b, &out)
                        : sign == "*" ? __builtin_mul_overflow(a, b, &out)
                                      : b == -1 && a == INT64_MIN;
  if (overflow) refuse("computes a number that is out of range");
  if (sign == "+" || sign == "-" || sign == "*") return out;
  if (b == 0) refuse("divides by zero");
  const std::int64_t rest = a % b;
  const bool down = rest != 0 && (rest < 0) != (b < 0);
  if (sign == "//") return a / b - (down ? 1 : 0);
  return rest + (down ? b : 0);
}

bool compare(std::string_view sign, const Value& left, const Value& right) {
  if (sign == "==") return equal(left, right);
  if (sign == "!=") return !equal(left, right);
  if (sign == "in") return contains(right, left);
  if (sign == "not in") return !contains(right, left);
  double order = 0;
  if (left.text() != nullptr && right.text() != nullptr) {
    order = left.text()->compare(*right.text());
  } else if (is_number(left) && is_number(right)) {
    order = real(left) < real(right) ? -1 : real(left) > real(right) ? 1 : 0;
  } else {
    refuse("compares by \"{}\" values that do not fit", sign);
  }
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  if (sign == ">") return order > 0;
  return order >= 0;
}

Value apply_filter(std::string_view name, const Value& value, const Arguments& given) {
  const std::string who = fmt::format("the filter \"{}\"", name);
  if (name == "trim") {
    expect(who, given, 1);
    const Value* set = argument(given, 0, "chars");
    return strip(to_text(value), set != nullptr ? text_of(*set, who) : kBlanks, true, true);
  }
  if (name == "length" || name == "count") {
    expect(who, given, 0);
    if (value.map() != nullptr) return static_cast<std::int64_t>(value.map()->items.size());
    const auto items = items_of(value);
    if (!items) refuse("gives {} what has no length", who);
    return static_cast<std::int64_t>(items->size());
  }
  if (name == "upper" || name == "lower") {
    expect(who, given, 0);
    return changed_case(to_text(value), name == "upper", who);
  }
  if (name == "first" || name == "last") {
    expect(who, given, 0);
    return element(value, name == "first" ? 0 : -1);
  }
  if (name == "default" || name == "d") {
    expect(who, given, 2);
    const Value* other = argument(given, 0, "default_value");
    const Value* empty = argument(given, 1, "boolean");
    const bool replace =
        value.is<Undefined>() || (empty != nullptr && truth(*empty) && !truth(value));
    return !replace ? value : other != nullptr ? *other : Value("");
  }
  if (name == "string" || name == "safe") {
    expect(who, given, 0);
    return name == "safe" ? value : Value(to_text(value));
  }
  if (name == "list") {
    expect(who, given, 0);
    auto items = items_of(value);
    if (!items) refuse("gives {} what is no list", who);
    return list_of(std::move(*items));
  }
  if (name == "join") {
    expect(who, given, 1);
    const Value* between = argument(given, 0, "d");
    const auto items = items_of(value);
    if (!items) refuse("gives {} what is no list", who);
    std::string out;
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (i > 0 && between != nullptr) out += to_text(*between);
      out += to_text((*items)[i]);
      if (out.size() > kMaxText) refuse("makes a text of more than {} bytes", kMaxText);
    }
    return out;
  }
  if (name == "replace") {
    expect(who, given, 2);
    if (given.values.size() != 2) refuse("gives {} other than two texts", who);
    return replaced(to_text(value), text_of(given.values[0], who), text_of(given.values[1], who));
  }
  if (name == "tojson") {
    expect(who, given, 0);
    // With a blank after "," and ":" as Python writes it; only what has neither inside is alike.
    const nlohmann::ordered_json json = to_json(value);
    if (json.is_structured() && json.size() > 0) refuse("uses {} of a list or a dict", who);
    return json.dump();
  }
  refuse("uses {}", who);
}

bool apply_test(std::string_view name, const Value& value, const Arguments& given) {
  const std::string who = fmt::format("the test \"{}\"", name);
  if (name == "equalto" || name == "eq" || name == "sameas" || name == "ne" || name == "in") {
    if (given.values.size() != 1) refuse("gives {} other than one value", who);
    if (name == "in") return contains(given.values[0], value);
    return equal(value, given.values[0]) == (name != "ne");
  }
  expect(who, given, 0);
  if (name == "defined") return !value.is<Undefined>();
  if (name == "undefined") return value.is<Undefined>();
  if (name == "none") return value.is<None>();
  if (name == "string") return value.text() != nullptr;
  if (name == "mapping") return value.map() != nullptr && !value.map()->is_namespace;
  if (name == "sequence" || name == "iterable") {
    const bool namespaced = value.map() != nullptr && value.map()->is_namespace;
    return !namespaced && items_of(value).has_value();
  }
  if (name == "number") return is_number(value);
  if (name == "integer") return value.is<std::int64_t>();
  if (name == "float") return value.is<double>();
  if (name == "boolean") return value.is<bool>();
  if (name == "true") return value.is<bool>() && value.as<bool>();
  if (name == "false") return value.is<bool>() && !value.as<bool>();
  if (name == "odd" || name == "even") {
    if (!is_whole(value)) refuse("gives {} what is no whole number", who);
    return (whole(value) % 2 != 0) == (name == "odd");
  }
  refuse("uses {}", who);
}

Value call_method(std::string_view name, const Value& object, const Arguments& given) {
  const std::string who = fmt::format("the method .{}", name);
  if (const Map* map = object.map()) {
    if (name == "get") {
      expect(who, given, 2);
      if (given.values.empty()) refuse("gives {} no key", who);
      const Value* found = map->find(text_of(given.values[0], who));
      return found != nullptr ? *found : given.values.size() > 1 ? given.values[1] : Value(None{});
    }
    expect(who, given, 0);
    List out;
    for (const auto& [key, value] : map->items) {
      if (name == "keys") {
        out.emplace_back(key);
      } else if (name == "values") {
        out.push_back(value);
      } else if (name == "items") {
        out.push_back(list_of({key, value}));
      } else {
        refuse("calls {}", who);
      }
    }
    if (name != "keys" && name != "values" && name != "items") refuse("calls {}", who);
    return list_of(std::move(out));
  }
  const std::string& text = *object.text();
  if (!given.keywords.items.empty()) refuse("gives {} a keyword", who);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    expect(who, given, 1);
    const std::string_view set =
        given.values.empty() ? kBlanks : std::string_view(text_of(given.values[0], who));
    check_ascii(set, who);
    return strip(text, set, name != "rstrip", name != "lstrip");
  }
  if (name == "upper" || name == "lower") {
    expect(who, given, 0);
    return changed_case(text, name == "upper", who);
  }
  if (name == "startswith" || name == "endswith") {
    if (given.values.size() != 1) refuse("gives {} other than one text", who);
    const std::string& part = text_of(given.values[0], who);
    return name == "startswith" ? text.starts_with(part) : text.ends_with(part);
  }
  if (name == "replace") {
    if (given.values.size() != 2) refuse("gives {} other than two texts", who);
    return replaced(text, text_of(given.values[0], who), text_of(given.values[1], who));
  }
  if (name == "split") {
    if (given.values.size() != 1) refuse("gives {} other than one text", who);
    const std::string& by = text_of(given.values[0], who);
    if (by.empty()) refuse("splits by an empty text");
    List parts;
    for (std::size_t at = 0;;) {
      const std::size_t end = text.find(by, at);
      parts.emplace_back(text.substr(at, end - at));
      if (end == std::string::npos) return list_of(std::move(parts));
      at = end + by.size();
    }
  }
  refuse("calls {}", who);
}

Value call_function(std::string_view name, const Arguments& given) {
  if (name == "namespace" || name == "dict") {
    if (!given.values.empty()) refuse("gives {}() a value without a name", name);
    Value made = map_of(given.keywords.items);
    made.map()->is_namespace = name == "namespace";
    return made;
  }
  if (name == "raise_exception") {
    const Value* why = argument(given, 0, "message");
    refuse("refuses the question: {}",
           why != nullptr && why->text() != nullptr ? why->text()->substr(0, 200) : "");
  }
  if (name == "range") {
    if (given.values.empty() || given.values.size() > 2 || !given.keywords.items.empty() ||
        !std::all_of(given.values.begin(), given.values.end(), is_whole))
      refuse("calls range() with other than one or two whole numbers");
    const std::int64_t begin = given.values.size() == 2 ? whole(given.values[0]) : 0;
    const std::int64_t end = whole(given.values.back());
    if (begin < -kMaxRange || end > kMaxRange) refuse("calls range() for too many numbers");
    List out;
    for (std::int64_t i = begin; i < end; ++i) out.emplace_back(i);
    return list_of(std::move(out));
  }
  refuse("calls the function {}()", name);
}

}  // namespace bestreel::videoscore2::jinja
