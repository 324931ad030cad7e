#include "sampler/schedulers/config.h"

#include <algorithm>
#include <cmath>

#include "sampler/config_reader.h"

namespace bestreel {
namespace {

// What UniPC and DPM++ have in common.
void read_multistep(const ConfigReader& in, SchedulerConfig& c) {
  const auto must = [&](const char* key, const auto& only, bool absent_is_fine) {
    if (!in.has(key) && !absent_is_fine)
      in.unsupported(fmt::format("\"{}\" is missing, and a flow model needs {}", key,
                                 nlohmann::json(only).dump()));
    in.require(key, only);
  };
  must("prediction_type", "flow_prediction", false);
  must("use_flow_sigmas", true, false);
  must("thresholding", false, true);
  must("use_karras_sigmas", false, true);
  must("use_exponential_sigmas", false, true);
  must("use_beta_sigmas", false, true);
  must("use_dynamic_shifting", false, true);
  must("final_sigmas_type", "zero", true);
  in.read("flow_shift", c.shift);
  in.read_positive("solver_order", c.solver_order);
  if (c.solver_order > 3)
    in.unsupported(fmt::format("\"solver_order\" must be 1 to 3 but is {}", c.solver_order));
}

void read_unipc(const ConfigReader& in, SchedulerConfig& c) {
  read_multistep(in, c);
  in.require("predict_x0", true);
  // Order 2 over the last, infinite step divides infinities.
  in.require("lower_order_final", true);
  std::string type = "bh2";
  in.read("solver_type", type);
  if (type != "bh1" && type != "bh2")
    in.unsupported(fmt::format("\"solver_type\" must be bh1 or bh2 but is {}", type));
  c.bh2 = type == "bh2";
  in.read("disable_corrector", c.disable_corrector);
}

void read_dpm(const ConfigReader& in, SchedulerConfig& c) {
  read_multistep(in, c);
  // The stochastic kinds draw from the global generator in the reference's pipeline: no seed.
  in.require("algorithm_type", "dpmsolver++");
  in.require("use_lu_lambdas", false);
  in.require("lambda_min_clipped", "-Infinity");
  in.read("lower_order_final", c.lower_order_final);
  std::string type = "midpoint";
  in.read("solver_type", type);
  if (type != "midpoint" && type != "heun")
    in.unsupported(fmt::format("\"solver_type\" must be midpoint or heun but is {}", type));
  c.heun = type == "heun";
}

// In the class's order of roundings: its training schedule is float32.
void set_euler_ends(SchedulerConfig& c) {
  const auto train = static_cast<float>(c.num_train_timesteps);
  const auto shifted = [&](float sigma) {
    const auto shift = static_cast<float>(c.shift);
    return shift * sigma / (1 + static_cast<float>(c.shift - 1) * sigma);
  };
  c.sigma_max = shifted(1.0f);
  c.sigma_min = shifted(1.0f / train);
}

void read_euler(const ConfigReader& in, SchedulerConfig& c) {
  for (const char* off : {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas",
                          "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"})
    in.require(off, false);
  if (in.has("shift_terminal")) in.require("shift_terminal", 0.0);
  in.read("shift", c.shift);
}

constexpr std::pair<const char*, Solver> kSolvers[] = {
    {"unipc", Solver::kUniPC}, {"dpm++", Solver::kDpmSolverPP}, {"euler", Solver::kFlowMatchEuler}};

Solver parse_solver(const std::string& word) {
  for (const auto& [name, solver] : kSolvers)
    if (word == name) return solver;
  fail_usage("schedule", "the scheduler must be unipc, dpm++ or euler but got {}", word);
}

void finish(SchedulerConfig& c, const SchedulerOverride& wanted) {
  if (wanted.shift) {
    if (!(*wanted.shift > 0) || !std::isfinite(*wanted.shift))
      fail_usage("schedule", "the flow shift must be a finite number above 0 but got {}",
                 *wanted.shift);
    c.shift = *wanted.shift;
  }
  if (c.solver == Solver::kFlowMatchEuler) set_euler_ends(c);
}

// numpy.linspace: start + i * step, with the last value exact.
std::vector<double> linspace(double start, double stop, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count), start);
  if (count < 2) return values;
  const double step = (stop - start) / static_cast<double>(count - 1);
  for (std::int64_t i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] = start + static_cast<double>(i) * step;
  values.back() = stop;
  return values;
}

}  // namespace

