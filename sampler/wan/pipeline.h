// Wan text-to-video: the parts of one checkpoint, and a trajectory that is advanced step by step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "sampler/schedulers/stepper.h"
#include "sampler/wan/config.h"
#include "sampler/wan/lora.h"

namespace bestreel::wan {

struct LoadOptions {
  std::string folder;          ///< of a diffusers WanPipeline; may be empty with overrides
  std::string dtype = "fp32";  ///< of denoiser and text encoder: fp32, bf16 (with fp32 islands)
  std::string vae_dtype = "fp32";
  at::Device device = at::kCPU;
  std::vector<LoraFile> lora;  ///< merged into the denoiser that each is for
  ModelOverrides overrides;
  /// Called with sentences that the user should read: LoRA keys that are passed over, prompts that
  /// are cut. May be empty.
  std::function<void(const std::string&)> on_warning;
};

struct VideoSize {
  std::int64_t width = 832, height = 480;  ///< pixels
  std::int64_t frames = 81;
};

struct Settings {
  VideoSize size;
  std::int64_t steps = 50;
  double guidance = 5;               ///< 1 = none, and one forward per step instead of two
  std::optional<double> guidance_2;  ///< below the boundary of Wan2.2; like guidance when absent
  StepOptions noise;
};

/// UsageError for a size or length that the model does not make; says the nearest that it does.
BESTREEL_API void check_size(const PipelineConfig& config, const VideoSize& size);

/// A prompt (and what to avoid) as the denoisers see it. Shared by all trajectories of a prompt.
struct Conditioning;
using ConditioningPtr = std::shared_ptr<const Conditioning>;

class Pipeline;

/// One video being denoised. A copy is a fork: tensors are shared and never written to. Advanced by
/// one thread at a time.
class BESTREEL_API Trajectory {
 public:
  std::int64_t step() const { return stepper_.index(); }  ///< steps taken
  std::int64_t steps() const { return stepper_.steps(); }
  bool done() const { return stepper_.done(); }
  double sigma() const { return stepper_.sigma(); }  ///< noise level of x()
  /// Normalised latents (1, C, T, H, W), float32; x0_hat and v are of the last step, undefined
  /// before the first. Once done, x() is the result.
  const at::Tensor& x() const { return x_; }
  const at::Tensor& x0_hat() const { return last_.x0_hat; }
  const at::Tensor& v() const { return last_.v; }
  const Step& last() const { return last_; }
  /// Denoiser forwards so far, this trajectory's forks not included: each guidance branch is one.
  std::int64_t forwards() const { return forwards_; }

  /// One step. Errors: "out_of_memory", "engine_failed"; a copy made before can take it again.
  void advance();

  /// Drops what the last step has shown, x0_hat() and v(): the next step needs neither.
  void forget_last() { last_ = {}; }

  /// A copy whose later noise (of stochastic steps) is named by `key`.
  Trajectory fork(std::string key) const;
  /// A copy whose later steps draw no noise.
  Trajectory without_noise() const;
  /// Back to the noise level of an earlier step; the noise that is added, and that of later steps,
  /// is named by `key`. Forgets the solver's history.
  void renoise(std::int64_t to_step, std::string key);
  /// Of all that the next step needs; copies share it.
  std::int64_t bytes() const;

 private:
  friend class Pipeline;
  Trajectory(std::shared_ptr<const Pipeline> pipeline, ConditioningPtr conditioning,
             Settings settings, Stepper stepper, at::Tensor x, std::string key);

  std::shared_ptr<const Pipeline> pipeline_;
  ConditioningPtr conditioning_;
  Settings settings_;
  Stepper stepper_;
  at::Tensor x_;
  Step last_;
  std::string key_;
  std::int64_t forwards_ = 0;
};

/// Immutable after loading but for the text encoder, which is loaded by the first encode() and can
/// be freed; encode() and free_text_encoder() are for one thread at a time.
class BESTREEL_API Pipeline : public std::enable_shared_from_this<Pipeline> {
 public:
  /// Errors as read_pipeline_config and Checkpoint; UsageError for another dtype.
  static std::shared_ptr<Pipeline> load(const LoadOptions& options);
  ~Pipeline();

  const PipelineConfig& config() const;
  at::Device device() const;
  /// Torch-free name of the checkpoint and of what was loaded: sha256, for runs.
  const std::string& digest() const;
  /// A cheap fingerprint of all weights and of the tokenizer (Checkpoint::fingerprint), for runs:
  /// who trains a checkpoint further leaves its configuration as it was.
  const std::string& weights() const;

  /// `negative` is not encoded where guidance is 1 and it is not needed: pass with_negative false.
  ConditioningPtr encode(const std::string& prompt, const std::string& negative,
                         bool with_negative = true);
  void free_text_encoder();

  /// UsageError with the rule where this model cannot make such a video.
  void check_size(const VideoSize& size) const;
  std::vector<std::int64_t> latent_shape(const VideoSize& size) const;  ///< (1, C, T, H, W)

  /// What diffusers draws on the CPU for this seed.
  at::Tensor noise(std::uint64_t seed, const VideoSize& size) const;

  /// `key` names the noise of stochastic steps ("seed 7"). UsageError for impossible settings.
  Trajectory start(ConditioningPtr conditioning, const Settings& settings, at::Tensor noise,
                   std::string key) const;

  /// Normalised latents (1, C, T, H, W) to frames (F, 3, H, W) uint8 on the device, quantised as
  /// diffusers' export_to_video does. Errors: "latents_not_finite", "out_of_memory".
  at::Tensor decode(const at::Tensor& latents) const;
  /// The same before quantisation: float in [-1, 1].
  at::Tensor decode_values(const at::Tensor& latents) const;
  /// Frames (F, 3, H, W) uint8 to normalised latents.
  at::Tensor encode_video(const at::Tensor& frames) const;

 private:
  friend class Trajectory;
  struct Impl;
  explicit Pipeline(std::unique_ptr<Impl> impl);
  at::Tensor velocity(const Conditioning& conditioning, const Settings& settings,
                      const at::Tensor& x, double timestep, std::int64_t& forwards) const;

  std::unique_ptr<Impl> impl_;
};

struct Conditioning {
  at::Tensor positive, negative;  ///< (ids, d_model), without padding; negative may be undefined
  std::vector<std::string> warnings;  ///< sentences about the prompts: cut, or misread
  struct Contexts;                    ///< what each denoiser made of them
  std::shared_ptr<const Contexts> contexts;
};

}  // namespace bestreel::wan
