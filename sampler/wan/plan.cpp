#include "sampler/wan/plan.h"

#include <algorithm>
#include <map>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"
#include "core/nn/stored.h"

namespace bestreel::wan {
namespace {

constexpr std::int64_t kFaultAround = 65536;  // of a file in the cache, mapped around a fault

std::int64_t size_of(const std::string& op, const std::string& dtype) {
  if (dtype == "fp32") return 4;
  if (dtype == "bf16") return 2;
  fail_usage(op, "the dtype must be fp32 or bf16 but got {}", dtype);
}

std::int64_t transformer_parameters(const TransformerConfig& c) {
  const std::int64_t d = c.dim(), p = c.patch_size[0] * c.patch_size[1] * c.patch_size[2];
  const std::int64_t block = 2 * (4 * (d * d + d) + 2 * d) + 2 * d * c.ffn_dim + c.ffn_dim + d +
                             6 * d + (c.cross_attn_norm ? 2 * d : 0);
  return d * c.in_channels * p + d + d * c.freq_dim + d + d * d + d + 6 * (d * d + d) +
         d * c.text_dim + d + d * d + d + c.num_layers * block + c.out_channels * p * (d + 1) +
         2 * d;
}

std::int64_t text_parameters(const TextConfig& c) {
  const std::int64_t inner = c.num_heads * c.d_kv;
  return c.vocab_size * c.d_model +
         c.num_layers * (4 * inner * c.d_model + 3 * c.d_model * c.d_ff + 2 * c.d_model +
                         c.relative_buckets * c.num_heads) +
         c.d_model;
}

/// A file's bytes and the size of its elements.
struct FileFootprint {
  std::int64_t bytes = 0, element = 4;
  bool in_place = false;  // some of it is float32
};

FileFootprint footprint(const std::string& file, std::int64_t parameters, bool& known) {
  try {
    const Checkpoint checkpoint = Checkpoint::open_file(file);
    const auto bytes = static_cast<std::int64_t>(checkpoint.bytes());
    const auto held = static_cast<std::int64_t>(checkpoint.parameters());
    FileFootprint out{
        bytes, std::max<std::int64_t>(1, (bytes + held / 2) / std::max<std::int64_t>(1, held))};
    for (const TensorEntry& entry : checkpoint.entries()) {
      const StoredFormat* format = stored_format(entry.dtype);
      if (format == nullptr) continue;
      if (format->as == StoredAs::kFloat) out.in_place = true;
      if (format->as == StoredAs::kBlocks || format->bytes == 1) out.element = 1;
    }
    return out;
  } catch (const Error& error) {
    if (error.code() != "checkpoint_missing") throw;
    known = false;
    return {4 * parameters, 4, true};  // as Wan2.1 is published
  }
}

/// Resident once used: the mapped file, or what it was converted to. A file of which float32
/// tensors are used in place (the islands) stays mapped as a whole; numbers of eight bits and
/// GGUF's blocks are never used packed.
std::int64_t resident(const FileFootprint& file, std::int64_t parameters, std::int64_t wanted) {
  if (file.element == wanted) return file.bytes;
  return parameters * wanted + (file.in_place ? file.bytes : 0);
}

/// A causal decoder walked through chunk by chunk. Sizes are in elements of its dtype.
class Decoding {
 public:
  Decoding(const VaeConfig& config, std::int64_t height, std::int64_t width)
      : config_(config), height_(height), width_(width) {}

  void run(std::int64_t latent_frames) {
    for (std::int64_t i = 0; i < std::min<std::int64_t>(latent_frames, 3); ++i) {
      const double before = flops;
      chunk(i == 0);
      // From the third chunk on they are all alike.
      if (i == 2) flops += static_cast<double>(latent_frames - 3) * (flops - before);
    }
  }

  std::int64_t peak() const { return meter_.peak(); }
  std::int64_t parameters = 0,
               copied = 0;  ///< of the decoder; of its convolutions that are reordered
  double flops = 0;

 private:
  std::int64_t plane() const { return height_ * width_; }

  /// (frames, in) to (frames, out); the input stays.
  void conv(std::int64_t frames, std::int64_t in, std::int64_t out, std::int64_t time,
            std::int64_t kernel) {
    const std::int64_t weights = in * out * time * kernel * kernel;
    if (first_) parameters += weights + out;
    if (first_) copied += weights;
    flops += 2.0 * static_cast<double>(weights * frames * plane());
    const std::int64_t made = frames * out * plane();
    if (time == 1) {
      meter_.alloc(made);
      meter_.transient(scratch(in, out));
      return;
    }
    const std::int64_t slot = next_slot_++;
    const std::int64_t past = past_[slot];
    const std::int64_t joined = past > 0 ? (past + frames) * in * plane() : 0;
    meter_.alloc(joined + made);
    meter_.transient(scratch(time * in, out));
    const std::int64_t kept = std::min(past + frames, time - 1);
    meter_.transient(kept * in * plane());
    meter_.alloc((kept - past) * in * plane());
    past_[slot] = kept;
    if (frames > 1) meter_.transient(made);  // single frames, then together
    meter_.free(joined);
  }

