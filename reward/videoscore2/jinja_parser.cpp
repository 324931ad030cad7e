#include "reward/videoscore2/jinja_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <utility>

#include "reward/videoscore2/jinja_lexer.h"

namespace bestreel::videoscore2::jinja {
namespace {

constexpr int kMaxDepth = 100;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  NodePtr run() {
    NodePtr all = block({});
    if (peek().type != Token::kEnd) refuse_at(peek().line, "has an {} without its begin", word_);
    return all;
  }

 private:
  class Deeper {
   public:
    explicit Deeper(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth)
        refuse_at(parser_.peek().line, "is nested deeper than {} levels", kMaxDepth);
    }
    ~Deeper() { --parser_.depth_; }
    Deeper(const Deeper&) = delete;

   private:
    Parser& parser_;
  };

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool is(Token::Type type, std::string_view text) const {
    return peek().type == type && peek().text == text;
  }
  bool take(Token::Type type, std::string_view text) {
    if (!is(type, text)) return false;
    ++at_;
    return true;
  }
  bool take_sign(std::string_view text) { return take(Token::kSign, text); }
  bool take_name(std::string_view text) { return take(Token::kName, text); }
  void expect_sign(std::string_view text) {
    if (!take_sign(text)) refuse_at(peek().line, "lacks a \"{}\"", text);
  }
  void expect_close() {
    if (peek().type != Token::kClose)
      refuse_at(peek().line, "has a tag that goes on with \"{}\"", peek().text);
    ++at_;
  }
  std::string name() {
    if (peek().type != Token::kName) refuse_at(peek().line, "lacks a name");
    return tokens_[at_++].text;
  }
  NodePtr make(Kind kind, std::string text = "") const {
    auto node = std::make_unique<Node>(Node{kind});
    node->text = std::move(text);
    node->line = peek().line;
    return node;
  }
  template <typename... Kids>
  NodePtr make_of(Kind kind, std::string text, Kids... kids) const {
    NodePtr node = make(kind, std::move(text));
    (node->kids.push_back(std::move(kids)), ...);
    return node;
  }

  /// Up to a tag whose first word is one of `ends` (its word is taken), or the end.
  NodePtr block(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(*this);
    NodePtr all = make(Kind::kBlock);
    for (;;) {
      const Token& token = peek();
      if (token.type == Token::kData) {
        all->kids.push_back(make(Kind::kText, token.text));
        ++at_;
      } else if (token.type == Token::kOpenPrint) {
        ++at_;
        all->kids.push_back(make_of(Kind::kPrint, "", tuple()));
        expect_close();
      } else if (token.type == Token::kOpenBlock) {
        ++at_;
        word_ = name();
        if (std::find(ends.begin(), ends.end(), word_) != ends.end()) return all;
        if (NodePtr next = statement(word_)) {
          all->kids.push_back(std::move(next));
          continue;
        }
        if (word_.starts_with("end") || word_ == "else" || word_ == "elif")
          refuse_at(peek().line, "has an {} without its begin", word_);
        refuse_at(peek().line, "uses the statement \"{}\"", word_);
      } else {
        if (ends.size() > 0) refuse_at(token.line, "lacks an {}", *(ends.end() - 1));
        return all;
      }
    }
  }

  NodePtr statement(const std::string& word) {
    if (word == "for") return for_statement();
    if (word == "if") return if_statement();
    if (word == "set") return set_statement();
    if (word == "macro") return macro_statement();
    if (word == "generation") {  // transformers' mark of what the assistant wrote
      expect_close();
      NodePtr body = block({"endgeneration"});
      expect_close();
      return body;
    }
    if (word == "break" || word == "continue") {
      expect_close();
      return make(word == "break" ? Kind::kBreak : Kind::kContinue);
    }
    return nullptr;
  }

  NodePtr for_statement() {
    NodePtr node = make(Kind::kFor);
    do {
      node->names.push_back(name());
    } while (take_sign(","));
    if (!take_name("in")) refuse_at(peek().line, "has a for without its in");
    NodePtr iterable = or_expression();
    NodePtr condition = take_name("if") ? expression() : nullptr;
    if (is(Token::kName, "recursive")) refuse_at(peek().line, "uses a recursive for");
    expect_close();
    NodePtr body = block({"else", "endfor"});
    NodePtr other;
    if (word_ == "else") {
      expect_close();
      other = block({"endfor"});
    }
    expect_close();
    for (NodePtr* kid : {&iterable, &condition, &body, &other})
      node->kids.push_back(std::move(*kid));
    return node;
  }

  NodePtr if_statement() {
    const Deeper deeper(*this);
    NodePtr condition = expression();
    expect_close();
    NodePtr then = block({"elif", "else", "endif"});
    NodePtr other;
    if (word_ == "elif") {
      other = if_statement();  // takes the endif
      return make_of(Kind::kIf, "", std::move(condition), std::move(then), std::move(other));
    }
    if (word_ == "else") {
      expect_close();
      other = block({"endif"});
    }
    expect_close();
    return make_of(Kind::kIf, "", std::move(condition), std::move(then), std::move(other));
  }

