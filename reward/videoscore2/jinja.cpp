#include "reward/videoscore2/jinja.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "reward/videoscore2/jinja_parser.h"
#include "reward/videoscore2/jinja_value.h"

namespace bestreel::videoscore2::jinja {
namespace {

constexpr std::int64_t kMaxSteps = 100'000;
constexpr int kMaxDepth = 400;  // of evaluation; bounds the stack

struct Break {};
struct Continue {};

/// The variables of one place: those set here, then those around it.
struct Scope {
  Map own;
  Scope* around = nullptr;

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->around)
      if (const Value* value = scope->own.find(name)) return value;
    return nullptr;
  }
};

class Renderer {
 public:
  std::string run(const Node& root, Scope& scope) {
    std::string out;
    write(root, scope, out);
    return out;
  }

 private:
  template <typename... Args>
  [[noreturn]] static void refuse(const Node& node, fmt::format_string<Args...> what,
                                  Args&&... args) {
    throw TemplateError(
        fmt::format("{} (line {})", fmt::format(what, std::forward<Args>(args)...), node.line));
  }

  /// One step of work, and one level of the stack.
  class Step {
   public:
    Step(Renderer& renderer, const Node& node) : renderer_(renderer) {
      if (++renderer_.steps_ > kMaxSteps) refuse(node, "takes more than {} steps", kMaxSteps);
      if (renderer_.depth_ >= kMaxDepth) refuse(node, "is nested or calls itself too deep");
      ++renderer_.depth_;
    }
    ~Step() { --renderer_.depth_; }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Renderer& renderer_;
  };
  static void append(const Node& node, std::string& out, std::string_view text) {
    if (out.size() + text.size() > kMaxText) refuse(node, "writes more than {} bytes", kMaxText);
    out += text;
  }

  void write(const Node& node, Scope& scope, std::string& out) {
    const Step step(*this, node);
    switch (node.kind) {
      case Kind::kBlock:
        for (const NodePtr& kid : node.kids) write(*kid, scope, out);
        return;
      case Kind::kText:
        append(node, out, node.text);
        return;
      case Kind::kPrint:
        append(node, out, to_text(evaluate(*node.kids[0], scope)));
        return;
      case Kind::kFor:
        write_for(node, scope, out);
        return;
      case Kind::kIf:
        if (truth(evaluate(*node.kids[0], scope))) {
          write(*node.kids[1], scope, out);
        } else if (node.kids[2]) {
          write(*node.kids[2], scope, out);
        }
        return;
      case Kind::kSet:
        set(node, scope, evaluate(*node.kids[0], scope));
        return;
      case Kind::kSetBlock: {
        std::string text;
        write(*node.kids[0], scope, text);
        set(node, scope, std::move(text));
        return;
      }
      case Kind::kMacro:
        scope.own.set(node.text, Macro{&node});
        return;
      case Kind::kBreak:
        throw Break{};
      case Kind::kContinue:
        throw Continue{};
      default:
        refuse(node, "has an expression where a statement is due");
    }
  }

  void set(const Node& node, Scope& scope, Value value) {
    if (!node.text.empty()) {
      const Value* target = scope.find(node.names[0]);
      Map* map = target == nullptr ? nullptr : target->map();
      if (map == nullptr || !map->is_namespace)
        refuse(node, "sets an attribute of {}, which is no namespace", node.names[0]);
      map->set(node.text, std::move(value));
      return;
    }
    bind(node, node.names, std::move(value), scope);
  }

  static void bind(const Node& node, const std::vector<std::string>& names, Value value,
                   Scope& scope) {
    if (names.size() == 1) {
      scope.own.set(names[0], std::move(value));
      return;
    }
    const List* parts = value.list();
    if (parts == nullptr || parts->size() != names.size())
      refuse(node, "gives {} names to another number of values", names.size());
    for (std::size_t i = 0; i < names.size(); ++i) scope.own.set(names[i], (*parts)[i]);
  }