  /// What the library's convolution reorders: a frame in, a frame out.
  std::int64_t scratch(std::int64_t in, std::int64_t out) const { return (in + out) * plane(); }

  void residual(std::int64_t frames, std::int64_t in, std::int64_t out) {
    const std::int64_t x = frames * in * plane(), y = frames * out * plane();
    if (first_) parameters += in + out;
    meter_.alloc(x);  // normalised
    conv(frames, in, out, 3, 3);
    meter_.free(x);
    meter_.transient(y);  // normalised; the convolution's own is given back
    conv(frames, out, out, 3, 3);
    meter_.free(y);
    if (in != out) {
      conv(frames, in, out, 1, 1);
      meter_.free(y);
    }
    meter_.free(x);  // the block's input; its output stays
  }

  void attention(std::int64_t frames, std::int64_t dim) {
    const std::int64_t x = frames * dim * plane();
    if (first_) parameters += dim + 4 * dim * dim + 4 * dim;
    meter_.alloc(x);
    meter_.alloc(6 * x);  // q, k, v, and in order
    meter_.free(3 * x);
    meter_.transient(3 * x);
    meter_.free(4 * x);
    flops += static_cast<double>(frames * plane()) *
             (8.0 * static_cast<double>(dim * dim) + 4.0 * static_cast<double>(plane() * dim));
  }

  void chunk(bool first) {
    first_ = first;
    next_slot_ = 0;
    const std::int64_t height = height_, width = width_;
    const auto& c = config_;
    const auto levels = static_cast<std::int64_t>(c.dim_mult.size());
    std::int64_t frames = 1, current = c.decoder_base_dim * c.dim_mult.back();
    conv(1, c.z_dim, c.z_dim, 1, 1);
    conv(1, c.z_dim, current, 3, 3);
    meter_.free(c.z_dim * plane());
    residual(1, current, current);
    attention(1, current);
    residual(1, current, current);
    for (std::int64_t i = 0; i < levels; ++i) {
      const auto level = static_cast<std::size_t>(levels - 1 - i);
      const std::int64_t out = c.decoder_base_dim * c.dim_mult[level];
      const std::int64_t input = frames * current * plane();  // the caller holds it
      meter_.alloc(input);
      for (std::int64_t j = 0; j <= c.num_res_blocks; ++j) {
        residual(frames, current, out);
        current = out;
      }
      if (i + 1 < levels) {
        const std::int64_t narrowed = c.is_residual ? out : out / 2;
        if (c.temporal_downsample[level - 1] && !first) {
          conv(frames, out, 2 * out, 3, 1);
          meter_.free(frames * out * plane());
          frames *= 2;
        } else if (c.temporal_downsample[level - 1]) {
          parameters += 2 * out * out * 3 + 2 * out;
          copied += 2 * out * out * 3;
          ++next_slot_;
        }
        const std::int64_t small = frames * out * plane();
        height_ *= 2;
        width_ *= 2;
        meter_.alloc(frames * out * plane());  // doubled
        conv(frames, out, narrowed, 1, 3);
        meter_.free(frames * out * plane() + small);
        if (c.is_residual) meter_.transient(2 * frames * out * plane());
        current = narrowed;
      }
      meter_.free(input);
    }
    const std::int64_t x = frames * current * plane();
    meter_.transient(x);
    conv(frames, current, c.out_channels, 3, 3);
    meter_.free(x + frames * c.out_channels * plane());
    height_ = height;
    width_ = width;
  }