SchedulerConfig make_scheduler_config(const SchedulerOverride& wanted, double shift) {
  SchedulerConfig c;
  c.shift = shift;
  if (!wanted.solver.empty()) c.solver = parse_solver(wanted.solver);
  finish(c, wanted);
  return c;
}

SchedulerConfig read_scheduler_config(const std::string& file, const SchedulerOverride& wanted) {
  const ConfigReader in(file, "scheduler_unsupported",
                        "--scheduler unipc, dpm++ or euler takes another in its place, and "
                        "--flow-shift its shift");
  SchedulerConfig c;
  std::string name;
  in.read("_class_name", name);
  in.read_positive("num_train_timesteps", c.num_train_timesteps);
  std::optional<Solver> has;
  if (name == "UniPCMultistepScheduler") has = Solver::kUniPC;
  if (name == "DPMSolverMultistepScheduler") has = Solver::kDpmSolverPP;
  if (name == "FlowMatchEulerDiscreteScheduler") has = Solver::kFlowMatchEuler;
  if (!wanted.solver.empty()) c.solver = parse_solver(wanted.solver);
  if (!wanted.solver.empty() && c.solver != has) {
    in.read(in.has("flow_shift") ? "flow_shift" : "shift", c.shift);
  } else if (has) {
    c.solver = *has;
    if (*has == Solver::kUniPC) read_unipc(in, c);
    if (*has == Solver::kDpmSolverPP) read_dpm(in, c);
    if (*has == Solver::kFlowMatchEuler) read_euler(in, c);
  } else {
    in.unsupported(
        fmt::format("\"_class_name\" must be UniPCMultistepScheduler, DPMSolverMultistepScheduler "
                    "or FlowMatchEulerDiscreteScheduler but is \"{}\"",
                    name));
  }
  if (!(c.shift > 0))
    in.unsupported(fmt::format("the shift of the noise levels must be above 0 but is {}", c.shift));
  finish(c, wanted);
  return c;
}

FlowSchedule make_flow_schedule(const SchedulerConfig& c, std::int64_t steps) {
  if (steps < 1 || steps > c.num_train_timesteps)
    fail_usage("schedule", "steps must be 1 to {} but got {}: ask for another number of steps",
               c.num_train_timesteps, steps);
  const auto train = static_cast<double>(c.num_train_timesteps);
  FlowSchedule schedule;
  const auto shifted = [&](double sigma) { return c.shift * sigma / (1 + (c.shift - 1) * sigma); };
  if (c.solver != Solver::kFlowMatchEuler) {
    std::vector<double> levels = linspace(1.0, 1.0 / train, steps + 1);
    std::reverse(levels.begin(), levels.end());
    levels.pop_back();
    for (const double alpha : levels) {
      const double sigma = shifted(1.0 - alpha);
      schedule.sigmas.push_back(static_cast<float>(sigma));
      schedule.timesteps.push_back(static_cast<double>(static_cast<std::int64_t>(sigma * train)));
    }
  } else {
    for (const double t : linspace(c.sigma_max * train, c.sigma_min * train, steps)) {
      schedule.sigmas.push_back(static_cast<float>(shifted(t / train)));
      schedule.timesteps.push_back(schedule.sigmas.back() * static_cast<float>(train));
    }
  }
  schedule.sigmas.push_back(0.0f);
  return schedule;
}

}  // namespace bestreel