  void write_for(const Node& node, Scope& around, std::string& out) {
    const Value iterable = evaluate(*node.kids[0], around);
    std::optional<List> all = items_of(iterable);
    if (!all) refuse(node, "loops over what is no list");
    List chosen;
    for (Value& item : *all) {
      const Step step(*this, node);
      Scope scope{{}, &around};
      bind(node, node.names, item, scope);
      if (!node.kids[1] || truth(evaluate(*node.kids[1], scope))) chosen.push_back(item);
    }
    if (chosen.empty()) {
      if (node.kids[3]) write(*node.kids[3], around, out);
      return;
    }
    const auto count = static_cast<std::int64_t>(chosen.size());
    for (std::int64_t i = 0; i < count; ++i) {
      const auto item = [&](std::int64_t at) {
        return at < 0 || at >= count ? Value() : chosen[static_cast<std::size_t>(at)];
      };
      Scope scope{{}, &around};
      bind(node, node.names, item(i), scope);
      scope.own.set("loop", map_of({{"index", i + 1},
                                    {"index0", i},
                                    {"revindex", count - i},
                                    {"revindex0", count - i - 1},
                                    {"first", i == 0},
                                    {"last", i + 1 == count},
                                    {"length", count},
                                    {"previtem", item(i - 1)},
                                    {"nextitem", item(i + 1)}}));
      try {
        write(*node.kids[2], scope, out);
      } catch (const Break&) {
        return;
      } catch (const Continue&) {
      }
    }
  }

  Value evaluate(const Node& node, Scope& scope) {
    const Step step(*this, node);
    const auto kid = [&](std::size_t i) { return evaluate(*node.kids[i], scope); };
    switch (node.kind) {
      case Kind::kConstant:
        return node.value;
      case Kind::kName: {
        const Value* value = scope.find(node.text);
        return value == nullptr ? Value() : *value;
      }
      case Kind::kList: {
        List list;
        for (std::size_t i = 0; i < node.kids.size(); ++i) list.push_back(kid(i));
        return list_of(std::move(list));
      }
      case Kind::kDict: {
        Value dict = map_of({});
        for (std::size_t i = 0; i < node.kids.size(); i += 2) {
          const Value key = kid(i);
          if (key.text() == nullptr) refuse(node, "has a dict with a key that is no text");
          dict.map()->set(*key.text(), kid(i + 1));
        }
        return dict;
      }
      case Kind::kAttribute:
        return attribute(node, kid(0), node.text);
      case Kind::kItem:
        return item(node, kid(0), kid(1));
      case Kind::kSlice:
        return slice(node, scope);
      case Kind::kCall:
        return call(node, scope);
      case Kind::kFilter:
        return named(node, scope, [](const Node& at, const Value& value, const Arguments& with) {
          return apply_filter(at.text, value, with);
        });
      case Kind::kTest:
        return named(node, scope, [](const Node& at, const Value& value, const Arguments& with) {
          return Value(apply_test(at.text, value, with));
        });
      case Kind::kNot:
        return !truth(kid(0));
      case Kind::kNegative: {
        const Value value = kid(0);
        if (value.is<std::int64_t>()) return -value.as<std::int64_t>();
        if (value.is<double>()) return -value.as<double>();
        refuse(node, "negates what is no number");
      }
      case Kind::kAnd: {
        Value left = kid(0);
        return truth(left) ? kid(1) : left;
      }
      case Kind::kOr: {
        Value left = kid(0);
        return truth(left) ? left : kid(1);
      }
      case Kind::kBinary:
        return sentence(node, [&] { return binary(node.text, kid(0), kid(1)); });
      case Kind::kChain: {
        Value left = kid(0);
        for (std::size_t i = 1; i < node.kids.size(); ++i) {
          Value right = kid(i);
          if (!sentence(node, [&] { return compare(node.names[i - 1], left, right); }))
            return false;
          left = std::move(right);
        }
        return true;
      }
      case Kind::kChoice:
        if (truth(kid(1))) return kid(0);
        return node.kids[2] ? kid(2) : Value();
      default:
        refuse(node, "has a statement where an expression is due");
    }
  }

  /// Names the line in what goes wrong with a value.
  template <typename Work>
  static auto sentence(const Node& node, Work&& work) -> decltype(work()) {
    try {
      return work();
    } catch (const ValueError& error) {
      refuse(node, "{}", error.what());
    }
  }

