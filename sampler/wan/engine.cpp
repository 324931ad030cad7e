#include "sampler/wan/engine.h"

#include <c10/core/InferenceMode.h>

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/runtime.h"
#include "plugin/evaluate.h"
#include "sampler/device_video.h"
#include "sampler/schedulers/noise.h"
#include "sampler/wan/tiny_decoder.h"

namespace bestreel::wan {
namespace {

double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

using Spare = std::function<void()>;

/// `work`; once more after `spare` where the machine gave out.
template <typename Work, typename Release>
auto retry_after_trim(const Work& work, const Release& spare) {
  try {
    return work();
  } catch (const Error& error) {
    if (!is_machine_failure(error.code())) throw;
  }
  spare();
  return work();
}

/// Returns the forwards that it took.
std::int64_t advance_one(Trajectory& trajectory, const Spare& spare) {
  const std::int64_t before = trajectory.forwards();
  retry_after_trim(
      [&] {
        // A copy shares its tensors; where the step fails, the trajectory is as it was before.
        Trajectory next = trajectory;
        next.advance();
        trajectory = std::move(next);
      },
      spare);
  return trajectory.forwards() - before;
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
    capabilities_.lookahead = true;
    capabilities_.branching = true;
    capabilities_.renoise = true;
    capabilities_.keeps_states = options_.keep_bytes > 0;
    capabilities_.steps = static_cast<int>(s.steps);
    // The last step of every stochastic solver is free of noise.
    capabilities_.stochastic_until =
        s.noise.stochastic == Stochastic::kNone || s.noise.eta == 0 ? 0 : capabilities_.steps - 1;
    capabilities_.forwards_per_step = s.guidance > 1 ? 2 : 1;
  }

  const EngineCapabilities& capabilities() const override { return capabilities_; }

