#include "reward/videoscore2/plan.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"
#include "reward/videoscore2/config.h"
#include "reward/videoscore2/frames.h"
#include "reward/videoscore2/int8_weights.h"
#include "reward/videoscore2/profile.h"

namespace bestreel {
namespace {

using namespace videoscore2;

// As in vision.cpp, language.cpp, linear.cpp and reader.cpp.
constexpr std::int64_t kVisionChunk = 8192, kMlpRows = 4096, kWidened = std::int64_t{4} << 22;
constexpr std::int64_t kAnswerRoom = 128, kForcedBlock = 150;
// Around a fault the kernel maps this much of a file that is in its cache.
constexpr std::int64_t kFaultAround = 65536;
// The chat's marks, system turn and query around the user's prompt, where no template says more.
constexpr std::int64_t kPromptTokens = 400;

/// Parameters of each part.
struct Parameters {
  std::int64_t vision = 0, embedding = 0, layers = 0, head = 0;
};

Parameters count(const ModelConfig& model) {
  const VisionConfig& v = model.vision;
  const TextConfig& t = model.text;
  Parameters p;
  const std::int64_t h = v.hidden_size, i = v.intermediate_size;
  const std::int64_t merged = h * v.spatial_merge_size * v.spatial_merge_size;
  p.vision = h * v.in_channels * v.temporal_patch_size * v.patch_size * v.patch_size +
             v.depth * (2 * h + 4 * h * h + 4 * h + 3 * h * i + 2 * i + h) + h + merged * merged +
             merged + v.out_hidden_size * merged + v.out_hidden_size;
  const std::int64_t hidden = t.hidden_size, kv = t.num_kv_heads * t.head_dim();
  p.embedding = t.vocab_size * hidden;
  p.layers = t.num_layers * (2 * hidden * hidden + hidden + 2 * (kv * hidden + kv) +
                             3 * hidden * t.intermediate_size + 2 * hidden) +
             hidden;
  p.head = t.tie_word_embeddings ? 0 : p.embedding;
  return p;
}

/// Bytes of a parameter where there are no weights to ask.
std::int64_t declared_size(const std::string& folder) {
  std::ifstream stream(folder + "/config.json");
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (json.is_object() && json.contains(key) && json[key] == "float32") return 4;
  }
  return 2;
}

/// The vision tower over `rows` patches at a time.
std::int64_t vision_peak(const VisionConfig& v, std::int64_t rows, std::int64_t a) {
  Meter meter;
  const std::int64_t x = rows * v.hidden_size * a, wide = rows * v.hidden_size * 4;
  meter.alloc(x);
  meter.transient(x);  // ordered by windows: a copy
  meter.alloc(x);      // normalised
  meter.transient(a == 4 ? x : 2 * wide);
  meter.alloc(3 * x);  // q, k, v in one
  meter.alloc(2 * wide);
  meter.transient(2 * wide);  // the halves of a rotation
  meter.alloc(2 * x);         // attended, and a segment's own result
  meter.free(3 * x + 2 * wide + 2 * x);
  meter.transient(2 * rows * v.intermediate_size * a);
  return meter.peak();
}

/// The language model over a prompt of `rows` tokens.
std::int64_t prompt_peak(const TextConfig& t, std::int64_t rows, std::int64_t a) {
  Meter meter;
  const std::int64_t x = rows * t.hidden_size * a, kv = rows * t.num_kv_heads * t.head_dim() * a;
  meter.alloc(2 * x);  // the caller's embeddings and our own copy
  meter.alloc(x);      // normalised
  meter.transient(a == 4 ? x : rows * t.hidden_size * 8);
  meter.transient(3 * kv);
  meter.transient(3 * x);  // a query, rotated, and the halves
  meter.transient(3 * x);  // the rotated query, what it attended, and in order
  meter.free(x);
  const std::int64_t part = std::min(rows, kMlpRows);
  meter.transient(2 * part * t.hidden_size * a + 2 * part * t.intermediate_size * a);
  return meter.peak();
}

}  // namespace

