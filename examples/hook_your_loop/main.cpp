// A sampling loop of one's own, on libtorch, that gains best-of-n and halving from Bestreel.
//
//   hook_your_loop STRATEGY DIR      STRATEGY: best-of-n | halving
//
// The host is a whole flow-matching sampler in one page: its "model" is the exact denoiser of a small
// bank of clips (discs that drift over a gradient, some of them noisy), so it needs no weights. What
// Bestreel adds is marked with a bar on the left.
#include <torch/torch.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "plugin/keep.h"            // | the session, two strategies and a judge
#include "plugin/session.h"         // |
#include "plugin/strategies/best_of_n.h"  // |
#include "plugin/strategies/halving.h"    // |
#include "reward/pixels/pixels_judge.h"   // |

namespace {

constexpr int kFrames = 16, kSide = 64, kSteps = 12, kBank = 24, kCandidates = 6;

/// (kBank, T*3*H*W) in [-1, 1]: what the model has learnt. Every third clip is grainy.
torch::Tensor make_bank() {
  torch::manual_seed(1);
  const auto line = torch::arange(kSide, torch::kFloat) / kSide;
  const auto y = line.view({1, kSide, 1});
  const auto x = line.view({1, 1, kSide});
  const auto t = torch::arange(kFrames, torch::kFloat).view({kFrames, 1, 1}) / kFrames;
  std::vector<torch::Tensor> clips;
  for (int i = 0; i < kBank; ++i) {
    const auto r = torch::rand({6});
    const auto disc = torch::sigmoid(
        (0.18 - ((x - r[0] * 0.4 - 0.1 - 0.4 * t).pow(2) + (y - r[1] * 0.6 - 0.2).pow(2)).sqrt()) * 60);
    std::vector<torch::Tensor> channels;
    for (int c = 0; c < 3; ++c) channels.push_back(disc * r[3 + c] + (1 - disc) * (0.2 + 0.3 * y + 0.2 * x));
    auto clip = torch::stack(channels, 1) * 2 - 1;
    if (i % 3 == 0) clip = clip + 0.35 * torch::randn_like(clip);
    clips.push_back(clip.flatten());
  }
  return torch::stack(clips);
}

/// v(x, s) of the flow x = (1 - s) x0 + s eps over the bank: exact, by Bayes' rule.
torch::Tensor velocity(const torch::Tensor& bank, const torch::Tensor& x, double s) {
  const auto distance = (x - (1 - s) * bank).pow(2).sum(1);
  const auto x0 = torch::softmax(-distance / (2 * s * s), 0).matmul(bank);
  return (x - x0) / s;
}

double sigma(int step) { return 1 - static_cast<double>(step) / kSteps; }

bestreel::VideoPtr to_video(const torch::Tensor& x) {
  const auto frames = ((x + 1) * 127.5).clamp(0, 255).to(torch::kUInt8).view({kFrames, 3, kSide, kSide});
  const auto owned = std::make_shared<torch::Tensor>(frames.contiguous());           // |
  return bestreel::video_from_frames({owned->data_ptr(), bestreel::DType::kUInt8, {},  // |
                                      owned->sizes().vec(), owned->strides().vec(), owned}, {8, 1});
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string strategy = argc > 2 ? argv[1] : "";
  if (strategy != "best-of-n" && strategy != "halving") {
    std::fprintf(stderr, "usage: hook_your_loop best-of-n|halving DIR\n");
    return 2;
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor bank = make_bank();

  const auto seeds = bestreel::consecutive_seeds(0, kCandidates);                               // |
  bestreel::SessionOptions options;                                                             // |
  options.condition = {"a disc drifts over a gradient", ""};                                    // |
  options.settings.prompt = options.condition.prompt;                                           // |
  options.keep = bestreel::mp4_keeper(argv[2]);                                                 // |
  bestreel::Session session(                                                                    // |
      argv[2], {"disc-bank/1", "hook_your_loop", bestreel::Scheduling::kLockstep, true, false, kSteps, 1},
      strategy == "halving" ? bestreel::halving({.seeds = seeds, .steps = kSteps, .rungs = {5, 9}})
                            : bestreel::best_of_n({seeds, {}}),                                 // |
      {bestreel::make_pixels_judge()}, std::move(options));                                     // |

  for (auto wave = session.next_wave(); !wave.empty(); wave = session.next_wave()) {            // |
    std::map<bestreel::CandidateId, torch::Tensor> alive;
    for (const auto& start : wave) {
      torch::manual_seed(std::get<bestreel::Noise::Seed>(start.noise.form()).seed);             // |
      alive[start.id] = torch::randn({bank.size(1)});
    }
    for (int step = 0, next = 0; step < kSteps; step = next) {
      next = session.next_stop(step);                                                           // |
      for (auto& [id, x] : alive) {
        session.grant(id, step, next);                                                          // |
        torch::Tensor v;
        for (int k = step; k < next; ++k) {
          v = velocity(bank, x, sigma(k));
          x = x + (sigma(k + 1) - sigma(k)) * v;
        }
        session.advanced(id, next, {static_cast<double>(next - step), 0, 0});                   // |
        if (session.wants_preview(id, next)) {                                                  // |
          session.preview(id, next, to_video(x - sigma(next) * v), {});                         // |
        }
      }
      if (next == kSteps) break;
      std::map<bestreel::CandidateId, torch::Tensor> on;
      for (const auto& slot : session.decide(next)) on[slot.id] = alive.at(slot.parent);        // |
      alive = std::move(on);
    }
    for (const auto& [id, x] : alive) session.finished(id, to_video(x), {});                    // |
  }
  const bestreel::Outcome outcome = session.finish();                                           // |
  std::printf("%s wins after %g forwards: %s/best.mp4\n", outcome.view.winner.c_str(),
              session.ledger().forwards, argv[2]);
  return outcome.view.winner.empty() ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