  void run(std::span<const Start> starts, SamplerCallback& callback) override {
    const c10::InferenceMode no_grad;
    nn::set_threads(options_.threads);
    std::vector<Live> wave = begin(starts, callback);
    int step = starts.empty() ? 0 : starts.front().state.step();
    while (step < capabilities_.steps && !wave.empty()) {
      const int next = callback.next_stop(step);
      std::vector<Live> arrived;
      for (Live& live : wave) {
        const Spare spare = [&] { free_memory(wave, live.id, arrived); };
        if (take_to(live, next, callback, spare)) arrived.push_back(std::move(live));
      }
      if (next == capabilities_.steps) break;
      wave = resample(std::move(arrived), callback.resample_at(next), next);
      step = next;
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// What there is of one prompt, for as long as waves ask for it.
  struct Prompt {
    ConditioningPtr conditioning;
    std::unique_ptr<StateCache<Trajectory>> kept;
  };
  using Texts = std::pair<std::string, std::string>;

  struct Live {
    CandidateId id = 0;
    State state;  ///< as it began, or was made at a barrier
    std::shared_ptr<Prompt> prompt;
    std::optional<Trajectory> trajectory;  ///< evaluated when its first step is due
  };

  /// Makes a State of one prompt: see plugin/evaluate.h.
  struct Evaluation {
    const WanEngine& engine;
    const Prompt& prompt;
    const Spare& spare;
    std::int64_t forwards = 0;

    std::optional<Trajectory> kept(const State& state) const { return prompt.kept->find(state); }
    Trajectory begin(const Noise& noise, const std::string& key) const {
      const Pipeline& pipeline = *engine.pipeline_;
      const Settings& settings = engine.options_.settings;
      return retry_after_trim(
          [&] {
            return pipeline.start(prompt.conditioning, settings,
                                  draw(noise, pipeline, settings.size), key);
          },
          spare);
    }
    void advance(Trajectory& trajectory, int step) {
      while (trajectory.step() < step) forwards += advance_one(trajectory, spare);
    }
    void fork(Trajectory& trajectory, const std::string& key) const {
      trajectory = trajectory.fork(key);
    }
    void renoise(Trajectory& trajectory, int step, std::uint64_t, const std::string& key) const {
      retry_after_trim([&] { trajectory.renoise(step, key); }, spare);
    }
  };

  /// What a piece of one candidate's work gave, or why it gave nothing. Only the engine's own work
  /// goes through here: what the callback throws passes.
  template <typename Work>
  static std::optional<Failure> failure_of(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      return Failure{error.code(), error.what()};
    }
    return std::nullopt;
  }

  std::vector<Live> begin(std::span<const Start> starts, SamplerCallback& callback) {
    // Prompts that this wave does not have are let go, with all that was kept of them.
    std::map<Texts, std::shared_ptr<Prompt>> prompts;
    for (const Start& start : starts) {
      const Texts texts{start.condition.prompt, start.condition.negative};
      if (const auto known = prompts_.find(texts); known != prompts_.end()) prompts.insert(*known);
    }
    prompts_ = std::move(prompts);
    std::vector<Live> wave;
    for (const Start& start : starts) {
      const auto failure = failure_of([&] {
        require_possible(start);
        wave.push_back({start.id, start.state, prompt_of(start.condition), {}});
      });
      if (failure) callback.failed(start.id, start.state.step(), *failure, {});
    }
    pipeline_->free_text_encoder();
    return wave;
  }

  void require_possible(const Start& start) const {
    if (start.draft) fail_usage("generate", "candidates must be made whole: wan has no drafts");
    if (start.state.step() >= capabilities_.steps) {
      fail_usage("generate", "candidates must begin before step {}, but {} is at {}",
                 capabilities_.steps, start.state.text(), start.state.step());
    }
  }

  std::shared_ptr<Prompt> prompt_of(const Condition& condition) {
    std::shared_ptr<Prompt>& prompt = prompts_[{condition.prompt, condition.negative}];
    if (prompt) return prompt;
    auto made = std::make_shared<Prompt>();
    made->conditioning = retry_after_trim(
        [&] {
          return pipeline_->encode(condition.prompt, condition.negative,
                                   options_.settings.guidance > 1);
        },
        [&] { release(); });
    made->kept =
        std::make_unique<StateCache<Trajectory>>(static_cast<std::size_t>(options_.keep_bytes));
    return prompt = std::move(made);
  }

  /// Gives up what can be computed again, and what the allocator keeps goes back to the system.
  void release() {
    for (auto& [texts, prompt] : prompts_) {
      if (prompt) {
        prompt->kept =
            std::make_unique<StateCache<Trajectory>>(static_cast<std::size_t>(options_.keep_bytes));
      }
    }
#ifdef __GLIBC__
    malloc_trim(0);
#endif
  }

  /// The smaller plan when memory runs out: nothing is held for the others but what a step needs.
  void free_memory(std::vector<Live>& wave, CandidateId running, std::vector<Live>& arrived) {
    for (auto* group : {&wave, &arrived}) {
      for (Live& live : *group) {
        if (live.id != running && live.trajectory) live.trajectory->forget_last();
      }
    }
    release();
  }

  /// Denoises one candidate to `next`, shows it there. False: it does not go on.
  bool take_to(Live& live, int next, SamplerCallback& callback, const Spare& spare) {
    if (!live.trajectory && !restore(live, callback, spare)) return false;
    const int from = static_cast<int>(live.trajectory->step());
    if (!callback.request_steps(live.id, from, next)) return false;
    const Clock::time_point begin = Clock::now();
    Cost spent;
    for (int step = from; step < next;) {
      const auto failure = failure_of([&] {
        spent.forwards += static_cast<double>(advance_one(*live.trajectory, spare));
        ++step;
      });
      spent.seconds = since(begin);
      if (failure) {
        callback.failed(live.id, step, *failure, spent);
        return false;
      }
      if (step < next && !callback.stepped(live.id, step)) {
        callback.on_steps_done(live.id, step, spent);
        return false;
      }
    }
    callback.on_steps_done(live.id, next, spent);
    if (capabilities_.keeps_states && callback.keep_state(live.id, next)) keep(live, next);
    if (next == capabilities_.steps) {
      finish(live, callback, spare);
      return false;
    }
    if (const auto request = callback.wants_preview(live.id, next)) {
      show(live, next, *request, callback, spare);
    }
    return true;
  }

  /// The candidate's State, where it is not there yet.
  bool restore(Live& live, SamplerCallback& callback, const Spare& spare) const {
    const Clock::time_point begin = Clock::now();
    Evaluation evaluation{*this, *live.prompt, spare};
    const auto failure =
        failure_of([&] { live.trajectory = evaluate<Trajectory>(live.state, evaluation); });
    const Cost spent{static_cast<double>(evaluation.forwards), since(begin), 0};
    if (failure) {
      callback.failed(live.id, live.state.step(), *failure, spent);
      return false;
    }
    if (evaluation.forwards > 0) callback.restored(live.id, spent);
    return true;
  }

  static void keep(const Live& live, int step) {
    Trajectory kept = *live.trajectory;
    kept.forget_last();
    const auto bytes = static_cast<std::size_t>(kept.bytes());
    live.prompt->kept->put(State::at(live.state, step), std::move(kept), bytes);
  }

  DecodedFrames frames_of(const at::Tensor& latents, PreviewDecoder decoder,
                          const Spare& spare) const {
    return retry_after_trim(
        [&] {
          return make_device_video(
              (decoder == PreviewDecoder::kPreview && preview_ ? preview_->frames(latents)
                                                               : pipeline_->decode(latents))
                  .contiguous(),
              options_.fps);
        },
        spare);
  }

  void show(const Live& live, int step, const PreviewRequest& request, SamplerCallback& callback,
            const Spare& spare) const {
    const Clock::time_point begin = Clock::now();
    Cost spent;
    DecodedFrames shown = Failure{};
    const auto failure = failure_of([&] {
      at::Tensor latents = live.trajectory->x0_hat();
      if (request.lookahead > 0) {
        Trajectory ahead = live.trajectory->without_noise();
        const int to = std::min(step + request.lookahead, capabilities_.steps);
        while (ahead.step() < to) {
          spent.forwards += static_cast<double>(advance_one(ahead, spare));
        }
        latents = ahead.done() ? ahead.x() : ahead.x0_hat();
      }
      shown = frames_of(latents, request.decoder, spare);
    });
    if (failure) shown = *failure;
    spent.seconds = since(begin);
    callback.preview(live.id, step, std::move(shown), spent);
  }

  void finish(Live& live, SamplerCallback& callback, const Spare& spare) const {
    const Clock::time_point begin = Clock::now();
    DecodedFrames video = Failure{};
    const auto failure =
        failure_of([&] { video = frames_of(live.trajectory->x(), PreviewDecoder::kFull, spare); });
    live.trajectory.reset();
    const Cost spent{0, since(begin), 0};
    if (failure) {
      callback.failed(live.id, capabilities_.steps, *failure, spent);
    } else {
      callback.finished(live.id, std::get<VideoPtr>(std::move(video)), spent);
    }
  }

  static std::vector<Live> resample(std::vector<Live> arrived,
                                    const std::vector<Assignment>& assignments, int step) {
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
        continue;
      }
      const State state = State::fork(State::at(from.state, step), assignment.key);
      next.push_back({assignment.id, state, from.prompt, from.trajectory->fork(state.text())});
    }
    return next;
  }

  std::shared_ptr<Pipeline> pipeline_;
  EngineOptions options_;
  std::optional<TinyDecoder> preview_;
  EngineCapabilities capabilities_;
  std::map<Texts, std::shared_ptr<Prompt>> prompts_;  ///< of the last wave
};

}  // namespace

std::unique_ptr<Engine> make_engine(std::shared_ptr<Pipeline> pipeline, EngineOptions options) {
  return std::make_unique<WanEngine>(std::move(pipeline), std::move(options));
}

}  // namespace bestreel::wan