JudgeSize plan_videoscore2(const JudgePlanOptions& o) {
  const CheckpointConfig config = read_checkpoint_config(o.folder);
  const VisionConfig& v = config.model.vision;
  const TextConfig& t = config.model.text;
  const Parameters parameters = count(config.model);
  if (o.dtype != "fp32" && o.dtype != "bf16") {
    fail_usage("plan", "dtype must be fp32 or bf16, but got {}", o.dtype);
  }
  const std::int64_t a = o.dtype == "bf16" ? 2 : 4;

  JudgeSize size;
  std::int64_t element = declared_size(o.folder);
  size.file_bytes =
      element * (parameters.vision + parameters.embedding + parameters.layers + parameters.head);
  try {
    const Checkpoint checkpoint = Checkpoint::open(o.folder);
    size.file_bytes = static_cast<std::int64_t>(checkpoint.bytes());
    element = size.file_bytes /
              std::max<std::int64_t>(1, static_cast<std::int64_t>(checkpoint.parameters()));
    size.from_headers = true;
  } catch (const Error& error) {
    if (error.code() != "checkpoint_missing") throw;
  }

  FrameOptions look{o.fps > 0 ? o.fps : videoscore2_profile().fps, o.max_frames};
  const FramePlan plan = plan_frames(o.video, look, config.processor);
  size.frames = std::ssize(plan.frames);
  const std::int64_t patches = plan.grid[0] * plan.grid[1] * plan.grid[2];
  const std::int64_t features = patches / (v.spatial_merge_size * v.spatial_merge_size);
  // A token of running text is about four bytes.
  const std::int64_t text = kPromptTokens + o.prompt_bytes / 4;
  const std::int64_t rows = features + text;
  size.prompt_tokens = rows;

  JudgeEstimate& need = size.need;
  need.name = "judge";
  need.samples = o.samples;
  need.max_slots = o.max_slots;
  // Rows of the table are read one by one, each with its neighbours in the page cache.
  if (!t.tie_word_embeddings) {
    size.untouched =
        std::max<std::int64_t>(0, element * parameters.embedding - (text + 1) * kFaultAround);
  }
  need.weights = size.file_bytes - size.untouched;
  const std::int64_t language = parameters.layers + parameters.head;
  if (o.int8) need.weights += -element * language + language + 4 * language / kInt8Group;

  const std::int64_t frame = plan.grid[1] * plan.grid[2];
  const std::int64_t chunk =
      std::min(plan.grid[0], std::max<std::int64_t>(1, kVisionChunk / frame)) * frame;
  const std::int64_t pixels = v.in_channels * v.temporal_patch_size * v.patch_size * v.patch_size;
  Meter meter;
  meter.alloc(patches * pixels * 4);
  // Frames of the file as the decoder keeps them, and two of them on their way to patches.
  const std::int64_t picture = o.video.width * static_cast<std::int64_t>(o.video.height);
  meter.alloc(16 * picture * 3 / 2);
  meter.transient(2 * 3 * plan.height * plan.width * 4 * 4);
  if (a != element || o.int8) meter.alloc(kWidened);  // a slice of the weights, widened
  meter.alloc(rows * t.hidden_size * a);              // embeddings
  Meter vision = meter;
  vision.alloc(features * v.out_hidden_size * a);
  vision.transient(vision_peak(v, chunk, a));
  Meter language_meter = meter;
  language_meter.free(rows * t.hidden_size * a);  // counted in prompt_peak
  language_meter.transient(prompt_peak(t, rows, a));
  need.activations = std::max(vision.peak(), language_meter.peak());
  need.activations += allocator_slack(need.activations);

  const std::int64_t per_token = t.num_layers * 2 * t.num_kv_heads * t.head_dim() * a;
  need.tokens = static_cast<double>(o.rationale > 0 ? o.rationale + kAnswerRoom / 2 : 30);
  need.prompt_cache = rows * per_token;
  need.slot =
      (o.rationale + kAnswerRoom + kForcedBlock) * (per_token + 8 + 40) + 6 * 4 * t.vocab_size;

  const auto n = static_cast<double>(rows), m = static_cast<double>(patches);
  const auto per_frame = static_cast<double>(frame);
  need.prefill_flops = 2 * m * static_cast<double>(parameters.vision) +
                       4 * m * per_frame * static_cast<double>(v.hidden_size) *
                           static_cast<double>(v.full_attention_blocks.size()) +
                       2 * n * static_cast<double>(parameters.layers) +
                       2 * n * n * static_cast<double>(t.hidden_size * t.num_layers);
  const double matrices = static_cast<double>(parameters.layers + parameters.embedding);
  need.decode_bytes = matrices * (o.int8 ? 1.0 : static_cast<double>(element));
  need.decode_flops = 2 * matrices;
  return size;
}

}  // namespace bestreel
