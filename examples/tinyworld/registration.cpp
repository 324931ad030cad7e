#include "plugin/registration.h"

#include "examples/tinyworld/oracle_judge.h"

namespace bestreel {

void register_tinyworld_oracle(Registry& registry) {
  registry.judges.push_back(
      {.name = "tinyworld-oracle",
       .summary = "the computed ground truth of the tiny world",
       .spec = "`tinyworld-oracle` (clips of the tiny world)",
       .make = [](const std::string&, const OptionValues&,
                  const JudgeContext&) { return tinyworld::make_oracle_judge(); },
       .estimate = [](const std::string&, const OptionValues&,
                      const JudgeLoad& load) { return pixels_at_work(load.video); }});
}

}  // namespace bestreel
