#include "plugin/registration.h"

#include <utility>

#include "reward/encoded_judge/encoded_judge.h"

namespace bestreel {

void register_encoded_judge(Registry& registry) {
  registry.decorators.push_back(
      {.name = "encoded",
       .options = {{.name = "judge-from",
                    .kind = OptionKind::kChoice,
                    .metavar = "WHAT",
                    .help = "memory: the frames as decoded; file: the frames after H.264",
                    .fallback = "memory",
                    .choices = {"memory", "file"}}},
       .wrap = [](JudgePtr inner, const OptionValues& values) {
         return values.text("judge-from") == "file" ? encoded_judge(std::move(inner)) : inner;
       }});
}

}  // namespace bestreel
