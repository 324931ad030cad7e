#include <iostream>

#include "app/generation.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "reward/videoscore2/videoscore2_judge.h"

namespace bestreel::cli {
namespace {

void line(const char* name, const std::string& value) {
  std::cout << fmt::format("{:<14} {}\n", name, value);
}

}  // namespace

int run_inspect(const RunConfig& config) {
  const std::string given = config.values.text("folder");
  if (const EngineRegistration* engine = app::recognised_engine(config.values, given)) {
    for (const auto& [label, value] : engine->summarize(config.values, given))
      line(label.c_str(), printable(value));
    return kDone;
  }
  const std::string folder = app::required_text(config, "folder");
  const std::string file = config.values.text("template");
  const CheckpointSummary found = inspect_videoscore2(folder, file);
  line("architecture", found.architecture);
  line("parameters", fmt::format("{:.3f} M", static_cast<double>(found.parameters) / 1e6));
  line("weights", fmt::format("{:.3f} GB, {}", static_cast<double>(found.bytes) / 1e9,
                              fmt::join(found.dtypes, ", ")));
  line("language", fmt::format("{} layers, hidden {}, {} heads, {} key/value heads, vocabulary {}, "
                               "{} positions",
                               found.layers, found.hidden_size, found.heads, found.kv_heads,
                               found.vocabulary, found.max_positions));
  line("vision", fmt::format("{} layers, hidden {}, {} to {} pixels a frame", found.vision_layers,
                             found.vision_hidden_size, found.min_pixels, found.max_pixels));
  line("sampling",
       fmt::format("temperature {}, top-k {}, top-p {}, repetition penalty {}, ends at {}",
                   found.temperature, found.top_k, found.top_p, found.repetition_penalty,
                   fmt::join(found.end_tokens, ", ")));
  line("system text", printable(found.system_text));
  line("template",
       fmt::format("{}, sha256 {}", printable(found.template_source), found.template_hash));
  if (found.template_fallback) {
    line("", "warning: this is Bestreel's own wording, scores will differ from published ones");
  }
  line("dimensions", fmt::format("{}", fmt::join(found.dimensions, ", ")));
  return kDone;
}

}  // namespace bestreel::cli
