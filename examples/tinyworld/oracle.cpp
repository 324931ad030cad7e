#include "examples/tinyworld/oracle.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "core/base/fail.h"
#include "examples/tinyworld/segment.h"
#include "examples/tinyworld/tracks.h"

namespace bestreel::tinyworld {
namespace {

/// One thing that is wrong, and how badly: 0..1.
struct Fault {
  const char* name;
  double severity;
};

/// A measure as a severity: `zero` and below is none, `one` and above the worst. Below `dead` of
/// the range it counts as none: that is what cutting out and encoding are worth.
double grade(double measure, double zero, double one, double dead = 0.06) {
  const double s = std::clamp((measure - zero) / (one - zero), 0.0, 1.0);
  return s < dead ? 0 : s;
}

double deviation(const std::vector<double>& values) {
  double mean = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  double square = 0;
  for (const double v : values)
    square += (v - mean) * (v - mean) / static_cast<double>(values.size());
  return std::sqrt(square);
}

double truth_of(const std::vector<Fault>& faults) {
  double good = 1;
  for (const Fault& fault : faults) good *= 1 - fault.severity;
  return 1 + 4 * good;
}

const char* degree(double severity) {
  return severity < 0.34 ? "slight" : severity < 0.67 ? "clear" : "strong";
}

std::string list_of(std::vector<Fault> faults) {
  std::erase_if(faults, [](const Fault& fault) { return fault.severity <= 0; });
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return a.severity > b.severity; });
  std::string text;
  for (const Fault& fault : faults)
    text += fmt::format(" {} {}", degree(fault.severity), fault.name);
  return text.empty() ? " none" : text;
}

std::string sentence_of(const std::vector<Fault>& faults, const char* none) {
  return list_of(faults) == " none" ? none : list_of(faults).substr(1);
}

std::vector<Fault> visual_faults(const Ground& ground, const Tracks& tracks) {
  double edge = 0;
  for (const Track& track : tracks.objects)
    edge += track.edge / static_cast<double>(tracks.objects.size());
  // The renderer's own scale of each flaw (flaws.cpp), read backwards from what a median clip of
  // each severity measures.
  return {{"noise", grade(ground.noise, 7, 60)},
          {"blur", grade(edge, 0.85, 2.62)},  // 4:2:0 chroma makes 0.95 of a sharp edge
          {"flicker", grade(ground.flicker, 0.04, 0.39)},
          {"blocking", grade(ground.block_step, 2.0, 11.5)}};
}

std::vector<Fault> physical_faults(const Tracks& tracks, double frames, const Ground& ground) {
  // The worst object speaks for each fault: a flaw strikes one.
  std::vector<Fault> worst{
      {"teleport", 0}, {"deform", 0}, {"vanish", 0}, {"pulse", 0}, {"jerk", 0}};
  const auto raise = [&](std::size_t i, double severity) {
    worst[i].severity = std::max(worst[i].severity, severity);
  };
  for (const Track& track : tracks.objects) {
    const double small = track.object.size == Size::kSmall ? 1.0 : 0.5;
    // What noise and blocks alone do to the measures of an object.
    const double shake = std::max(ground.noise / 60, ground.block_step / 12) * small;
    raise(0, track.jump > 6 ? grade(track.jump, 8, 32, 0) * 0.9 + 0.1 : 0);
    const double bend = 1.41421 * deviation(track.stretch);
    raise(1, grade(bend - 0.25 * shake, 0.1, 1.0));
    const double missing = frames - static_cast<double>(track.frames.size());
    raise(2, missing >= 2 ? grade(missing, 1.5, 9, 0) : 0);
    std::vector<double> sizes;
    for (const double area : track.area) sizes.push_back(0.5 * std::log(area));
    raise(3, grade(1.41421 * deviation(sizes) - 0.2 * shake, 0.05, 0.42));
    raise(4, grade(track.wobble - 1.2 * shake, 0.7, 5.3));
  }
  return worst;
}

std::string asked_and_seen(const char* asked, const char* seen) {
  return fmt::format(" {} {} {}", asked, seen, std::string_view(asked) == seen ? "ok" : "diff");
}

/// The items that are wrong, as words for a reader, and the whole comparison as the judge learns
/// it.
void compare(const Scene& asked, const Scene& seen, std::string& rationale,
             std::vector<std::string>& wrong) {
  rationale += fmt::format("objects {} {} {} .", asked.objects.size(), seen.objects.size(),
                           asked.objects.size() == seen.objects.size() ? "ok" : "diff");
  if (asked.objects.size() != seen.objects.size()) {
    wrong.push_back(
        fmt::format("{} asked for, {} seen", asked.objects.size(), seen.objects.size()));
  }
  const std::vector<int> partner = match(asked, seen);
  for (std::size_t i = 0; i < asked.objects.size(); ++i) {
    rationale += fmt::format(" object {} :", i + 1);
    if (partner[i] < 0) {
      rationale += " missing .";
      wrong.push_back(fmt::format("object {} is missing", i + 1));
      continue;
    }
    const Object& a = asked.objects[i];
    const Object& s = seen.objects[std::size_t(partner[i])];
    const auto item = [&](const char* want, const char* got) {
      rationale += asked_and_seen(want, got);
      if (std::string_view(want) != got)
        wrong.push_back(fmt::format("{} instead of {}", got, want));
    };
    item(kColourNames[std::size_t(a.colour)], kColourNames[std::size_t(s.colour)]);
    item(kShapeNames[std::size_t(a.shape)], kShapeNames[std::size_t(s.shape)]);
    item(kSizeNames[std::size_t(a.size)], kSizeNames[std::size_t(s.size)]);
    item(kMotionNames[std::size_t(a.motion)], kMotionNames[std::size_t(s.motion)]);
    rationale += " .";
  }
  const char* want = kBackgroundNames[std::size_t(asked.background)];
  const char* got = kBackgroundNames[std::size_t(seen.background)];
  rationale += " background" + asked_and_seen(want, got) + " .";
  if (asked.background != seen.background)
    wrong.push_back(fmt::format("a {} background instead of {}", got, want));
}

