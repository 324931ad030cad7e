#include "examples/tinyworld/motion.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace bestreel::tinyworld {
namespace {

/// Height over the floor of a thing that falls at frame 0 and bounces to 0.6 of its height.
double bounce_height(double t) {
  const double fall = 5;
  const double rise = 0.6;
  if (t <= fall) return 1 - (t / fall) * (t / fall);
  const double first = fall * std::sqrt(rise);
  if (t <= fall + 2 * first) {
    const double u = (t - fall - first) / first;
    return rise * (1 - u * u);
  }
  const double second = first * std::sqrt(rise);
  const double u = std::min(1.0, (t - fall - 2 * first - second) / second);
  return std::max(0.0, rise * rise * (1 - u * u));
}

struct Fit {
  double error = 1e18;    ///< sum of squared distances
  double dx = 0, dy = 0;  ///< what the motion adds up to from frame 0 to 16; bounce: dy = the fall
  double jump = 0;
};

/// `step_at` < 0: without a step.
Fit fit(const Track& track, bool bounce, int step_at) {
  const auto n = static_cast<Eigen::Index>(track.frames.size());
  const Eigen::Index columns = step_at < 0 ? 2 : 3;
  Eigen::MatrixXd a(n, columns);
  Eigen::VectorXd x(n);
  Eigen::VectorXd y(n);
  Eigen::MatrixXd straight(n, columns);
  for (Eigen::Index i = 0; i < n; ++i) {
    const int t = track.frames[std::size_t(i)];
    const double when = static_cast<double>(t) / (kFrames - 1);
    a(i, 0) = straight(i, 0) = 1;
    a(i, 1) = bounce ? -bounce_height(t) : when;
    straight(i, 1) = when;
    if (step_at >= 0) a(i, 2) = straight(i, 2) = t >= step_at ? 1 : 0;
    x(i) = track.x[std::size_t(i)];
    y(i) = track.y[std::size_t(i)];
  }
  const Eigen::VectorXd by = a.colPivHouseholderQr().solve(y);
  const Eigen::VectorXd bx = straight.colPivHouseholderQr().solve(x);
  Fit result;
  result.error = (a * by - y).squaredNorm() + (straight * bx - x).squaredNorm();
  result.dx = bx(1);
  result.dy = by(1);
  if (step_at >= 0) result.jump = std::hypot(bx(2), by(2));
  return result;
}

}  // namespace

void describe_motion(Track& track) {
  const auto n = static_cast<double>(track.frames.size());
  if (track.frames.size() < 5) return;
  const double floor = 0.05 * n;  // squared pixels: what cutting out is worth
  Fit chosen;
  bool chosen_bounce = false;
  double chosen_cost = 1e18;
  for (const bool bounce : {false, true}) {
    Fit best = fit(track, bounce, -1);
    double cost = best.error + floor;
    for (int at = 3; at <= 14; ++at) {
      if (track.frames.front() > at - 2 || track.frames.back() < at + 1) continue;
      const Fit stepped = fit(track, bounce, at);
      // A step has to be long, and to explain most of what was left.
      const double price = (stepped.error + floor) * 2.2;
      if (stepped.jump > 6 && price < cost) {
        best = stepped;
        cost = price;
      }
    }
    if (bounce && best.dy < 9) continue;  // nothing falls
    if (cost < chosen_cost) {
      chosen = best;
      chosen_bounce = bounce;
      chosen_cost = cost;
    }
  }
  track.jump = chosen.jump;
  track.wobble = std::sqrt(chosen.error / n);
  track.travel = chosen_bounce ? chosen.dy : std::hypot(chosen.dx, chosen.dy);
  if (chosen_bounce) {
    track.object.motion = Motion::kBounce;
  } else if (track.travel < 10) {
    track.object.motion = Motion::kStill;
  } else if (std::abs(chosen.dx) >= std::abs(chosen.dy)) {
    track.object.motion = chosen.dx < 0 ? Motion::kLeft : Motion::kRight;
  } else {
    track.object.motion = chosen.dy < 0 ? Motion::kUp : Motion::kDown;
  }
}

}  // namespace bestreel::tinyworld
