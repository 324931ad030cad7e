#include "sampler/wan/engine.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <malloc.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "sampler/device_video.h"
#include "sampler/schedulers/noise.h"
#include "sampler/wan/tiny_decoder.h"

namespace bestreel::wan {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The tensor that an expression stands for. Fresh noise is drawn from the key like a seed's.
at::Tensor draw(const Noise& noise, const Pipeline& pipeline, const VideoSize& size) {
  return std::visit(
      [&](const auto& form) -> at::Tensor {
        using Form = std::decay_t<decltype(form)>;
        if constexpr (std::is_same_v<Form, Noise::Seed>) {
          return pipeline.noise(form.seed, size);
        } else {
          const at::Tensor parent = draw(*form.parent, pipeline, size);
          const at::Tensor fresh = pipeline.noise(form.key, size);
          if constexpr (std::is_same_v<Form, Noise::Neighbour>) {
            return neighbour_noise(parent, form.cosine, fresh);
          } else {
            return mixed_noise(parent, form.beta, fresh);
          }
        }
      },
      noise.form());
}

class WanEngine final : public Engine {
 public:
  WanEngine(std::shared_ptr<Pipeline> pipeline, EngineOptions options)
      : pipeline_(std::move(pipeline)), options_(std::move(options)) {
    const Settings& s = options_.settings;
    pipeline_->check_size(s.size);
    if (s.steps < 1 || s.steps > 1000) {
      fail_usage("generate", "steps must be between 1 and 1000, but got {}", s.steps);
    }
    if (options_.fps.num < 1 || options_.fps.den < 1) {
      fail_usage("generate", "fps must be positive, but got {}/{}", options_.fps.num,
                 options_.fps.den);
    }
    capabilities_.name = "wan";
    capabilities_.id =
        fmt::format("wan/{} weights={} {}x{}x{} fps={}/{} steps={} guidance={}{} noise={}/{}",
                    pipeline_->digest().substr(0, 16), pipeline_->weights().substr(0, 16),
                    s.size.width, s.size.height, s.size.frames, options_.fps.num, options_.fps.den,
                    s.steps, s.guidance, s.guidance_2 ? fmt::format("/{}", *s.guidance_2) : "",
                    static_cast<int>(s.noise.stochastic), s.noise.eta);
    // Another kind of device rounds otherwise.
    if (!pipeline_->device().is_cpu()) {
      capabilities_.id += fmt::format(
          " on {}", c10::DeviceTypeName(pipeline_->device().type(), /*lower_case=*/true));
    }
    if (!options_.preview_decoder.empty()) {
      preview_ = TinyDecoder::open(options_.preview_decoder, pipeline_->config().vae.z_dim,
                                   pipeline_->device());
      capabilities_.id += fmt::format(" preview={:.16}", sha256_file(options_.preview_decoder));
    }
    capabilities_.scheduling = Scheduling::kPausable;
    capabilities_.previews = true;
    capabilities_.branching = true;
    capabilities_.steps = static_cast<int>(s.steps);
    // The last step of every stochastic solver is free of noise.
    capabilities_.stochastic_until =
        s.noise.stochastic == Stochastic::kNone ? 0 : capabilities_.steps - 1;
    capabilities_.forwards_per_step = s.guidance > 1 ? 2 : 1;
  }

  const EngineCapabilities& capabilities() const override { return capabilities_; }

  void run(std::span<const Start> starts, SamplerCallback& callback) override {
    const c10::InferenceMode no_grad;
    at::set_num_threads(options_.threads);
    std::vector<Live> wave = begin(starts, callback);
    for (int step = 0; step < capabilities_.steps && !wave.empty();) {
      const int next = callback.next_stop(step);
      std::vector<Live> arrived;
      for (std::size_t i = 0; i < wave.size(); ++i) {
        if (!callback.request_steps(wave[i].id, step, next)) continue;
        const auto spare = [&] { return free_memory(wave, wave[i].id, arrived); };
        if (take_to(wave[i], next, callback, spare)) arrived.push_back(std::move(wave[i]));
      }
      wave = next < capabilities_.steps ? resample(std::move(arrived), callback.resample_at(next))
                                        : std::vector<Live>{};
      step = next;
    }
  }

 private:
  struct Live {
    CandidateId id = 0;
    std::string key;
    Noise noise = Noise::seed(0);
    ConditioningPtr conditioning;
    std::optional<Trajectory> trajectory;  ///< begun when its first step is due
  };

  std::vector<Live> begin(std::span<const Start> starts, SamplerCallback& callback) {
    std::map<std::pair<std::string, std::string>, ConditioningPtr> encoded;
    std::vector<Live> wave;
    for (const Start& start : starts) {
      try {
        ConditioningPtr& conditioning = encoded[{start.condition.prompt, start.condition.negative}];
        if (!conditioning) {
          conditioning = pipeline_->encode(start.condition.prompt, start.condition.negative,
                                           options_.settings.guidance > 1);
        }
        const Noise* noise = start.state.noise();
        if (noise == nullptr) {
          fail_usage("generate", "candidates must begin from noise, but got {}",
                     start.state.text());
        }
        wave.push_back({start.id, noise->text(), *noise, conditioning, {}});
      } catch (const Error& error) {
        callback.failed(start.id, 0, {error.code(), error.what()}, {});
      }
    }
    pipeline_->free_text_encoder();
    return wave;
  }

