// The C face of the tiny world: what training code in Python calls through ctypes, so that there is
// one renderer and one oracle. Every function may be called from any thread.
//
// Clips are uint8 RGB of shape (kFrames, kSide, kSide, 3) = (17, 64, 64, 3), shown at 4 per second.
// Texts are UTF-8 with a final zero. Functions return 0, or -1 with the sentence in tw_error().
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The sentence of this thread's last failure.
BESTREEL_API const char* tw_error(void);

/// Draws `count` samples; sample i depends on (options, seed + i) alone.
///   options  JSON object, every key optional:
///            "split": "train" | "dev" | "test"      which prompts may be drawn ("train")
///            "flaws": "none" | "mixed" | a list such as ["noise", "teleport"]    ("mixed": none in
///                     a quarter of the samples, else one to three flaws of any dimension)
///            "chroma": probability of a 4:2:0 round trip, as an mp4 would do (0)
///            "labels": true: the oracle's answer is part of each sample (false: faster)
///   frames   count x 17 x 64 x 64 x 3 bytes, or null (prompts alone)
///   json     receives a JSON list of
///            {"prompt", "flaws": [{"kind", "severity"}], "severity": {"visual", "text",
///            "physical"},
///             and with labels all keys of tw_oracle}
BESTREEL_API int tw_samples(uint64_t seed, int count, const char* options, uint8_t* frames,
                            char* json, size_t capacity);

/// Renders one prompt. `flaws` is a JSON list of {"kind", "severity"}; "[]" = flawless.
BESTREEL_API int tw_render(const char* prompt, const char* flaws, uint64_t seed, uint8_t* frames);

/// Adds visual flaws (noise, blur, flicker, blocking) to any frames (count, height, width, 3).
BESTREEL_API int tw_damage(const char* flaws, uint64_t seed, int count, int height, int width,
                           uint8_t* frames);

/// What the oracle says of a clip of any size, from its pixels and the prompt alone:
///   {"truth": {"visual_quality", "text_alignment", "physical_consistency"},   1..5
///    "reason": {the same three keys: one sentence each},
///    "rationale": one line in the form that the small judge learns,
///    "seen": [[size, colour, shape, motion], ...], "background": name, "measures": {name: number}}
BESTREEL_API int tw_oracle(const char* prompt, const uint8_t* frames, int count, int height,
                           int width, char* json, size_t capacity);

/// Every word of the grammar and of the rationale, as a JSON list: the vocabulary of a tokenizer.
BESTREEL_API int tw_words(char* json, size_t capacity);

#ifdef __cplusplus
}
#endif
