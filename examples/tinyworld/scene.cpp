#include "examples/tinyworld/scene.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>

#include "core/base/fail.h"

namespace bestreel::tinyworld {
namespace {

constexpr const char* kGrammar =
    "`a SIZE COLOUR SHAPE MOTION [and a SIZE COLOUR SHAPE MOTION] over a BACKGROUND background`, "
    "where "
    "SIZE is small|large, COLOUR red|green|blue|yellow|purple|white, SHAPE circle|square|triangle, "
    "MOTION `stays still`|`moves left`|`moves right`|`moves up`|`moves down`|`falls and bounces` "
    "and "
    "BACKGROUND black|gray|navy|brown";

template <typename Enum, std::size_t N>
const char* name_of(const std::array<const char*, N>& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

/// The words of a prompt, lower case, read one after the other.
class Words {
 public:
  explicit Words(std::string_view prompt) : prompt_(prompt) {
    std::string word;
    for (const char c : prompt) {
      const auto byte = static_cast<unsigned char>(c);
      if (std::isspace(byte) != 0) {
        if (!word.empty()) words_.push_back(std::move(word));
        word.clear();
      } else {
        word += static_cast<char>(std::tolower(byte));
      }
    }
    if (!word.empty()) words_.push_back(std::move(word));
  }

  bool take(std::string_view phrase) {
    std::istringstream stream{std::string(phrase)};
    std::size_t at = at_;
    for (std::string word; stream >> word; ++at) {
      if (at >= words_.size() || words_[at] != word) return false;
    }
    at_ = at;
    return true;
  }

  void expect(std::string_view phrase) {
    if (!take(phrase)) refuse();
  }

  template <typename Enum, std::size_t N>
  Enum choose(const std::array<const char*, N>& names) {
    for (std::size_t i = 0; i < N; ++i) {
      if (take(names[i])) return static_cast<Enum>(i);
    }
    refuse();
  }

  void expect_end() {
    if (at_ != words_.size()) refuse();
  }

 private:
  [[noreturn]] void refuse() const {
    fail("prompt_foreign", "tinyworld", "prompt must be {}, but got {} at word {} of \"{}\"",
         kGrammar, at_ < words_.size() ? "\"" + words_[at_] + "\"" : std::string("its end"),
         at_ + 1, prompt_);
  }

  std::string prompt_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

}  // namespace

std::string to_prompt(const Scene& scene) {
  std::string text;
  for (const Object& object : scene.objects) {
    text += fmt::format("{}a {} {} {} {}", text.empty() ? "" : " and ",
                        name_of(kSizeNames, object.size), name_of(kColourNames, object.colour),
                        name_of(kShapeNames, object.shape), name_of(kMotionPhrases, object.motion));
  }
  return text + fmt::format(" over a {} background", name_of(kBackgroundNames, scene.background));
}

Scene parse_prompt(std::string_view prompt) {
  Words words(prompt);
  Scene scene;
  do {
    words.expect("a");
    Object object;
    object.size = words.choose<Size>(kSizeNames);
    object.colour = words.choose<Colour>(kColourNames);
    object.shape = words.choose<Shape>(std::array{kShapeNames[0], kShapeNames[1], kShapeNames[2]});
    object.motion = words.choose<Motion>(kMotionPhrases);
    scene.objects.push_back(object);
  } while (scene.objects.size() < 2 && words.take("and"));
  words.expect("over a");
  scene.background = words.choose<Background>(kBackgroundNames);
  words.expect("background");
  words.expect_end();
  return scene;
}

Split split_of(const Scene& scene) {
  std::uint64_t hash = 1469598103934665603ULL;  // FNV-1a
  for (const char c : to_prompt(scene)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  const std::uint64_t tenth = (hash >> 20) % 10;
  return tenth == 0 ? Split::kTest : tenth == 1 ? Split::kDev : Split::kTrain;
}

}  // namespace bestreel::tinyworld
