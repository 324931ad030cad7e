#include "reward/videoscore2/json_scores.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <utility>

namespace bestreel::videoscore2 {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr int kMaxDepth = 16;
constexpr int kMaxTries = 16;  // beginnings that turn out to be none

/// A value and where it stands; what is inside a text is left as it is written.
struct Json {
  enum Type { kText, kOther, kList, kObject };
  Type type = kOther;
  std::size_t begin = 0, end = 0;                     // a text without its quotes
  std::vector<std::pair<std::string, Json>> items{};  // a list's have no names
};

/// As strict as JSON but for what numbers look like.
class Parser {
 public:
  Parser(std::string_view text, std::size_t at) : text_(text), at_(at) {}

  std::optional<Json> value(int depth = 0) {
    skip();
    if (depth > kMaxDepth || done()) return std::nullopt;
    const char c = text_[at_];
    if (c == '{' || c == '[') return container(c == '{', depth);
    if (c == '"') return quoted();
    Json json{Json::kOther, at_, at_};
    while (!done() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                       std::string_view("+-.").find(text_[at_]) != kNowhere))
      ++at_;
    json.end = at_;
    if (json.end == json.begin) return std::nullopt;
    return json;
  }

 private:
  bool done() const { return at_ >= text_.size(); }
  void skip() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  bool take(char c) {
    skip();
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::optional<Json> quoted() {
    Json json{Json::kText, ++at_, 0};
    for (; !done() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    if (done()) return std::nullopt;
    json.end = at_++;
    return json;
  }
  std::optional<Json> container(bool object, int depth) {
    Json json{object ? Json::kObject : Json::kList, at_++, 0};
    const char close = object ? '}' : ']';
    for (bool first = true; !take(close); first = false) {
      if (!first && !take(',')) return std::nullopt;
      if (!first && take(close)) break;  // a comma before the end, as models write it
      std::string name;
      if (object) {
        skip();
        if (done() || text_[at_] != '"') return std::nullopt;
        const auto key = quoted();
        if (!key || !take(':')) return std::nullopt;
        name = text_.substr(key->begin, key->end - key->begin);
      }
      auto item = value(depth + 1);
      if (!item) return std::nullopt;
      json.items.emplace_back(std::move(name), std::move(*item));
    }
    json.end = at_;
    return json;
  }

  std::string_view text_;
  std::size_t at_;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return out;
}

class Reader {
 public:
  Reader(std::string_view text, const ScoreLineReader& labels, std::vector<ScoreLine>& out)
      : text_(text), labels_(labels), out_(out) {}

  void read(const Json& json) {
    if (json.type == Json::kObject && read_record(json)) return;
    for (const auto& [name, item] : json.items) {
      const auto dimension = name.empty() ? std::nullopt : labels_.dimension_of(name);
      if (dimension) {
        read_score(*dimension, item);
      } else if (item.type == Json::kObject || item.type == Json::kList) {
        read(item);
      }
    }
  }

 private:
  static const Json* find(const Json& object, std::initializer_list<std::string_view> names) {
    for (const auto& [name, item] : object.items)
      if (std::find(names.begin(), names.end(), lower(name)) != names.end()) return &item;
    return nullptr;
  }
  std::string_view text_of(const Json& json) const {
    return text_.substr(json.begin, json.end - json.begin);
  }
  void refuse(std::size_t dimension, const Json& json, std::string problem) {
    ScoreLine line;
    line.dimension = dimension;
    line.begin = json.begin;
    line.end = json.end;
    line.problem = std::move(problem);
    out_.push_back(std::move(line));
  }

  /// {"dimension": "visual quality", "score": 3}
  bool read_record(const Json& object) {
    const Json* name =
        find(object, {"dimension", "name", "criterion", "aspect", "label", "category", "metric"});
    if (name == nullptr || name->type != Json::kText) return false;
    const auto dimension = labels_.dimension_of(text_of(*name));
    if (dimension) read_score(*dimension, object);
    return dimension.has_value();
  }

  void read_score(std::size_t dimension, const Json& json) {
    if (json.type == Json::kList) return refuse(dimension, json, "its value is a list");
    const Json* value = &json;
    if (json.type == Json::kObject) {
      value = find(json, {"score", "rating", "value", "points", "grade"});
      if (value == nullptr || value->type == Json::kObject || value->type == Json::kList)
        return refuse(dimension, json, "its object has no score");
      const Json* scale = find(json, {"max", "max_score", "out_of", "scale", "maximum"});
      if (scale != nullptr && scale->type != Json::kObject && text_of(*scale) != "5" &&
          text_of(*scale) != "1-5")
        return refuse(dimension, json, "it is not on a scale to 5");
    }
    ScoreLine line = labels_.judge(dimension, text_of(*value));
    line.begin = value->begin;
    line.end = value->end;
    line.digit += value->begin;
    out_.push_back(std::move(line));
  }

  std::string_view text_;
  const ScoreLineReader& labels_;
  std::vector<ScoreLine>& out_;
};

}  // namespace

JsonScores json_scores(std::string_view text, const ScoreLineReader& reader) {
  JsonScores scores;
  int tries = 0;
  for (std::size_t at = text.find_first_of("{["); at != kNowhere && tries < kMaxTries; ++tries) {
    const auto json = Parser(text, at).value();
    if (json) {
      Reader(text, reader, scores.lines).read(*json);
      if (!scores.lines.empty()) {
        scores.begin = json->begin;
        scores.end = json->end;
        return scores;
      }
    }
    at = text.find_first_of("{[", json ? json->end : at + 1);
  }
  return scores;
}

}  // namespace bestreel::videoscore2
