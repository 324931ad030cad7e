#include "plugin/runs/events.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "core/base/fail.h"
#include "plugin/json_fields.h"

// Note [One description for both directions]
// describe(archive, struct) names each field once: a Writer puts it into an object, a Reader takes
// it out, strictly. maybe() is a field that is left out where it has its default.

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

// ---- Values
// --------------------------------------------------------------------------------------

/// A path may hold any bytes and JSON holds UTF-8: other bytes are stored as hexadecimal.
Json write(const std::string& bytes) {
  try {
    Json(bytes).dump();
    return bytes;
  } catch (const nlohmann::json::exception&) {
    std::string hex;
    for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return {{"hex", hex}};
  }
}

void read(const Json& json, const char* name, std::string& bytes) {
  if (!json.is_object()) {
    bytes = strictly<std::string>(json, name);
    return;
  }
  const auto hex = strictly_at<std::string>(json, "hex");
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail("json_malformed", "json",
         "hex must be pairs of hexadecimal digits but is {}: use a file that Bestreel wrote", hex);
  }
  bytes.clear();
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
}

template <typename T>
  requires std::is_arithmetic_v<T>
Json write(T value) {
  // JSON has no infinity, and a container may claim one.
  if constexpr (std::is_floating_point_v<T>) return std::isfinite(value) ? value : T{0};
  return value;
}

template <typename T>
  requires std::is_arithmetic_v<T>
void read(const Json& json, const char* name, T& value) {
  value = strictly<T>(json, name);
}

Json write(const Rational& value) { return {value.num, value.den}; }
void read(const Json& json, const char* name, Rational& value) {
  if (!json.is_array() || json.size() != 2) {
    fail("json_malformed", "json", "{} must be two numbers: use a file that Bestreel wrote", name);
  }
  value = {strictly<std::int64_t>(json[0], name), strictly<std::int64_t>(json[1], name)};
}

/// A judgement that JSON cannot hold (a score that overflowed) is this video's failure. Thrown, it
/// would end the run here, and again at each resume, with the other videos never judged.
Json write(const Result& result) {
  try {
    return Json::parse(to_json(result));
  } catch (const Error& error) {
    return Json::parse(to_json(Failure{error.code(), error.what()}));
  }
}
void read(const Json& json, const char*, Result& result) { result = result_from_json(json.dump()); }

Json write(const std::optional<std::size_t>& value) { return *value; }

template <typename T>
Json write(const std::vector<T>& values);
template <typename T>
void read(const Json& json, const char* name, std::vector<T>& values);
template <typename T>
  requires std::is_class_v<T>
Json write(const T& object);
template <typename T>
  requires std::is_class_v<T>
void read(const Json& json, const char* name, T& object);

// ---- Structs
// -------------------------------------------------------------------------------------

struct Writer {
  Json json = Json::object();
  template <typename T>
  void operator()(const char* name, const T& value) {
    json[name] = write(value);
  }
  template <typename T>
  void maybe(const char* name, const T& value) {
    if constexpr (requires { value.empty(); }) {
      if (!value.empty()) json[name] = write(value);
    } else if (value != T{}) {
      json[name] = write(value);
    }
  }
  template <typename T, std::size_t N>
  void word(const char* name, const T& value, const std::array<const char*, N>& words) {
    json[name] = words.at(static_cast<std::size_t>(value));
  }
};

struct Reader {
  const Json& json;
  template <typename T>
  void operator()(const char* name, T& value) {
    read(json.at(name), name, value);
  }
  template <typename T>
  void maybe(const char* name, T& value) {
    if (json.contains(name)) read(json.at(name), name, value);
  }
  template <typename T>
  void maybe(const char* name, std::optional<T>& value) {
    if (json.contains(name)) read(json.at(name), name, value.emplace());
  }
  template <typename T, std::size_t N>
  void word(const char* name, T& value, const std::array<const char*, N>& words) {
    const auto word = strictly_at<std::string>(json, name);
    for (std::size_t i = 0; i < N; ++i) {
      if (word != words[i]) continue;
      value = static_cast<T>(i);
      return;
    }
    fail("json_malformed", "json", "{} must be {} but is {}: use a file that Bestreel wrote", name,
         fmt::join(words, " or "), word);
  }
};

