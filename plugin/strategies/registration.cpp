// The strategies of this house, as every command offers them.
#include "plugin/registration.h"

#include "plugin/strategies/best_of_n.h"
#include "plugin/strategies/cascade.h"
#include "plugin/strategies/halving.h"
#include "plugin/strategies/race.h"

namespace bestreel {
namespace {

OptionSpec rungs_option() {
  return {.name = "rungs",
          .kind = OptionKind::kIntegers,
          .metavar = "K,...",
          .help = "steps with previews (race, halving)",
          .low = 1,
          .high = 1000,
          .example = "4,8"};
}

OptionSpec lag_option() {
  return {.name = "lag",
          .kind = OptionKind::kInteger,
          .metavar = "D",
          .help = "steps until a decision takes effect (race, halving)",
          .fallback = "0",
          .low = 0,
          .high = 1000};
}

std::vector<int> rungs_of(const OptionValues& values) {
  const auto rungs = values.list<std::int64_t>("rungs");
  return {rungs.begin(), rungs.end()};
}

StrategyResources videos_for_a_later_judge(const OptionValues&, const StrategyContext& context) {
  return {.keeps_videos = !context.cascade.empty()};
}

}  // namespace

void register_best_of_n(Registry& registry) {
  registry.strategies.push_back(
      {.name = "best-of-n",
       .summary = "makes all, judges all (with --cascade 8,3: each judge sees the best of the one "
                  "before)",
       .cascades = true,
       .make =
           [](const OptionValues&, const StrategyContext& context) {
             return context.cascade.empty()
                        ? best_of_n({context.seeds, context.selection, context.steps == 0})
                        : cascade({context.seeds, context.cascade, context.steps == 0});
           },
       .resources = videos_for_a_later_judge});
}

void register_race(Registry& registry) {
  registry.strategies.push_back(
      {.name = "race",
       .summary = "one after the other; who is behind the earlier ones is stopped on the way",
       .options = {rungs_option(), lag_option()},
       .make =
           [](const OptionValues& values, const StrategyContext& context) {
             return race({.seeds = context.seeds,
                          .steps = context.steps,
                          .checks = rungs_of(values),
                          .lag = static_cast<int>(values.integer("lag")),
                          .selection = context.selection});
           },
       .resources = [](const OptionValues&,
                       const StrategyContext&) { return StrategyResources{}; }});
}

void register_halving(Registry& registry) {
  registry.strategies.push_back(
      {.name = "halving",
       .summary = "all begin; at each rung the better part goes on, judged on previews",
       .options = {rungs_option(),
                   {.name = "reduction-factor",
                    .kind = OptionKind::kReal,
                    .metavar = "E",
                    .help = "1/E go on at each rung (halving)",
                    .fallback = "2",
                    .low = 1,
                    .above = true},
                   {.name = "finalists",
                    .kind = OptionKind::kInteger,
                    .metavar = "K",
                    .help = "come to the end (halving)",
                    .fallback = "1",
                    .low = 1,
                    .high = 10000},
                   lag_option()},
       .make =
           [](const OptionValues& values, const StrategyContext& context) {
             return halving({.seeds = context.seeds,
                             .steps = context.steps,
                             .eta = values.real("reduction-factor"),
                             .finalists = static_cast<std::size_t>(values.integer("finalists")),
                             .rungs = rungs_of(values),
                             .lag = static_cast<int>(values.integer("lag")),
                             .selection = context.selection});
           },
       .resources =
           [](const OptionValues&, const StrategyContext&) {
             return StrategyResources{.all_in_flight = true};
           }});
}

}  // namespace bestreel