  Arguments arguments(const Node& node, Scope& scope) {
    Arguments out;
    const std::size_t plain = node.kids.size() - node.names.size();
    for (std::size_t i = 1; i < node.kids.size(); ++i) {
      Value value = evaluate(*node.kids[i], scope);
      if (i < plain) {
        out.values.push_back(std::move(value));
      } else {
        out.keywords.set(node.names[i - plain], std::move(value));
      }
    }
    return out;
  }

  template <typename Apply>
  Value named(const Node& node, Scope& scope, Apply&& apply) {
    const Value value = evaluate(*node.kids[0], scope);
    const Arguments with = arguments(node, scope);
    return sentence(node, [&] { return apply(node, value, with); });
  }

  static Value attribute(const Node& node, const Value& object, const std::string& name) {
    if (object.is<Undefined>()) refuse(node, "reads .{} of what is not defined", name);
    const Map* map = object.map();
    const Value* value = map == nullptr ? nullptr : map->find(name);
    return value == nullptr ? Value() : *value;
  }

  static Value item(const Node& node, const Value& object, const Value& key) {
    if (key.text() != nullptr) return attribute(node, object, *key.text());
    if (!key.is<std::int64_t>()) refuse(node, "has a subscript that is no number and no text");
    if (object.is<Undefined>()) refuse(node, "reads a part of what is not defined");
    return sentence(node, [&] { return element(object, key.as<std::int64_t>()); });
  }

  Value slice(const Node& node, Scope& scope) {
    const Value object = evaluate(*node.kids[0], scope);
    std::optional<std::int64_t> parts[3];
    for (std::size_t i = 0; i < 3; ++i) {
      if (!node.kids[i + 1]) continue;
      const Value part = evaluate(*node.kids[i + 1], scope);
      if (part.is<None>()) continue;
      if (!part.is<std::int64_t>()) refuse(node, "has a slice by what is no number");
      parts[i] = part.as<std::int64_t>();
    }
    return sentence(node, [&] { return slice_of(object, parts[0], parts[1], parts[2]); });
  }

  Value call(const Node& node, Scope& scope) {
    const Node& callee = *node.kids[0];
    const auto given = [&] { return arguments(node, scope); };
    if (callee.kind == Kind::kAttribute) {
      const Value object = evaluate(*callee.kids[0], scope);
      if (object.is<Undefined>()) refuse(node, "calls .{} of what is not defined", callee.text);
      if (object.text() != nullptr || (object.map() != nullptr && !object.map()->is_namespace)) {
        const Arguments with = given();
        return sentence(node, [&] { return call_method(callee.text, object, with); });
      }
    }
    const Value function = evaluate(callee, scope);
    if (function.is<Macro>()) return call_macro(*function.as<Macro>().node, given(), scope);
    if (callee.kind != Kind::kName || !function.is<Undefined>())
      refuse(node, "calls what is no function");
    const Arguments with = given();
    return sentence(node, [&] { return call_function(callee.text, with); });
  }

  Value call_macro(const Node& macro, const Arguments& given, Scope& scope) {
    Scope* outside = &scope;
    while (outside->around != nullptr) outside = outside->around;
    Scope inside{{}, outside};
    if (given.values.size() > macro.names.size())
      refuse(macro, "gives {} too many values", macro.text);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < macro.names.size(); ++i) {
      Value value;
      if (i < given.values.size()) {
        value = given.values[i];
      } else if (const Value* keyword = given.keywords.find(macro.names[i])) {
        value = *keyword;
        ++taken;
      } else if (macro.kids[i + 1]) {
        value = evaluate(*macro.kids[i + 1], inside);
      }
      inside.own.set(macro.names[i], std::move(value));
    }
    if (taken != given.keywords.items.size())
      refuse(macro, "gives {} an unknown keyword", macro.text);
    std::string text;
    write(*macro.kids[0], inside, text);
    return text;
  }

  std::int64_t steps_ = 0;
  int depth_ = 0;
};

}  // namespace

std::string render(std::string_view source,
                   const std::vector<std::pair<std::string, Value>>& variables) {
  const NodePtr root = parse(source);
  Scope scope;
  for (const auto& [name, value] : variables) scope.own.set(name, value);
  try {
    return Renderer().run(*root, scope);
  } catch (const Break&) {
    throw TemplateError("breaks where there is no loop");
  } catch (const Continue&) {
    throw TemplateError("continues where there is no loop");
  }
}

}  // namespace bestreel::videoscore2::jinja