constexpr std::array<const char*, 2> kCombinations{"rank-mean", "weights"};
constexpr std::array<const char*, 2> kDecoders{"preview", "full"};
static_assert(static_cast<int>(Combination::kRankMean) == 0 &&
              static_cast<int>(Combination::kWeights) == 1);

void describe(auto& a, RunSettings& e) {
  a("command", e.command);
  a.maybe("argv", e.argv);
  a.maybe("recipe", e.recipe);
  a.maybe("place", e.place);
  a("prompt", e.prompt);
  a("judges", e.judges);
  a("judge_ids", e.judge_ids);
  a.word("combination", e.combination, kCombinations);
  a("weights", e.weights);
  a("top", e.top);
  a("threads", e.threads);
  a("versions", e.versions);
  a.maybe("negative", e.negative);
  a.maybe("engine", e.engine);
  a.maybe("strategy", e.strategy);
  a.maybe("limits", e.limits);
  a.maybe("keep", e.keep);
  a.maybe("lossless", e.lossless);
  a.maybe("judge_threads", e.judge_threads);
}

void describe(auto& a, Cost& e) {
  a("forwards", e.forwards);
  a("seconds", e.seconds);
  a("peak_bytes", e.peak_bytes);
}

void describe(auto& a, events::Arrived& e) {
  a("ask", e.ask);
  a("label", e.label);
  a("path", e.path);
  a("sha256", e.sha256);
}

void describe(auto& a, events::Stop& e) {
  a("candidate", e.candidate);
  a("limit", e.limit);
}

void describe(auto& a, PreviewRequest& e) {
  a("lookahead", e.lookahead);
  a.word("decoder", e.decoder, kDecoders);
}

void describe(auto& a, events::WaveStarted::Start& e) {
  a("candidate", e.candidate);
  a.maybe("state", e.state);
  a.maybe("label", e.label);
  a.maybe("draft", e.draft);
}

void describe(auto& a, events::WaveStarted::Judgements& e) {
  a("judge", e.judge);
  a("candidates", e.candidates);
}

void describe(auto& a, events::WaveStarted& e) {
  a("starts", e.starts);
  a("barriers", e.barriers);
  a("lag", e.lag);
  a("preview", e.preview);
  a("preview_judge", e.preview_judge);
  a.maybe("keep_states", e.keep_states);
  a("judges", e.judges);
  a.maybe("judgements", e.judgements);
  a.maybe("stopped", e.stopped);
}

void describe(auto& a, events::StepsDone& e) { describe(a, e.cost); }

void describe(auto& a, events::Previewed& e) {
  a.maybe("path", e.path);
  a.maybe("sha256", e.sha256);
  describe(a, e.cost);
}

void describe(auto& a, events::PreviewJudged& e) {
  a("judge", e.judge);
  a("result", e.result);
}

void describe(auto& a, events::BarrierDecided::Assignment& e) {
  a("candidate", e.candidate);
  a("parent", e.parent);
  a("key", e.key);
  a("state", e.state);
}

void describe(auto& a, events::BarrierDecided& e) {
  a("barrier", e.barrier);
  a("candidates", e.candidates);
  a("assignments", e.assignments);
  a.maybe("stopped", e.stopped);
}

void describe(auto& a, events::Decoded& e) { a("seconds", e.seconds); }

void describe(auto& a, events::Candidate& e) {
  VideoInfo& video = e.video;
  a("id", e.id);
  a.maybe("label", e.label);
  a("path", e.path);
  a("sha256", e.sha256);
  a("frame_count", video.frame_count);
  a("width", video.width);
  a("height", video.height);
  a("fps", video.fps);
  a("duration", video.duration);
  a("container", video.container);
  a("codec", video.codec);
  a("pixel_format", video.pixel_format);
  a("rotation", video.rotation);
  a("has_audio", video.has_audio);
  a("has_alpha", video.has_alpha);
  a("variable_frame_rate", video.variable_frame_rate);
  a.maybe("lossless", e.lossless);
  a.maybe("lossless_sha256", e.lossless_sha256);
  a.maybe("draft", e.draft);
}

void describe(auto& a, events::Judged& e) {
  a("judge", e.judge);
  a.maybe("index", e.index);
  a("result", e.result);
}