/// Where the pixels cannot tell two shapes apart, as under a strong blur, the asked one is seen.
void give_benefit_of_doubt(const Scene& asked, const Tracks& tracks, Scene& seen) {
  constexpr double kDoubt = 0.006;  // of the object's energy
  const std::vector<int> partner = match(asked, seen);
  for (std::size_t i = 0; i < partner.size(); ++i) {
    if (partner[i] < 0) continue;
    Object& object = seen.objects[std::size_t(partner[i])];
    const Shape shape = asked.objects[i].shape;
    const Track& track = tracks.objects[std::size_t(partner[i])];
    if (object.shape != Shape::kBlob && track.doubt[std::size_t(shape)] < kDoubt)
      object.shape = shape;
  }
}

}  // namespace

Verdict ask_oracle(const Clip& clip, const Scene& asked) {
  const Ground ground = look_at_ground(clip);
  const Even even = even_out(clip, ground);
  const Tracks tracks = follow(even, ground, find_spots(even, ground));

  Verdict verdict;
  verdict.seen.background = ground.name;
  for (const Track& track : tracks.objects) verdict.seen.objects.push_back(track.object);
  if (verdict.seen.objects.size() > 3) verdict.seen.objects.resize(3);
  give_benefit_of_doubt(asked, tracks, verdict.seen);

  std::vector<Fault> visual = visual_faults(ground, tracks);
  std::vector<Fault> physical = physical_faults(tracks, clip.frames, ground);
  // Things that come and go are a fault of their own.
  physical[2].severity = std::max(physical[2].severity, std::min(1.0, 0.35 * tracks.brief));
  std::vector<std::string> wrong;
  compare(asked, verdict.seen, verdict.rationale, wrong);
  verdict.truth = {truth_of(visual), 5 - 4 * misalignment(asked, verdict.seen), truth_of(physical)};
  if (tracks.objects.empty()) {
    // An empty clip has nothing that could be ugly or break a law: it must not win by that.
    verdict.truth = {std::min(2.0, verdict.truth[0]), 1, 1};
    verdict.reason = {"there is nothing to see", "nothing of what was asked is there",
                      "nothing moves: there is nothing"};
    physical[2].severity = 1;
  } else {
    verdict.reason[0] = sentence_of(visual, "sharp, steady and clean");
    verdict.reason[1] =
        wrong.empty() ? "all that was asked is there" : fmt::format("{}", fmt::join(wrong, ", "));
    verdict.reason[2] = sentence_of(physical, "everything keeps its shape and its course");
  }
  verdict.rationale += " visual :" + list_of(visual) + " . physics :" + list_of(physical) + " .";

  verdict.measures = {{"noise", ground.noise},
                      {"flicker", ground.flicker},
                      {"block_step", ground.block_step},
                      {"objects", static_cast<double>(tracks.objects.size())},
                      {"brief", tracks.brief}};
  for (std::size_t i = 0; i < verdict.seen.objects.size(); ++i) {
    const Track& track = tracks.objects[i];
    const auto add = [&](const char* name, double value) {
      verdict.measures.emplace_back(fmt::format("object{}_{}", i + 1, name), value);
    };
    add("frames", static_cast<double>(track.frames.size()));
    add("area", track.area[track.area.size() / 2]);
    add("edge", track.edge);
    add("fit", track.fit);
    add("jump", track.jump);
    add("wobble", track.wobble);
    add("travel", track.travel);
    add("stretch", deviation(track.stretch));
  }
  return verdict;
}

std::vector<std::string> words() {
  std::set<std::string> all{"a",     "and",     "over",      "0",      "1",       "2",
                            "3",     ".",       ":",         "ok",     "diff",    "missing",
                            "none",  "objects", "object",    "visual", "physics", "slight",
                            "clear", "strong",  "background"};
  const auto add = [&](const auto& names) {
    for (const char* name : names) {
      std::istringstream stream{name};
      for (std::string word; stream >> word;) all.insert(word);
    }
  };
  add(kShapeNames);
  add(kColourNames);
  add(kSizeNames);
  add(kMotionPhrases);
  add(kMotionNames);
  add(kBackgroundNames);
  add(kFlawNames);
  return {all.begin(), all.end()};
}

}  // namespace bestreel::tinyworld
