// The decode step of a device: one shape for ever, so that it can be recorded and started at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/nn/device_stream.h"
#include "reward/videoscore2/language.h"

namespace bestreel::videoscore2 {

/// Note [One shape]: a device launches some 400 kernels a token, and at few rows that takes longer
/// than the kernels do. So the step is recorded once (nn::Graph), which needs shapes and addresses
/// that never change: every row has its own keys and values of one capacity, the number of rows is
/// fixed, idle rows compute on nothing, and what a row may see is a mask made from its length on
/// the device. A row's bits then depend on nothing but itself (P1): neither the shapes nor, in a
/// product of one shape, the order of its sums depend on the others.
class CapturedDecodeStep {
 public:
  /// `capacity`: tokens a row can hold, prompt included; see capacity_for().
  CapturedDecodeStep(const LanguageModel& model, std::int64_t rows, std::int64_t capacity);
  CapturedDecodeStep(const CapturedDecodeStep&) = delete;
  CapturedDecodeStep& operator=(const CapturedDecodeStep&) = delete;

  /// The capacity for a reading of so many tokens: a power of two, so that few steps are recorded
  /// and a reading's shape follows from its own length alone.
  static std::int64_t capacity_for(std::int64_t tokens);

  std::int64_t rows() const { return rows_; }
  std::int64_t capacity() const { return capacity_; }

  /// The row begins with what the prompt left.
  void join(std::int64_t row, const KvCache& prompt);

  struct Token {
    std::int64_t id = 0;
    std::int64_t length = 0;    ///< tokens of the row that count: the new one is put after them
    std::int64_t position = 0;  ///< rotary, in all three axes
  };
  /// One token for every row; of an idle row Token{}. Returns normalised hidden states
  /// (rows, hidden), valid until the next run. The host does not wait.
  const at::Tensor& run(std::span<const Token> tokens);

 private:
  void step();

  const LanguageModel& model_;
  std::int64_t rows_, capacity_;
  at::Tensor input_;                       // (3, rows) int64: ids, lengths, positions
  at::Tensor places_;                      // (capacity) int64: 0, 1, ...
  std::vector<at::Tensor> keys_, values_;  // a layer: (rows, kv_heads, capacity, head)
  at::Tensor hidden_;                      // (rows, hidden)
  std::unique_ptr<nn::Graph> graph_;       // of step(), recorded by the first run
};

}  // namespace bestreel::videoscore2