  NodePtr set_statement() {
    NodePtr node = make(Kind::kSet);
    node->names.push_back(name());
    if (take_sign(".")) {
      node->text = name();
    } else {
      while (take_sign(",")) node->names.push_back(name());
    }
    if (take_sign("=")) {
      node->kids.push_back(tuple());
      expect_close();
      return node;
    }
    if (peek().type != Token::kClose) refuse_at(peek().line, "uses a filtered set");
    expect_close();
    node->kind = Kind::kSetBlock;
    node->kids.push_back(block({"endset"}));
    expect_close();
    return node;
  }

  NodePtr macro_statement() {
    NodePtr node = make(Kind::kMacro, name());
    node->kids.push_back(nullptr);
    expect_sign("(");
    while (!take_sign(")")) {
      node->names.push_back(name());
      node->kids.push_back(take_sign("=") ? expression() : nullptr);
      if (!is(Token::kSign, ")")) expect_sign(",");
    }
    expect_close();
    node->kids[0] = block({"endmacro"});
    if (peek().type == Token::kName) ++at_;  // {% endmacro name %}
    expect_close();
    return node;
  }

  NodePtr tuple() {
    NodePtr first = expression();
    if (!is(Token::kSign, ",")) return first;
    NodePtr list = make(Kind::kList);
    list->kids.push_back(std::move(first));
    while (take_sign(",") && peek().type != Token::kClose && !is(Token::kSign, ")"))
      list->kids.push_back(expression());
    return list;
  }

  NodePtr expression() {
    const Deeper deeper(*this);
    NodePtr value = or_expression();
    for (int i = 1; take_name("if"); bound(++i)) {
      NodePtr condition = or_expression();
      NodePtr other = take_name("else") ? expression() : nullptr;
      value = make_of(Kind::kChoice, "", std::move(value), std::move(condition), std::move(other));
    }
    return value;
  }

  /// A chain grows to the left, and what is evaluated or freed goes down it.
  void bound(int length) const {
    if (length > kMaxDepth)
      refuse_at(peek().line, "has an expression of more than {} parts", kMaxDepth);
  }

  NodePtr or_expression() {
    NodePtr left = and_expression();
    for (int i = 1; take_name("or"); bound(++i))
      left = make_of(Kind::kOr, "", std::move(left), and_expression());
    return left;
  }
  NodePtr and_expression() {
    NodePtr left = not_expression();
    for (int i = 1; take_name("and"); bound(++i))
      left = make_of(Kind::kAnd, "", std::move(left), not_expression());
    return left;
  }
  NodePtr not_expression() {
    const Deeper deeper(*this);
    if (take_name("not")) return make_of(Kind::kNot, "", not_expression());
    return comparison();
  }

  std::optional<std::string> comparison_operator() {
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"})
      if (take_sign(sign)) return std::string(sign);
    if (take_name("in")) return "in";
    if (is(Token::kName, "not") && peek(1).type == Token::kName && peek(1).text == "in") {
      at_ += 2;
      return "not in";
    }
    return std::nullopt;
  }
  NodePtr comparison() {
    NodePtr first = sum();
    NodePtr chain;
    while (auto sign = comparison_operator()) {
      if (!chain) chain = make_of(Kind::kChain, "", std::move(first));
      chain->names.push_back(*sign);
      chain->kids.push_back(sum());
    }
    return chain ? std::move(chain) : std::move(first);
  }

  NodePtr binary(NodePtr (Parser::*operand)(), std::initializer_list<std::string_view> signs) {
    NodePtr left = (this->*operand)();
    for (int i = 1;; bound(++i)) {
      const auto sign = std::find_if(signs.begin(), signs.end(),
                                     [&](std::string_view each) { return take_sign(each); });
      if (sign == signs.end()) return left;
      left = make_of(Kind::kBinary, std::string(*sign), std::move(left), (this->*operand)());
    }
  }
  NodePtr sum() { return binary(&Parser::concatenation, {"+", "-"}); }
  NodePtr concatenation() { return binary(&Parser::product, {"~"}); }
  NodePtr product() { return binary(&Parser::unary, {"*", "//", "/", "%"}); }

  NodePtr unary() {
    const Deeper deeper(*this);
    NodePtr node;
    if (take_sign("-")) {
      node = make_of(Kind::kNegative, "", unary_operand());
    } else {
      take_sign("+");
      node = unary_operand();
    }
    return filters(std::move(node));
  }
  NodePtr unary_operand() {
    const Deeper deeper(*this);
    if (take_sign("-")) return make_of(Kind::kNegative, "", unary_operand());
    NodePtr node = postfix(primary());
    if (is(Token::kSign, "**")) refuse_at(peek().line, "uses the operator \"**\"");
    return node;
  }

