#include "sampler/schedulers/config.h"

#include <algorithm>

#include "sampler/config_reader.h"

namespace bestreel {
namespace {

void read_unipc(const ConfigReader& in, SchedulerConfig& c) {
  const auto must = [&](const char* key, const auto& only, bool absent_is_fine) {
    if (!in.has(key) && !absent_is_fine)
      in.unsupported(fmt::format("\"{}\" is missing, and a flow model needs {}", key,
                                 nlohmann::json(only).dump()));
    in.require(key, only);
  };
  must("prediction_type", "flow_prediction", false);
  must("use_flow_sigmas", true, false);
  must("predict_x0", true, true);
  must("thresholding", false, true);
  must("use_karras_sigmas", false, true);
  must("use_exponential_sigmas", false, true);
  must("use_beta_sigmas", false, true);
  must("use_dynamic_shifting", false, true);
  must("final_sigmas_type", "zero", true);
  // Order 2 over the last, infinite step divides infinities.
  must("lower_order_final", true, true);
  in.read("flow_shift", c.shift);
  in.read_positive("solver_order", c.solver_order);
  if (c.solver_order > 3)
    in.unsupported(fmt::format("\"solver_order\" must be 1 to 3 but is {}", c.solver_order));
  std::string type = "bh2";
  in.read("solver_type", type);
  if (type != "bh1" && type != "bh2")
    in.unsupported(fmt::format("\"solver_type\" must be bh1 or bh2 but is {}", type));
  c.bh2 = type == "bh2";
  in.read("disable_corrector", c.disable_corrector);
}

void read_euler(const ConfigReader& in, SchedulerConfig& c) {
  for (const char* off : {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas",
                          "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"})
    in.require(off, false);
  if (in.has("shift_terminal")) in.require("shift_terminal", 0.0);
  in.read("shift", c.shift);
  // In the class's order of roundings: its training schedule is float32.
  const auto train = static_cast<float>(c.num_train_timesteps);
  const auto shifted = [&](float sigma) {
    const auto shift = static_cast<float>(c.shift);
    return shift * sigma / (1 + static_cast<float>(c.shift - 1) * sigma);
  };
  c.sigma_max = shifted(1.0f);
  c.sigma_min = shifted(1.0f / train);
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

SchedulerConfig read_scheduler_config(const std::string& file) {
  const ConfigReader in(file, "scheduler_unsupported");
  SchedulerConfig c;
  std::string name;
  in.read("_class_name", name);
  in.read_positive("num_train_timesteps", c.num_train_timesteps);
  if (name == "UniPCMultistepScheduler") {
    c.solver = Solver::kUniPC;
    read_unipc(in, c);
  } else if (name == "FlowMatchEulerDiscreteScheduler") {
    c.solver = Solver::kFlowMatchEuler;
    read_euler(in, c);
  } else {
    in.unsupported(
        fmt::format("\"_class_name\" must be UniPCMultistepScheduler or "
                    "FlowMatchEulerDiscreteScheduler but is \"{}\"",
                    name));
  }
  if (!(c.shift > 0))
    in.unsupported(fmt::format("the shift of the noise levels must be above 0 but is {}", c.shift));
  return c;
}

FlowSchedule make_flow_schedule(const SchedulerConfig& c, std::int64_t steps) {
  if (steps < 1 || steps > c.num_train_timesteps)
    fail_usage("schedule", "steps must be 1 to {} but got {}: ask for another number of steps",
               c.num_train_timesteps, steps);
  const auto train = static_cast<double>(c.num_train_timesteps);
  FlowSchedule schedule;
  const auto shifted = [&](double sigma) { return c.shift * sigma / (1 + (c.shift - 1) * sigma); };
  if (c.solver == Solver::kUniPC) {
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
