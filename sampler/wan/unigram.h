// The C face of libsentencepiece, in a module of its own: see tokenizer.cpp for why. Private.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

/// Returns a model, or null with a sentence in `error`.
void* bestreel_unigram_open(const char* path, char* error, std::size_t capacity);
void bestreel_unigram_close(void* model);
int bestreel_unigram_eos(void* model);
/// How many ids the text has, of which at most `capacity` are written; -1: it could not be split.
std::int64_t bestreel_unigram_encode(void* model, const char* text, std::size_t size,
                                     std::int32_t* ids, std::size_t capacity);
}