  NodePtr constant(Value value) {
    NodePtr node = make(Kind::kConstant);
    node->value = std::move(value);
    return node;
  }

  NodePtr primary() {
    const Token token = peek();
    if (token.type == Token::kName) {
      ++at_;
      if (token.text == "true" || token.text == "True") return constant(true);
      if (token.text == "false" || token.text == "False") return constant(false);
      if (token.text == "none" || token.text == "None") return constant(None{});
      return make(Kind::kName, token.text);
    }
    if (token.type == Token::kString) {
      std::string text;
      while (peek().type == Token::kString) text += tokens_[at_++].text;
      return constant(std::move(text));
    }
    if (token.type == Token::kInt || token.type == Token::kFloat) {
      ++at_;
      const char* begin = token.text.data();
      const char* end = begin + token.text.size();
      std::int64_t whole = 0;
      double real = 0;
      const bool read = token.type == Token::kInt
                            ? std::from_chars(begin, end, whole).ec == std::errc()
                            : std::from_chars(begin, end, real).ec == std::errc();
      if (!read) refuse_at(token.line, "has a number that is out of range");
      return token.type == Token::kInt ? constant(whole) : constant(real);
    }
    if (take_sign("(")) {
      if (take_sign(")")) return make(Kind::kList);
      NodePtr inner = tuple();
      expect_sign(")");
      return inner;
    }
    if (take_sign("[")) {
      NodePtr list = make(Kind::kList);
      while (!take_sign("]")) {
        list->kids.push_back(expression());
        if (!is(Token::kSign, "]")) expect_sign(",");
      }
      return list;
    }
    if (take_sign("{")) {
      NodePtr dict = make(Kind::kDict);
      while (!take_sign("}")) {
        dict->kids.push_back(expression());
        expect_sign(":");
        dict->kids.push_back(expression());
        if (!is(Token::kSign, "}")) expect_sign(",");
      }
      return dict;
    }
    refuse_at(token.line, "has an expression that breaks off");
  }

  NodePtr postfix(NodePtr node) {
    for (int i = 1;; bound(++i)) {
      if (take_sign(".")) {
        node = make_of(Kind::kAttribute, name(), std::move(node));
      } else if (take_sign("[")) {
        node = subscript(std::move(node));
      } else if (take_sign("(")) {
        node = make_of(Kind::kCall, "", std::move(node));
        arguments(*node);
      } else {
        return node;
      }
    }
  }

  NodePtr subscript(NodePtr object) {
    NodePtr parts[3];
    std::size_t part = 0;
    while (!take_sign("]")) {
      if (take_sign(":")) {
        if (++part > 2) refuse_at(peek().line, "has a slice of too many parts");
      } else {
        if (parts[part]) refuse_at(peek().line, "has a subscript of several values");
        parts[part] = expression();
      }
    }
    if (part == 0) {
      if (!parts[0]) refuse_at(peek().line, "has an empty subscript");
      return make_of(Kind::kItem, "", std::move(object), std::move(parts[0]));
    }
    return make_of(Kind::kSlice, "", std::move(object), std::move(parts[0]), std::move(parts[1]),
                   std::move(parts[2]));
  }

  /// Behind the "(".
  void arguments(Node& call) {
    while (!take_sign(")")) {
      const bool keyword =
          peek().type == Token::kName && peek(1).type == Token::kSign && peek(1).text == "=";
      if (keyword) {
        call.names.push_back(name());
        expect_sign("=");
      } else if (!call.names.empty()) {
        refuse_at(peek().line, "has an argument behind a keyword");
      }
      call.kids.push_back(expression());
      if (!is(Token::kSign, ")")) expect_sign(",");
    }
  }

  NodePtr filters(NodePtr node) {
    for (int i = 1;; bound(++i)) {
      if (take_sign("|")) {
        node = make_of(Kind::kFilter, name(), std::move(node));
        if (take_sign("(")) arguments(*node);
      } else if (take_name("is")) {
        const bool negated = take_name("not");
        node = make_of(Kind::kTest, name(), std::move(node));
        if (take_sign("(")) {
          arguments(*node);
        } else if (const Token& next = peek();
                   next.type == Token::kString || next.type == Token::kInt ||
                   (next.type == Token::kName && next.text != "and" && next.text != "or" &&
                    next.text != "else" && next.text != "if" && next.text != "is" &&
                    next.text != "in" && next.text != "not")) {
          node->kids.push_back(postfix(primary()));
        }
        if (negated) node = make_of(Kind::kNot, "", std::move(node));
      } else if (is(Token::kSign, "(") || is(Token::kSign, ".") || is(Token::kSign, "[")) {
        node = postfix(std::move(node));
      } else {
        return node;
      }
    }
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string word_;  // of the tag that ended the last block
};

}  // namespace

NodePtr parse(std::string_view source) { return Parser(tokens_of(source)).run(); }

}  // namespace bestreel::videoscore2::jinja
