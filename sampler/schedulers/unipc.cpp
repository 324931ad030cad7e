#include "sampler/schedulers/unipc.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/tensor.h>

#include <cmath>

namespace bestreel {
namespace {

// Everything about one step that is a number. float32 throughout, like the reference's tables.
struct Coefficients {
  float alpha, sigma, sigma_from;  // at the target; where the step starts
  float phi_1, b_h;                // expm1(-h), B(h)
  std::vector<float> rks;          // (lambda_i - lambda_from) / h of the older estimates, then 1
  at::Tensor r, b;                 // the linear system for the weights

  Coefficients(const SchedulerConfig& config, const std::vector<float>& sigmas, std::int64_t from,
               std::int64_t order) {
    const auto lambda = [&](std::int64_t i) {
      const float s = sigmas[static_cast<std::size_t>(i)];
      return std::log(1 - s) - std::log(s);
    };
    sigma = sigmas[static_cast<std::size_t>(from + 1)];
    sigma_from = sigmas[static_cast<std::size_t>(from)];
    alpha = 1 - sigma;
    const float start = lambda(from), h = lambda(from + 1) - start, hh = -h;
    for (std::int64_t i = 1; i < order; ++i) rks.push_back((lambda(from - i) - start) / h);
    rks.push_back(1);
    phi_1 = std::expm1(hh);
    b_h = config.bh2 ? phi_1 : hh;
    float phi_k = phi_1 / hh - 1, factorial = 1;
    std::vector<float> rows, right;
    for (std::int64_t i = 1; i <= order; ++i) {
      for (const float rk : rks) rows.push_back(std::pow(rk, static_cast<float>(i - 1)));
      right.push_back(phi_k * factorial / b_h);
      factorial *= static_cast<float>(i + 1);
      phi_k = phi_k / hh - 1 / factorial;
    }
    r = at::tensor(rows).view({order, order});
    b = at::tensor(right);
  }

  // The step of order 1.
  at::Tensor first_order(const at::Tensor& x, const at::Tensor& m0) const {
    return x * static_cast<double>(sigma / sigma_from) - m0 * static_cast<double>(alpha * phi_1);
  }
};

std::vector<double> solve(const at::Tensor& r, const at::Tensor& b) {
  const at::Tensor rho = at::linalg_solve(r, b);
  return {rho.const_data_ptr<float>(), rho.const_data_ptr<float>() + rho.numel()};
}

// sum over the older estimates of weight * (m_i - m_0) / rk
void add_differences(at::Tensor& sum, const std::vector<double>& weights,
                     const std::vector<at::Tensor>& history, const Coefficients& c,
                     std::int64_t order) {
  const at::Tensor& m0 = history.back();
  for (std::int64_t i = 1; i < order; ++i) {
    const at::Tensor& older = history[history.size() - 1 - static_cast<std::size_t>(i)];
    const auto k = static_cast<std::size_t>(i - 1);
    const at::Tensor d = (older - m0) / static_cast<double>(c.rks[k]) * weights[k];
    sum = sum.defined() ? sum + d : d;
  }
}

}  // namespace

at::Tensor unipc_predict(const SchedulerConfig& config, const FlowSchedule& schedule,
                         std::int64_t index, std::int64_t order,
                         const std::vector<at::Tensor>& history, const at::Tensor& x) {
  const Coefficients c(config, schedule.sigmas, index, order);
  const at::Tensor next = c.first_order(x, history.back());
  if (order == 1) return next;
  const std::vector<double> rho =
      order == 2
          ? std::vector<double>{0.5}  // the method's own simplification
          : solve(c.r.narrow(0, 0, order - 1).narrow(1, 0, order - 1), c.b.narrow(0, 0, order - 1));
  at::Tensor sum;
  add_differences(sum, rho, history, c, order);
  return next - sum * static_cast<double>(c.alpha * c.b_h);
}

at::Tensor unipc_correct(const SchedulerConfig& config, const FlowSchedule& schedule,
                         std::int64_t index, std::int64_t order,
                         const std::vector<at::Tensor>& history, const at::Tensor& last_x,
                         const at::Tensor& x0_hat) {
  const Coefficients c(config, schedule.sigmas, index - 1, order);
  const std::vector<double> rho = order == 1 ? std::vector<double>{0.5} : solve(c.r, c.b);
  at::Tensor sum;
  add_differences(sum, rho, history, c, order);
  const at::Tensor newest = (x0_hat - history.back()) * rho.back();
  sum = sum.defined() ? sum + newest : newest;
  return c.first_order(last_x, history.back()) - sum * static_cast<double>(c.alpha * c.b_h);
}

}  // namespace bestreel
