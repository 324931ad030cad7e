#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/generation.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "reward/videoscore2/videoscore2_judge.h"
#include "sampler/wan/summary.h"

namespace bestreel::cli {
namespace {

constexpr const char* kDetails =
    "Reads config files and the headers of the weights, no weights.\n\n"
    "Example:\n"
    "  bestreel inspect VideoScore2/\n"
    "  bestreel inspect Wan2.1-T2V-1.3B-Diffusers/ --model-file wan-Q8_0.gguf\n";

void line(const char* name, const std::string& value) {
  std::cout << fmt::format("{:<14} {}\n", name, value);
}

/// A generator: a WanPipeline's folder, or single files.
int inspect_model(const std::string& folder, const po::variables_map& given) {
  for (const auto& [label, value] : wan::summarize(folder, overrides_of(given)))
    line(label.c_str(), printable(value));
  return kDone;
}

int run_inspect(const po::variables_map& given) {
  const Command command = inspect_command();
  if (given.count("model") != 0 || given.count("model-file") != 0)
    return inspect_model(model_of(given, command), given);
  const std::string folder = required_text(given, command, "folder", "FOLDER");
  std::error_code ignored;
  if (std::filesystem::exists(folder + "/model_index.json", ignored))
    return inspect_model(folder, given);
  const std::string file = given.count("template") != 0 ? given["template"].as<std::string>() : "";
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

}  // namespace

Command inspect_command() {
  return {"inspect",
          "what a checkpoint holds and how it will be used",
          "FOLDER",
          "folder",
          kDetails,
          [] {
            po::options_description options("Options");
            add_model_options(options);
            options.add_options()("template", po::value<std::string>()->value_name("FILE"),
                                  "query template with $t2v_prompt (the checkpoint's model card)")(
                "folder", po::value<std::string>()->value_name("FOLDER"), "the checkpoint");
            return options;
          },
          run_inspect};
}

}  // namespace bestreel::cli
