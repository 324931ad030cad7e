#include "sampler/wan/unigram.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#define EXPORT __attribute__((visibility("default")))

namespace {
using Model = sentencepiece::SentencePieceProcessor;
}

extern "C" {

EXPORT void* bestreel_unigram_open(const char* path, char* error, std::size_t capacity) {
  auto* model = new Model;
  if (const auto status = model->Load(path); !status.ok()) {
    const std::string text = status.ToString().substr(0, capacity - 1);
    std::memcpy(error, text.c_str(), text.size() + 1);
    delete model;
    return nullptr;
  }
  return model;
}

EXPORT void bestreel_unigram_close(void* model) { delete static_cast<Model*>(model); }

EXPORT int bestreel_unigram_eos(void* model) { return static_cast<Model*>(model)->eos_id(); }

EXPORT std::int64_t bestreel_unigram_encode(void* model, const char* text, std::size_t size,
                                            std::int32_t* ids, std::size_t capacity) {
  std::vector<int> pieces;
  if (!static_cast<Model*>(model)->Encode({text, size}, &pieces).ok()) return -1;
  std::copy_n(pieces.begin(), std::min(capacity, pieces.size()), ids);
  return static_cast<std::int64_t>(pieces.size());
}
}
