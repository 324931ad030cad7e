// Asked against shown.
#include <algorithm>

#include "examples/tinyworld/render.h"

namespace bestreel::tinyworld {
namespace {

double cost(const Object& asked, const Object& shown) {
  double sum = 0;
  if (asked.colour != shown.colour) sum += kColourWeight;
  if (asked.shape != shown.shape) sum += kShapeWeight;
  if (asked.size != shown.size) sum += kSizeWeight;
  if (asked.motion != shown.motion) sum += kMotionWeight;
  return std::min(1.0, sum);
}

/// Tries every assignment: there are at most two asked and a few shown.
void assign(const Scene& asked, const Scene& shown, std::vector<int>& current, double spent,
            std::vector<int>& best, double& least) {
  if (spent >= least) return;
  const std::size_t i = current.size();
  if (i == asked.objects.size()) {
    least = spent;
    best = current;
    return;
  }
  for (int j = 0; j <= static_cast<int>(shown.objects.size()); ++j) {
    const bool missing = j == static_cast<int>(shown.objects.size());
    if (!missing && std::find(current.begin(), current.end(), j) != current.end()) continue;
    current.push_back(missing ? -1 : j);
    // A missing object costs a little more than a wholly wrong one: an assignment is preferred.
    const double step = missing ? 1.001 : cost(asked.objects[i], shown.objects[std::size_t(j)]);
    assign(asked, shown, current, spent + step, best, least);
    current.pop_back();
  }
}

}  // namespace

std::vector<int> match(const Scene& asked, const Scene& shown) {
  std::vector<int> current;
  std::vector<int> best;
  double least = 1e9;
  assign(asked, shown, current, 0, best, least);
  return best;
}

double misalignment(const Scene& asked, const Scene& shown) {
  const std::vector<int> partner = match(asked, shown);
  double sum = 0;
  std::size_t used = 0;
  for (std::size_t i = 0; i < partner.size(); ++i) {
    const bool missing = partner[i] < 0;
    used += missing ? 0 : 1;
    sum += missing ? 1.0 : cost(asked.objects[i], shown.objects[std::size_t(partner[i])]);
  }
  sum /= static_cast<double>(std::max<std::size_t>(1, partner.size()));
  sum += kSurplusWeight * static_cast<double>(shown.objects.size() - used);
  if (asked.background != shown.background) sum += kBackgroundWeight;
  return std::min(1.0, sum);
}

}  // namespace bestreel::tinyworld
