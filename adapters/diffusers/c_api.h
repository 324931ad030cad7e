// The C face of a Session: what the Python package beside it calls through ctypes.
//
// C and not a Python extension: one library serves every Python, and nothing of Python is needed to
// build it. Private to the two of them and free to change together; texts are UTF-8 with a final
// zero, structured ones JSON.
//
// The methods of a session are SamplerCallback's (plugin/engine.h) under their own names. Functions
// that return int give -1, and those that return a pointer NULL, where something went wrong: then
// error() and error_code() of the calling thread say what. A text that is returned is valid until
// the thread's next call. Several threads may call a session as SamplerCallback says; open, close,
// next_wave and finish are for one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BestreelSession BestreelSession;

/// A judge of the host's own; called from a thread of the session's. `frames` is uint8 RGB of shape
/// (count, height, width, 3), for the time of the call. Writes {"reward": number, "measures":
/// {name: number}} or
/// {"failure": {"code", "sentence"}} into `result`; returns 0.
typedef int (*BestreelJudge)(const uint8_t* frames, int64_t count, int64_t height, int64_t width,
                             char* result, size_t capacity);

BESTREEL_API const char* bestreel_error(void);  ///< the sentence of this thread's last failure
BESTREEL_API const char* bestreel_error_code(
    void);  ///< its stable word; "usage": the caller's mistake

/// The libtorch that the native judge was built with, such as "2.11.0"; empty: none.
BESTREEL_API const char* bestreel_libtorch(void);

/// Begins a run, or goes on with the one in `directory`. `options`:
///   {"recipe": what decides the result: {"prompt", "negative_prompt", "strategy", "seeds":
///              [integer], a strategy's and a judge's own options ("rungs", "lag", "samples", ...),
///              "max_forwards", "max_seconds", "threads"},
///    "place": {"judge": ["pixels" | "tinyworld-oracle" | folder], "template", "device", "overlap":
///             "on" | "off", ...},
///    "host": {"engine", "name": EngineCapabilities' id and name, "steps", "forwards_per_step",
///             "previews": bool, "fps": [num, den], "versions", "judge": {"id", "name"} of
///             `host_judge`, where it judges}}
/// Keys, ranges and defaults are those of the command line's options (app/options.cpp), with
/// underscores; an unknown one is refused with the nearest.
BESTREEL_API BestreelSession* bestreel_open(const char* directory, const char* options,
                                            BestreelJudge host_judge);
BESTREEL_API void bestreel_close(BestreelSession* session);

// ---- SamplerCallback, method by method; times in seconds, memory in bytes, 0 = not known
// ---------

/// [{"id", "prompt", "negative", "state": as State::text(), such as "seed(7)", "draft": bool,
///   "label"}]; empty: no more.
BESTREEL_API const char* bestreel_next_wave(BestreelSession* session);
BESTREEL_API int bestreel_next_stop(BestreelSession* session, int step);
BESTREEL_API int bestreel_restored(BestreelSession* session, int64_t id, double forwards,
                                   double seconds, int64_t peak_bytes);
BESTREEL_API int bestreel_request_steps(BestreelSession* session, int64_t id, int from,
                                        int to);                                    ///< 1 or 0
BESTREEL_API int bestreel_stepped(BestreelSession* session, int64_t id, int step);  ///< 1: go on; 0
BESTREEL_API int bestreel_on_steps_done(BestreelSession* session, int64_t id, int step,
                                        double forwards, double seconds, int64_t peak_bytes);
BESTREEL_API int bestreel_keep_state(BestreelSession* session, int64_t id, int step);  ///< 1 or 0
/// null, or {"lookahead": steps, "decoder": "preview" | "full"}.
BESTREEL_API const char* bestreel_wants_preview(BestreelSession* session, int64_t id, int step);
/// Frames are copied: uint8 RGB (count, height, width, 3). `forwards`: of a lookahead.
BESTREEL_API int bestreel_preview(BestreelSession* session, int64_t id, int step,
                                  const uint8_t* frames, int64_t count, int64_t height,
                                  int64_t width, double forwards, double seconds);
/// A preview that could not be made.
BESTREEL_API int bestreel_preview_failed(BestreelSession* session, int64_t id, int step,
                                         const char* code, const char* sentence, double forwards,
                                         double seconds);
/// Who goes on: [{"id", "parent", "key": integer of 64 bits}].
BESTREEL_API const char* bestreel_resample_at(BestreelSession* session, int step);
/// The same for one of several threads that run one wave: `ids`, `count` of them, are its own.
BESTREEL_API const char* bestreel_arrive(BestreelSession* session, const int64_t* ids, size_t count,
                                         int step);
BESTREEL_API int bestreel_finished(BestreelSession* session, int64_t id, const uint8_t* frames,
                                   int64_t count, int64_t height, int64_t width, double seconds);
BESTREEL_API int bestreel_failed(BestreelSession* session, int64_t id, int step, const char* code,
                                 const char* sentence, double forwards, double seconds);

/// Selects, writes best.mp4 and report.html:
///   {"winner": name or "", "forwards", "judgements", "candidates": [{"name", "noise", "end",
///   "step", "reason",
///    "previews": count, and where it was finished "path", "rank", "reward": number or null,
///    "result": as to_json() or null}]}, by name
BESTREEL_API const char* bestreel_finish(BestreelSession* session);

#ifdef __cplusplus
}
#endif