void describe(auto& a, events::Failed& e) {
  describe(a, e.cost);
  a("code", e.failure.code);
  a("sentence", e.failure.sentence);
}

void describe(auto& a, events::Stopped& e) {
  describe(a, e.cost);
  a("limit", e.limit);
}

void describe(auto& a, events::Waited& e) { a("seconds", e.seconds); }
void describe(auto& a, events::Redone& e) { a("forwards", e.forwards); }

void describe(auto& a, events::WinnerSelected::Place& e) {
  a("candidate", e.candidate);
  a("reward", e.reward);
  a.maybe("judge", e.judge);
}

void describe(auto& a, events::WinnerSelected& e) { a("order", e.order); }
void describe(auto&, events::Finished&) {}

template <typename T>
Json write(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(write(value));
  return list;
}

template <typename T>
void read(const Json& json, const char* name, std::vector<T>& values) {
  if (!json.is_array()) {
    fail("json_malformed", "json", "{} must be a list but is {}: use a file that Bestreel wrote",
         name, json.type_name());
  }
  values.clear();
  for (const Json& value : json) read(value, name, values.emplace_back());
}

template <typename T>
  requires std::is_class_v<T>
Json write(const T& object) {
  Writer writer;
  T copy = object;  // describe() serves both directions
  describe(writer, copy);
  return std::move(writer.json);
}

template <typename T>
  requires std::is_class_v<T>
void read(const Json& json, const char*, T& object) {
  Reader reader{json};
  describe(reader, object);
}

// ---- Kinds
// ---------------------------------------------------------------------------------------

/// The kinds in the order of events::Body.
constexpr std::array<const char*, std::variant_size_v<events::Body>> kKinds{
    "run",       "arrived",        "wave_started",    "steps_done",
    "previewed", "preview_judged", "barrier_decided", "decoded",
    "candidate", "judged",         "failed",          "stopped",
    "waited",    "redone",         "winner_selected", "finished"};

template <std::size_t I = 0>
events::Body read_body(const std::string& kind, const Json& json) {
  if constexpr (I < kKinds.size()) {
    if (kind != kKinds[I]) return read_body<I + 1>(kind, json);
    std::variant_alternative_t<I, events::Body> body;
    read(json, kKinds[I], body);
    return body;
  } else {
    fail("json_malformed", "json", "there is no event of the kind {}", kind);
  }
}

void check(const RunSettings& settings) {
  if (settings.judges.size() != settings.judge_ids.size()) {
    fail("json_malformed", "json",
         "judges and judge_ids must have equal lengths but have {} and {}: use a file that "
         "Bestreel wrote",
         settings.judges.size(), settings.judge_ids.size());
  }
  if (!settings.keep.empty() && settings.keep.size() + 1 != settings.judges.size()) {
    fail("json_malformed", "json",
         "keep must have one count for every judge but the last but has {} for {} judges: use a "
         "file that Bestreel wrote",
         settings.keep.size(), settings.judges.size());
  }
}

}  // namespace

Event encode(const RunEvent& event) {
  const Json body = std::visit([](const auto& each) { return write(each); }, event.body);
  return {.wave = event.wave,
          .step = event.step,
          .candidate = event.candidate,
          .kind = kKinds.at(event.body.index()),
          .body = body.dump(),
          .at = event.at};
}

RunEvent decode(const Event& event) {
  try {
    RunEvent decoded{event.wave, event.step, event.candidate,
                     read_body(event.kind, Json::parse(event.body)), event.at};
    if (const auto* settings = std::get_if<RunSettings>(&decoded.body)) check(*settings);
    return decoded;
  } catch (const std::exception& error) {
    fail("run_foreign", "run",
         "the run holds an event that this version cannot read ({}): use the version that made it",
         error.what());
  }
}

std::vector<RunEvent> decode(const std::vector<Event>& events) {
  std::vector<RunEvent> decoded;
  decoded.reserve(events.size());
  for (const Event& event : events) decoded.push_back(decode(event));
  return decoded;
}

Failure stopped_failure(const std::string& candidate, std::int64_t step, const std::string& limit) {
  return {"budget",
          fmt::format("[session] {} was stopped at step {} by {}", candidate, step, limit)};
}

}  // namespace bestreel