  /// The smaller plan when memory runs out: nothing is held for the others but what a step needs,
  /// and what the allocator keeps goes back to the system.
  static void free_memory(std::vector<Live>& wave, CandidateId running,
                          std::vector<Live>& arrived) {
    for (auto* group : {&wave, &arrived}) {
      for (Live& live : *group) {
        if (live.id != running && live.trajectory) live.trajectory->forget_last();
      }
    }
#ifdef __GLIBC__
    malloc_trim(0);
#endif
  }

  /// `work`; once more after `spare` where memory ran out.
  template <typename Work, typename Spare>
  static auto retry_after_trim(const Work& work, const Spare& spare) {
    try {
      return work();
    } catch (const Error& error) {
      if (error.code() != "out_of_memory") throw;
    }
    spare();
    return work();
  }

  void advance(Live& live) const {
    if (!live.trajectory) {
      live.trajectory =
          pipeline_->start(live.conditioning, options_.settings,
                           draw(live.noise, *pipeline_, options_.settings.size), live.key);
    }
    // A copy shares its tensors; where the step fails, the trajectory is as it was before.
    Trajectory next = *live.trajectory;
    next.advance();
    live.trajectory = std::move(next);
  }

  /// Denoises one candidate to `next`, shows it there. False: it failed, or came to its end.
  template <typename Spare>
  bool take_to(Live& live, int next, SamplerCallback& callback, const Spare& spare) {
    Clock::time_point begin = Clock::now();
    const auto forwards = [&] { return live.trajectory ? live.trajectory->forwards() : 0; };
    const auto step = [&] {
      return live.trajectory ? static_cast<int>(live.trajectory->step()) : 0;
    };
    const std::int64_t before = forwards();
    const auto spent = [&] {
      return Cost{static_cast<double>(forwards() - before), since(begin), 0};
    };
    try {
      while (step() < next) retry_after_trim([&] { advance(live); }, spare);
    } catch (const Error& error) {
      callback.failed(live.id, step(), {error.code(), error.what()}, spent());
      return false;
    }
    callback.on_steps_done(live.id, next, spent());
    const bool last = next == capabilities_.steps;
    if (!last && !callback.wants_preview(live.id, next)) return true;
    begin = Clock::now();
    DecodedFrames shown = Failure{};
    try {
      const at::Tensor latents = last ? live.trajectory->x() : live.trajectory->x0_hat();
      shown = retry_after_trim(
          [&] {
            return make_device_video(
                (!last && preview_ ? preview_->frames(latents) : pipeline_->decode(latents))
                    .contiguous(),
                options_.fps);
          },
          spare);
    } catch (const Error& error) {
      shown = Failure{error.code(), error.what()};
    }
    const Cost decoding{0, since(begin), 0};
    if (!last) {
      callback.preview(live.id, next, std::move(shown), decoding);
      return true;
    }
    live.trajectory.reset();
    // It is judged while the next is denoised.
    if (std::holds_alternative<Failure>(shown)) {
      callback.failed(live.id, next, std::get<Failure>(shown), decoding);
    } else {
      callback.finished(live.id, std::get<VideoPtr>(shown), decoding);
    }
    return false;
  }

  static std::vector<Live> resample(std::vector<Live> arrived,
                                    const std::vector<Assignment>& assignments) {
    std::map<CandidateId, const Live*> by_id;
    for (const Live& live : arrived) by_id[live.id] = &live;
    std::vector<Live> next;
    for (const Assignment& assignment : assignments) {
      const auto parent = by_id.find(assignment.parent);
      if (parent == by_id.end()) {
        fail("engine_broken", "generate",
             "the session lets candidate {} go on from {}, which is not there: "
             "please report this",
             assignment.id, assignment.parent);
      }
      const Live& from = *parent->second;
      if (assignment.parent == assignment.id) {
        next.push_back(from);
      } else {
        const std::string key = fmt::format("{}/fork {}", from.key, assignment.key);
        next.push_back(
            {assignment.id, key, from.noise, from.conditioning, from.trajectory->fork(key)});
      }
    }
    return next;
  }

  std::shared_ptr<Pipeline> pipeline_;
  EngineOptions options_;
  std::optional<TinyDecoder> preview_;
  EngineCapabilities capabilities_;
};

}  // namespace

std::unique_ptr<Engine> make_engine(std::shared_ptr<Pipeline> pipeline, EngineOptions options) {
  return std::make_unique<WanEngine>(std::move(pipeline), std::move(options));
}

}  // namespace bestreel::wan
