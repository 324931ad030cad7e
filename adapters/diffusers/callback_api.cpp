// SamplerCallback (plugin/engine.h) as C functions: see c_api.h.
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "adapters/diffusers/c_api.h"
#include "adapters/diffusers/handle.h"
#include "core/base/fail.h"

using namespace bestreel;
using c_face::answer;
using c_face::guarded;
using c_face::kOp;
using Json = nlohmann::ordered_json;

namespace {

/// Valid until this thread's next call.
const char* text(const Json& json) {
  answer = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return answer.c_str();
}

const char* text(const std::vector<Assignment>& assignments) {
  Json all = Json::array();
  for (const Assignment& each : assignments) {
    all.push_back({{"id", each.id}, {"parent", each.parent}, {"key", each.key}});
  }
  return text(all);
}

/// The host's frames (count, height, width, 3) as a video that owns a copy.
VideoPtr copy_in(const std::uint8_t* frames, std::int64_t count, std::int64_t height,
                 std::int64_t width, Rational fps) {
  if (frames == nullptr || count < 1 || height < 1 || width < 1) {
    fail_usage(kOp, "frames must be at least one picture, but got {} of {} x {}", count, width,
               height);
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 3;
  if (width > kMost / height || count > kMost / (height * width)) {
    fail_usage(kOp, "frames must fit into memory, but got {} of {} x {}", count, width, height);
  }
  const std::int64_t bytes = count * height * width * 3;
  const std::shared_ptr<std::uint8_t[]> own(new std::uint8_t[static_cast<std::size_t>(bytes)]);
  std::memcpy(own.get(), frames, static_cast<std::size_t>(bytes));
  return video_from_frames({own.get(),
                            DType::kUInt8,
                            {},
                            {count, 3, height, width},
                            {height * width * 3, 1, width * 3, 3},
                            own},
                           fps);
}

std::string checked(const char* words, const char* what) {
  if (words == nullptr) fail_usage(kOp, "{} must be a text, but got none", what);
  return words;
}

}  // namespace

const char* bestreel_error() { return c_face::last_error.c_str(); }
const char* bestreel_error_code() { return c_face::last_code.c_str(); }

const char* bestreel_next_wave(BestreelSession* s) {
  return guarded<const char*>(nullptr, [&] {
    Json wave = Json::array();
    for (const Start& start : s->next_wave()) {
      wave.push_back({{"id", start.id},
                      {"prompt", start.condition.prompt},
                      {"negative", start.condition.negative},
                      {"state", start.state.text()},
                      {"draft", start.draft},
                      {"label", start.label}});
    }
    return text(wave);
  });
}

int bestreel_next_stop(BestreelSession* s, int step) {
  return guarded(-1, [&] { return s->callback->next_stop(step); });
}

int bestreel_restored(BestreelSession* s, int64_t id, double forwards, double seconds,
                      int64_t peak_bytes) {
  return guarded(-1, [&] {
    s->callback->restored(id, {forwards, seconds, peak_bytes});
    return 0;
  });
}

int bestreel_request_steps(BestreelSession* s, int64_t id, int from, int to) {
  return guarded(-1, [&] { return s->callback->request_steps(id, from, to) ? 1 : 0; });
}

int bestreel_stepped(BestreelSession* s, int64_t id, int step) {
  return guarded(-1, [&] { return s->callback->stepped(id, step) ? 1 : 0; });
}

int bestreel_on_steps_done(BestreelSession* s, int64_t id, int step, double forwards,
                           double seconds, int64_t peak_bytes) {
  return guarded(-1, [&] {
    s->callback->on_steps_done(id, step, {forwards, seconds, peak_bytes});
    return 0;
  });
}

int bestreel_keep_state(BestreelSession* s, int64_t id, int step) {
  return guarded(-1, [&] { return s->callback->keep_state(id, step) ? 1 : 0; });
}

const char* bestreel_wants_preview(BestreelSession* s, int64_t id, int step) {
  return guarded<const char*>(nullptr, [&] {
    const std::optional<PreviewRequest> request = s->callback->wants_preview(id, step);
    if (!request) return text(Json());
    const bool full = request->decoder == PreviewDecoder::kFull;
    return text(Json{{"lookahead", request->lookahead}, {"decoder", full ? "full" : "preview"}});
  });
}

int bestreel_preview(BestreelSession* s, int64_t id, int step, const uint8_t* frames, int64_t count,
                     int64_t height, int64_t width, double forwards, double seconds) {
  return guarded(-1, [&] {
    s->callback->preview(id, step, copy_in(frames, count, height, width, s->fps),
                         {forwards, seconds, 0});
    return 0;
  });
}

int bestreel_preview_failed(BestreelSession* s, int64_t id, int step, const char* code,
                            const char* sentence, double forwards, double seconds) {
  return guarded(-1, [&] {
    s->callback->preview(id, step,
                         Failure{checked(code, "the code"), checked(sentence, "the sentence")},
                         {forwards, seconds, 0});
    return 0;
  });
}

const char* bestreel_resample_at(BestreelSession* s, int step) {
  return guarded<const char*>(nullptr, [&] { return text(s->callback->resample_at(step)); });
}

const char* bestreel_arrive(BestreelSession* s, const int64_t* ids, size_t count, int step) {
  return guarded<const char*>(nullptr, [&] {
    return text(s->callback->arrive(std::span<const CandidateId>(ids, count), step));
  });
}

int bestreel_finished(BestreelSession* s, int64_t id, const uint8_t* frames, int64_t count,
                      int64_t height, int64_t width, double seconds) {
  return guarded(-1, [&] {
    s->callback->finished(id, copy_in(frames, count, height, width, s->fps), {0, seconds, 0});
    return 0;
  });
}

int bestreel_failed(BestreelSession* s, int64_t id, int step, const char* code,
                    const char* sentence, double forwards, double seconds) {
  return guarded(-1, [&] {
    s->callback->failed(id, step, {checked(code, "the code"), checked(sentence, "the sentence")},
                        {forwards, seconds, 0});
    return 0;
  });
}
