#include "reward/videoscore2/model.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstring>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/device.h"

namespace bestreel::videoscore2 {
namespace {

// Two checkpoints of one architecture have equal headers: a few bytes of every tensor tell them
// apart.
std::string digest_of(const CheckpointConfig& config, const Checkpoint& checkpoint) {
  constexpr std::int64_t kSample = 64;
  std::string text = config.digest + sha256_file(config.folder + "/tokenizer.json");
  for (const TensorEntry& entry : checkpoint.entries()) {
    text += fmt::format("{} {} {}-{}\n", entry.name, entry.dtype, entry.begin, entry.end);
    const at::Tensor tensor = checkpoint.tensor(entry.name);
    const auto bytes = static_cast<std::int64_t>(tensor.nbytes());
    const auto* data = static_cast<const char*>(tensor.const_data_ptr());
    for (const std::int64_t begin : {std::int64_t{0}, bytes / 2})
      text.append(data + begin, static_cast<std::size_t>(std::min(kSample, bytes - begin)));
  }
  return sha256(text);
}

}  // namespace

Model::Model(CheckpointConfig config, Tokenizer tokenizer, const Weights& weights,
             std::string digest, at::Device device)
    : config_(std::move(config)),
      tokenizer_(std::move(tokenizer)),
      vision_(weights, config_.model.vision),
      language_(weights, config_.model.text),
      ends_(config_.generation.eos_token_ids),
      digest_(std::move(digest)),
      activations_(weights.activations()),
      device_(device) {
  if (ends_.empty())
    if (const auto end = tokenizer_.id_of("<|im_end|>")) ends_.push_back(*end);
}

std::shared_ptr<const Model> Model::load(const std::string& folder, at::ScalarType activations,
                                         bool int8, at::Device device) {
  CheckpointConfig config = read_checkpoint_config(folder);
  Tokenizer tokenizer = Tokenizer::from_file(folder + "/tokenizer.json");
  if (tokenizer.vocabulary_size() > config.model.text.vocab_size)
    fail("checkpoint_unsupported", "checkpoint",
         "{}/tokenizer.json has ids up to {}, but config.json has a vocabulary of {}: the files "
         "belong to different checkpoints",
         folder, tokenizer.vocabulary_size() - 1, config.model.text.vocab_size);
  const Checkpoint checkpoint = Checkpoint::open(folder);
  std::string digest = digest_of(config, checkpoint);
  const Weights weights(checkpoint.to(device), activations,
                        int8 ? int8_weights(checkpoint, digest) : Int8Weights{});
  return std::shared_ptr<const Model>(
      new Model(std::move(config), std::move(tokenizer), weights, std::move(digest), device));
}

Prompt Model::prefill(const std::vector<std::int64_t>& prompt, const at::Tensor& patches,
                      const Grid& grid, double seconds_per_grid, bool last_only,
                      const std::function<void()>& check) const {
  const VisionConfig& v = config_.model.vision;
  const auto first = std::find(prompt.begin(), prompt.end(), config_.model.video_token_id);
  const std::int64_t begin = first - prompt.begin();
  const auto count = std::count(prompt.begin(), prompt.end(), config_.model.video_token_id);
  const std::int64_t features =
      grid[0] * grid[1] * grid[2] / (v.spatial_merge_size * v.spatial_merge_size);
  if (count != features)
    fail("prompt_malformed", "judge", "the prompt must hold {} video tokens but holds {}", features,
         count);

  const at::Tensor ids = at::tensor(prompt, at::kLong).to(device_);
  at::Tensor x = language_.embed(ids);
  x.narrow(0, begin, features).copy_(vision_(patches.to(device_), grid, check));

  const RopePositions where =
      rope_positions(static_cast<std::int64_t>(prompt.size()), begin, grid, v, seconds_per_grid);
  const at::Tensor positions =
      at::stack({at::tensor(where.axes[0], at::kLong), at::tensor(where.axes[1], at::kLong),
                 at::tensor(where.axes[2], at::kLong)})
          .to(device_);
  const auto cache = std::make_shared<KvCache>(
      config_.model.text, static_cast<std::int64_t>(prompt.size()), x.options());
  const at::Tensor hidden = language_.prefill(x, positions, *cache, last_only, check);
  return {cache, where.next, hidden};
}

Sequence Model::fork(const Prompt& prompt, std::int64_t capacity) const {
  return {KvCache::fork(prompt.cache, capacity), prompt.cache->length(),
          language_.make_rope(prompt.position, capacity)};
}

at::Tensor Model::step(std::span<const NextToken> rows) const {
  std::vector<std::int64_t> ids;
  std::vector<DecodeRow> decode;
  std::int64_t ahead = 0;  // tokens of this step that stand before the row in its sequence
  for (const NextToken& row : rows) {
    Sequence& sequence = *row.sequence;
    ahead = !decode.empty() && decode.back().cache == &sequence.cache ? ahead + 1 : 0;
    const std::int64_t place = sequence.cache.length() + ahead - sequence.begin;
    ids.push_back(row.id);
    decode.push_back({&sequence.cache, {sequence.rope.cos[place], sequence.rope.sin[place]}});
  }
  return language_.decode(language_.embed(nn::upload(at::tensor(ids, at::kLong), device_)), decode);
}

}  // namespace bestreel::videoscore2
