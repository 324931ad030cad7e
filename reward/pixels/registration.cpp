#include "plugin/registration.h"
#include "reward/pixels/pixels_judge.h"

namespace bestreel {

void register_pixels(Registry& registry) {
  registry.judges.push_back(
      {.name = "pixels",
       .summary = "classical measures of the pixels",
       .spec = "`pixels` (no weights)",
       .make = [](const std::string&, const OptionValues&,
                  const JudgeContext&) { return make_pixels_judge(); },
       .estimate = [](const std::string&, const OptionValues&,
                      const JudgeLoad& load) { return pixels_at_work(load.video); }});
}

}  // namespace bestreel
