// What scheduler_config.json of a diffusers folder says. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

enum class Solver : std::uint8_t { kUniPC, kFlowMatchEuler };

/// The keys that flow models use. A key that a file leaves out has the default of the diffusers
/// class that reads the file (0.35); a key that asks for another computation is refused.
struct SchedulerConfig {
  Solver solver = Solver::kUniPC;
  std::int64_t num_train_timesteps = 1000;
  double shift = 1.0;  ///< flow_shift (UniPC), shift (Euler): s' = shift s / (1 + (shift - 1) s)
  std::int64_t solver_order = 2;  ///< UniPC: 1 to 3
  bool bh2 = true;                ///< UniPC's B(h): expm1(-h), or -h
  bool lower_order_final = true;
  std::vector<std::int64_t> disable_corrector;
  double sigma_max = 1.0, sigma_min = 0.001;  ///< Euler: ends of the training schedule, shifted
};

/// Errors: "file_missing", "json_malformed", "scheduler_unsupported" (another class, or a setting
/// that is not of flow matching).
BESTREEL_API SchedulerConfig read_scheduler_config(const std::string& file);

/// Noise levels from sigma[0] (noisiest) to sigma[steps] = 0, and the model's timestep per step.
struct FlowSchedule {
  std::vector<float> sigmas;      ///< steps + 1
  std::vector<double> timesteps;  ///< steps; whole numbers for UniPC, as in diffusers

  std::int64_t steps() const { return static_cast<std::int64_t>(timesteps.size()); }
};

/// Equal to set_timesteps(steps) of the diffusers class, bit for bit. UsageError for steps < 1.
BESTREEL_API FlowSchedule make_flow_schedule(const SchedulerConfig& config, std::int64_t steps);

}  // namespace bestreel