  const VaeConfig& config_;
  std::int64_t height_, width_;
  bool first_ = true;
  std::int64_t next_slot_ = 0;
  std::map<std::int64_t, std::int64_t> past_;  // frames that each convolution remembers
  Meter meter_;
};

std::int64_t denoising_peak(const TransformerConfig& c, std::int64_t tokens, std::int64_t a) {
  Meter meter;
  const std::int64_t x = tokens * c.dim() * a, wide = tokens * c.dim() * 4;
  meter.alloc(x);
  meter.alloc(tokens * c.attention_head_dim * 4);  // the rotation, complex
  meter.transient(3 * tokens * c.attention_head_dim * 4);
  const std::int64_t layer_norm = a == 4 ? 0 : 2 * wide;
  meter.alloc(x);  // normalised
  meter.transient(layer_norm);
  meter.alloc(x);                 // q, rotated
  meter.transient(x + 2 * wide);  // k, normalised, and its product
  meter.alloc(2 * x);             // k, v
  meter.alloc(2 * x);             // what was attended, and in order
  meter.free(5 * x);
  meter.transient(x + 2 * tokens * c.ffn_dim * a);
  meter.transient(x + layer_norm);
  return meter.peak();
}

}  // namespace

GeneratorSize plan_wan(const GeneratorPlanOptions& o) {
  const PipelineConfig config = read_pipeline_config(o.folder, o.overrides);
  const TransformerConfig& t = config.transformer;
  const VaeConfig& vae = config.vae;
  check_size(config, o.size);
  const std::int64_t a = size_of("plan", o.dtype), va = size_of("plan", o.vae_dtype);
  const std::int64_t frames = (o.size.frames - 1) / vae.scale_temporal + 1;
  const std::int64_t height = o.size.height / vae.scale_spatial,
                     width = o.size.width / vae.scale_spatial;
  const std::int64_t latent = vae.z_dim * frames * height * width;
  const bool guided = o.guidance > 1;

  GeneratorSize size;
  size.from_headers = true;
  size.tokens = frames * height * width / (t.patch_size[0] * t.patch_size[1] * t.patch_size[2]);
  GeneratorEstimate& need = size.need;

  const std::int64_t parameters = transformer_parameters(t), d = t.dim();
  const FileFootprint first = footprint(config.files.transformer, parameters, size.from_headers);
  size.transformer_bytes = first.bytes;
  need.denoiser = resident(first, parameters, a);
  if (config.transformer_2) {
    const FileFootprint second =
        footprint(config.files.transformer_2, parameters, size.from_headers);
    size.transformer_bytes += second.bytes;
    need.denoiser += resident(second, parameters, a);
  }
  if (first.element != a && first.element != 4) need.loading = first.bytes;
  // Encoding a prompt runs the text embedder and every block's keys and values of the text.
  const std::int64_t denoisers = config.transformer_2 ? 2 : 1;
  need.denoiser_at_text =
      first.element == a
          ? std::min(need.denoiser,
                     denoisers * a * (2 * d * d * t.num_layers + d * t.text_dim + d * d))
          : need.denoiser;

  const std::int64_t words = text_parameters(config.text),
                     table = config.text.vocab_size * config.text.d_model;
  const FileFootprint text = footprint(config.files.text_encoder, words, size.from_headers);
  size.text_bytes = text.bytes;
  const std::int64_t length = o.prompt_tokens + (guided ? o.negative_tokens : 0);
  need.text_encoder =
      text.element == a ? text.bytes - std::max<std::int64_t>(0, table * a - length * kFaultAround)
                        : resident(text, words, a) + (text.element == 4 ? 0 : text.bytes);
  need.text_activations = o.prompt_tokens * (6 * config.text.d_model + 3 * config.text.d_ff) * a +
                          3 * config.text.num_heads * o.prompt_tokens * o.prompt_tokens * 4;
  need.conditioning = denoisers * 2 * t.num_layers * d * a *
                      (o.prompt_tokens + 1 + (guided ? o.negative_tokens + 1 : 0));

  Decoding decoding(vae, height, width);
  decoding.run(frames);
  const FileFootprint coder =
      footprint(config.files.vae, 2 * decoding.parameters, size.from_headers);
  size.vae_bytes = coder.bytes;
  // The decoder's half of the file, and its convolutions once more, frames before channels.
  need.vae = coder.element * decoding.parameters + decoding.copied * va;
  need.denoise_activations = denoising_peak(t, size.tokens, a) + 6 * latent * 4;
  need.denoise_activations += allocator_slack(need.denoise_activations);
  need.video = o.size.frames * 3 * o.size.height * o.size.width;
  need.decode_activations = decoding.peak() * va + need.video;
  need.decode_activations += allocator_slack(need.decode_activations);
  // The latents, the last step's velocity and estimate, and the solver's past.
  need.trajectory = 6 * latent * 4;

  const auto n = static_cast<double>(size.tokens), blocks = static_cast<double>(t.num_layers);
  need.forward_flops =
      2 * n * static_cast<double>(t.num_layers * (6 * d * d + 2 * d * t.ffn_dim)) +
      4 * n * n * static_cast<double>(d) * blocks +
      4 * n * static_cast<double>(o.prompt_tokens + 1) * static_cast<double>(d) * blocks;
  need.forwards_per_candidate = static_cast<double>(o.steps) * (guided ? 2 : 1);
  need.decode_flops = decoding.flops;
  need.text_flops = 2.0 * static_cast<double>(length) * static_cast<double>(words - table);
  return size;
}

}  // namespace bestreel::wan
