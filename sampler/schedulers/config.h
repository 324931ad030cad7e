// What scheduler_config.json of a diffusers folder says. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

enum class Solver : std::uint8_t { kUniPC, kFlowMatchEuler, kDpmSolverPP };

/// The keys that flow models use. A key that a file leaves out has the default of the diffusers
/// class that reads the file (0.35); a key that asks for another computation is refused.
struct SchedulerConfig {
  Solver solver = Solver::kUniPC;
  std::int64_t num_train_timesteps = 1000;
  double shift = 1.0;  ///< flow_shift, of Euler "shift": s' = shift s / (1 + (shift - 1) s)
  std::int64_t solver_order = 2;  ///< UniPC, DPM++: 1 to 3
  bool bh2 = true;                ///< UniPC's B(h): expm1(-h), or -h
  bool heun = false;              ///< DPM++ of order 2: solver_type heun, not midpoint
  bool lower_order_final = true;  ///< DPM++: the step before the last is of order 2 at most
  std::vector<std::int64_t> disable_corrector;
  double sigma_max = 1.0, sigma_min = 0.001;  ///< Euler: ends of the training schedule, shifted
};

/// What the user wants instead of the file's.
struct SchedulerOverride {
  std::string solver;           ///< "unipc", "dpm++" or "euler"; empty: the file's
  std::optional<double> shift;  ///< of the noise levels
};

/// With another solver only the shift and the number of training steps are the file's, as
/// from_config() of that class with flow prediction. Errors: "file_missing", "json_malformed",
/// "scheduler_unsupported" (another class, or a setting that is not of flow matching; says which
/// override helps), and UsageError for an override that cannot be.
BESTREEL_API SchedulerConfig read_scheduler_config(const std::string& file,
                                                   const SchedulerOverride& wanted = {});

/// Without a file: UniPC with `shift`, unless `wanted` says otherwise.
BESTREEL_API SchedulerConfig make_scheduler_config(const SchedulerOverride& wanted, double shift);

/// Noise levels from sigma[0] (noisiest) to sigma[steps] = 0, and the model's timestep per step.
struct FlowSchedule {
  std::vector<float> sigmas;      ///< steps + 1
  std::vector<double> timesteps;  ///< steps; whole numbers for UniPC, as in diffusers

  std::int64_t steps() const { return static_cast<std::int64_t>(timesteps.size()); }
};

/// Equal to set_timesteps(steps) of the diffusers class, bit for bit. UsageError for steps < 1.
BESTREEL_API FlowSchedule make_flow_schedule(const SchedulerConfig& config, std::int64_t steps);

}  // namespace bestreel
