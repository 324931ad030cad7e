// A Jinja template as a tree. Private to jinja*.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reward/videoscore2/jinja.h"

namespace bestreel::videoscore2::jinja {

enum class Kind {
  // statements
  kBlock,     // kids in order
  kText,      // text
  kPrint,     // kids[0]
  kFor,       // names; kids: iterable, condition or null, body, else or null
  kIf,        // kids: condition, then, else or null
  kSet,       // names; kids[0]; `text`: the attribute of a namespace, or empty
  kSetBlock,  // names[0]; kids[0] is the body
  kMacro,     // text is its name, names its parameters; kids: body, then defaults (or null)
  kBreak,     //
  kContinue,  //
  // expressions
  kConstant,   // value
  kName,       // text
  kList,       // kids
  kDict,       // kids: key, value, key, value
  kAttribute,  // kids[0], text
  kItem,       // kids[0], kids[1]
  kSlice,      // kids: object, start or null, stop or null, step or null
  kCall,       // kids: callee, arguments; names: keywords of the last arguments
  kFilter,     // text; kids: value, arguments; names as in kCall
  kTest,       // text; kids: value, arguments
  kNot,        // kids[0]
  kNegative,   // kids[0]
  kAnd,        // kids
  kOr,         // kids
  kBinary,     // text: "+", "==", "in", ...; kids: left, right
  kChain,      // kids: first operand, then comparisons: names are the operators
  kChoice,     // kids: value, condition, other or null
};

struct Node {
  Kind kind;
  std::string text{};
  std::vector<std::string> names{};
  Value value{};
  std::vector<std::unique_ptr<Node>> kids{};
  int line = 0;
};
using NodePtr = std::unique_ptr<Node>;

/// Throws TemplateError: grammar, statements that are not known, nesting beyond a bound.
NodePtr parse(std::string_view source);

}  // namespace bestreel::videoscore2::jinja
