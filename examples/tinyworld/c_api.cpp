#include "examples/tinyworld/c_api.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/fail.h"
#include "examples/tinyworld/oracle.h"
#include "examples/tinyworld/render.h"

namespace tw = bestreel::tinyworld;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

thread_local std::string last_error;

template <typename Work>
int guarded(Work&& work) {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    last_error = error.what();
    return -1;
  }
}

void put(const std::string& text, char* out, std::size_t capacity) {
  if (text.size() + 1 > capacity) {
    bestreel::fail("usage", "tinyworld", "capacity must be at least {} bytes, but got {}",
                   text.size() + 1, capacity);
  }
  std::memcpy(out, text.c_str(), text.size() + 1);
}

std::vector<tw::Flaw> flaws_from(const char* text) {
  std::vector<tw::Flaw> flaws;
  for (const json& flaw : json::parse(text)) {
    flaws.push_back({tw::flaw_from_name(flaw.at("kind").get<std::string>()),
                     flaw.at("severity").get<double>()});
  }
  return flaws;
}

ordered_json flaws_to(const std::vector<tw::Flaw>& flaws) {
  ordered_json list = ordered_json::array();
  for (const tw::Flaw& flaw : flaws) {
    list.push_back({{"kind", tw::kFlawNames[std::size_t(flaw.kind)]}, {"severity", flaw.severity}});
  }
  return list;
}

tw::Clip copy_in(const std::uint8_t* frames, int count, int height, int width) {
  if (frames == nullptr || count < 1 || height < 8 || width < 8) {
    bestreel::fail("usage", "tinyworld",
                   "frames must be at least one of 8 x 8 pixels, but got {} of {} x {}", count,
                   height, width);
  }
  const std::size_t bytes = std::size_t(count) * height * width * 3;
  return {count, height, width, {frames, frames + bytes}};
}

void copy_out(const tw::Clip& clip, std::uint8_t* frames) {
  std::memcpy(frames, clip.data.data(), clip.data.size());
}

void label(ordered_json& out, const tw::Verdict& verdict) {
  for (std::size_t i = 0; i < 3; ++i) {
    out["truth"][tw::kDimensions[i]] = verdict.truth[i];
    out["reason"][tw::kDimensions[i]] = verdict.reason[i];
  }
  out["rationale"] = verdict.rationale;
  out["seen"] = ordered_json::array();
  for (const tw::Object& object : verdict.seen.objects) {
    out["seen"].push_back(
        {tw::kSizeNames[std::size_t(object.size)], tw::kColourNames[std::size_t(object.colour)],
         tw::kShapeNames[std::size_t(object.shape)], tw::kMotionNames[std::size_t(object.motion)]});
  }
  for (const auto& [name, value] : verdict.measures) out["measures"][name] = value;
  out["background"] = tw::kBackgroundNames[std::size_t(verdict.seen.background)];
}

struct Options {
  tw::Split split = tw::Split::kTrain;
  tw::FlawMix mix;
  double chroma = 0;
  bool labels = false;
};

Options options_from(const char* text) {
  Options options;
  json given = json::parse(text);
  if (!given.contains("flaws")) given["flaws"] = "mixed";
  for (const auto& [key, value] : given.items()) {
    if (key == "split") {
      const std::string split = value.get<std::string>();
      if (split != "train" && split != "dev" && split != "test") {
        bestreel::fail("usage", "tinyworld", "split must be train, dev or test, but got {}", split);
      }
      options.split = split == "train" ? tw::Split::kTrain
                      : split == "dev" ? tw::Split::kDev
                                       : tw::Split::kTest;
    } else if (key == "flaws") {
      if (value.is_array()) {
        for (const json& kind : value)
          options.mix.kinds.push_back(tw::flaw_from_name(kind.get<std::string>()));
        options.mix.clean = 0;
      } else if (value == "mixed") {
        for (std::size_t i = 0; i < tw::kFlawNames.size(); ++i)
          options.mix.kinds.push_back(static_cast<tw::FlawKind>(i));
      } else if (value != "none") {
        bestreel::fail("usage", "tinyworld", "flaws must be none, mixed or a list, but got {}",
                       value.dump());
      }
    } else if (key == "chroma") {
      options.chroma = value.get<double>();
    } else if (key == "labels") {
      options.labels = value.get<bool>();
    } else {
      bestreel::fail("usage", "tinyworld",
                     "options must be split, flaws, chroma or labels, but got {}", key);
    }
  }
  return options;
}

}  // namespace

const char* tw_error() { return last_error.c_str(); }

int tw_samples(uint64_t seed, int count, const char* options_text, uint8_t* frames, char* out,
               size_t capacity) {
  return guarded([&] {
    const Options options = options_from(options_text);
    ordered_json list = ordered_json::array();
    constexpr std::size_t kBytes = std::size_t(tw::kFrames) * tw::kSide * tw::kSide * 3;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t own = seed + static_cast<std::uint64_t>(i);
      tw::Random random(own);
      const tw::Scene scene = tw::random_scene(random, options.split);
      const std::vector<tw::Flaw> flaws = tw::random_flaws(random, options.mix);
      const bool chroma = random.chance(options.chroma);
      ordered_json sample{{"prompt", tw::to_prompt(scene)}, {"flaws", flaws_to(flaws)}};
      sample["severity"] = {{"visual", tw::severity_of(flaws, tw::Aspect::kVisual)},
                            {"text", tw::misalignment(scene, tw::shown_instead(scene, flaws, own))},
                            {"physical", tw::severity_of(flaws, tw::Aspect::kPhysical)}};
      if (frames != nullptr) {
        tw::Clip clip = tw::render(scene, flaws, own);
        if (chroma) tw::chroma_round_trip(clip);
        copy_out(clip, frames + kBytes * static_cast<std::size_t>(i));
        if (options.labels) label(sample, tw::ask_oracle(clip, scene));
      }
      list.push_back(std::move(sample));
    }
    put(list.dump(), out, capacity);
  });
}

int tw_render(const char* prompt, const char* flaws, uint64_t seed, uint8_t* frames) {
  return guarded(
      [&] { copy_out(tw::render(tw::parse_prompt(prompt), flaws_from(flaws), seed), frames); });
}

int tw_damage(const char* flaws, uint64_t seed, int count, int height, int width, uint8_t* frames) {
  return guarded([&] {
    tw::Clip clip = copy_in(frames, count, height, width);
    tw::damage(clip, flaws_from(flaws), seed);
    copy_out(clip, frames);
  });
}

int tw_oracle(const char* prompt, const uint8_t* frames, int count, int height, int width,
              char* out, size_t capacity) {
  return guarded([&] {
    const tw::Clip clip = copy_in(frames, count, height, width);
    ordered_json answer;
    label(answer, tw::ask_oracle(clip, tw::parse_prompt(prompt)));
    put(answer.dump(), out, capacity);
  });
}

int tw_words(char* out, size_t capacity) {
  return guarded([&] {
    ordered_json list = ordered_json::array();
    for (const std::string& word : tw::words()) list.push_back(word);
    put(list.dump(), out, capacity);
  });
}
