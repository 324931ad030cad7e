// A sampling loop of one's own, on libtorch, that gains best-of-n and halving from Bestreel.
//
//   hook_your_loop best-of-n|halving DIR
//
// The host is a whole flow-matching sampler in one page: its "model" is the exact denoiser of a
// small bank of clips (discs that drift over a gradient, every third one grainy), so it needs no
// weights. What Bestreel adds is marked |.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "plugin/session.h"               // |
#include "plugin/strategies/best_of_n.h"  // |
#include "plugin/strategies/halving.h"    // |
#include "plugin/video_sink.h"            // | the session, two strategies, a judge
#include "reward/pixels/pixels_judge.h"   // |

namespace br = bestreel;
namespace {

constexpr int kFrames = 16, kSide = 64, kSteps = 12, kBank = 96, kCandidates = 6;

/// (kBank, T*3*H*W) in [-1, 1]: what the model has learnt.
at::Tensor make_bank() {
  at::manual_seed(1);
  const at::Tensor line = at::arange(kSide, at::kFloat) / kSide;
  const at::Tensor y = line.view({1, kSide, 1}), x = line.view({1, 1, kSide});
  const at::Tensor t = at::arange(kFrames, at::kFloat).view({kFrames, 1, 1}) / kFrames;
  std::vector<at::Tensor> clips;
  for (int i = 0; i < kBank; ++i) {
    const at::Tensor r = at::rand({6});
    const at::Tensor along = x - r[0] * 0.4 - 0.1 - 0.4 * t, across = y - r[1] * 0.6 - 0.2;
    const at::Tensor disc = at::sigmoid((0.18 - (along.pow(2) + across.pow(2)).sqrt()) * 60);
    std::vector<at::Tensor> channels;
    for (int c = 0; c < 3; ++c)
      channels.push_back(disc * r[3 + c] + (1 - disc) * (0.2 + 0.3 * y + 0.2 * x));
    const at::Tensor flicker = 0.06 * r[2] * at::randn({kFrames, 1, 1, 1});
    clips.push_back((at::stack(channels, 1) * 2 - 1 + flicker).flatten());
  }
  // Equally far from their mean, so that the noise alone decides which clip comes out.
  const at::Tensor bank = at::stack(clips), mean = bank.mean(0), own = bank - mean;
  return mean + 60 * own / own.norm(2, 1, true);
}

/// v(x, s) of the flow x = (1 - s) x0 + s eps over the bank: exact, by Bayes' rule.
at::Tensor velocity(const at::Tensor& bank, const at::Tensor& x, double s) {
  const at::Tensor distance = (x - (1 - s) * bank).pow(2).sum(1);
  return (x - at::softmax(-distance / (2 * s * s), 0).matmul(bank)) / s;
}

double sigma(int step) { return 1 - static_cast<double>(step) / kSteps; }

at::Tensor noise(std::uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({kFrames * 3 * kSide * kSide});
}

br::VideoPtr to_video(const at::Tensor& x) {
  const at::Tensor bytes = ((x + 1) * 127.5).clamp(0, 255).to(at::kByte);
  const auto own = std::make_shared<at::Tensor>(bytes.view({kFrames, 3, kSide, kSide}));
  const auto sizes = own->sizes().vec(), strides = own->strides().vec();
  return br::video_from_frames({own->data_ptr(), br::DType::kUInt8, {}, sizes, strides, own},
                               {8, 1});  // |
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string name = argc == 3 ? argv[1] : "", directory = argc == 3 ? argv[2] : "";
  if (name != "best-of-n" && name != "halving") {
    std::fprintf(stderr, "usage: hook_your_loop best-of-n|halving DIR\n");
    return 2;
  }
  const c10::InferenceMode no_grad;
  at::set_num_threads(1);
  const at::Tensor bank = make_bank();

  const auto seeds = br::consecutive_seeds(1, kCandidates);  // |
  auto strategy = name == "best-of-n"                        // |
                      ? br::best_of_n({.seeds = seeds})
                      : br::halving({.seeds = seeds, .steps = kSteps, .rungs = {5, 9}});
  const br::EngineCapabilities host{.id = "disc-bank/1",
                                    .name = "hook_your_loop",
                                    .scheduling = br::Scheduling::kLockstep,
                                    .previews = true,
                                    .steps = kSteps};          // |
  br::SessionOptions options;                                  // |
  options.condition.prompt = "a disc drifts over a gradient";  // |
  options.keep = br::mp4_sink(directory);                      // |
  br::Session session(directory, host, std::move(strategy), {br::make_pixels_judge()},
                      options);  // |

  for (auto wave = session.next_wave(); !wave.empty(); wave = session.next_wave()) {  // |
    std::map<br::CandidateId, at::Tensor> alive;
    for (const br::Start& start : wave) {
      alive[start.id] = noise(std::get<br::Noise::Seed>(start.state.noise()->form()).seed);  // |
    }
    for (int step = 0, next = 0; step < kSteps; step = next) {
      next = session.next_stop(step);  // |
      std::erase_if(
          alive, [&](auto& each) { return !session.request_steps(each.first, step, next); });  // |
      for (auto& [id, x] : alive) {
        at::Tensor x0;
        for (int k = step; k < next; ++k) {
          const at::Tensor v = velocity(bank, x, sigma(k));
          x0 = x - sigma(k) * v;
          x = x + (sigma(k + 1) - sigma(k)) * v;
        }
        session.on_steps_done(id, next, {.forwards = double(next - step)});                // |
        if (session.wants_preview(id, next)) session.preview(id, next, to_video(x0), {});  // |
      }
      if (next == kSteps) break;
      std::map<br::CandidateId, at::Tensor> on;
      for (const br::Assignment& assignment : session.resample_at(next))
        on[assignment.id] = alive.at(assignment.parent);  // |
      alive = std::move(on);
    }
    for (const auto& [id, x] : alive) session.finished(id, to_video(x), {});  // |
  }
  const br::Outcome outcome = session.finish();  // |
  br::write_report(directory, outcome.view);     // |
  std::printf("%s wins after %g forwards: %s/best.mp4\n", outcome.view.winner.c_str(),
              session.ledger().forwards, directory.c_str());
  return outcome.view.winner.empty() ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
