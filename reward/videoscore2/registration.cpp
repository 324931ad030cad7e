#include "plugin/registration.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "reward/videoscore2/plan.h"
#include "reward/videoscore2/videoscore2_judge.h"

namespace bestreel {
namespace {

using enum OptionKind;

std::vector<OptionSpec> judge_options() {
  return {{.name = "template",
           .kind = kPath,
           .scope = OptionScope::kPlace,
           .metavar = "FILE",
           .help = "query template with $t2v_prompt (the checkpoint's model card)"},
          {.name = "rationale",
           .kind = kInteger,
           .metavar = "N|none",
           .help = "tokens of reasons before the scores; none: scores at once",
           .fallback = "1024",
           .low = 0,
           .high = 1e6,
           .zero = "none"},
          {.name = "samples",
           .kind = kInteger,
           .metavar = "K",
           .help = "judge each video K times: mean and standard deviation",
           .fallback = "1",
           .low = 1,
           .high = 10000},
          {.name = "temperature",
           .kind = kReal,
           .metavar = "T",
           .help = "sample the reasons; 0: greedy",
           .fallback = "0",
           .low = 0,
           .high = 100},
          {.name = "judge-seed",
           .kind = kSeed,
           .metavar = "S",
           .help = "of the sampling",
           .fallback = "0",
           .low = 0},
          {.name = "dtype",
           .kind = kChoice,
           .metavar = "D",
           .help = "activations in fp32 or bf16",
           .fallback = "fp32",
           .choices = {"fp32", "bf16"}},
          {.name = "quantize",
           .kind = kChoice,
           .metavar = "Q",
           .help = "int8: the judge's weights in a byte each, converted once",
           .fallback = "none",
           .choices = {"none", "int8"}},
          {.name = "judge-fps",
           .kind = kReal,
           .metavar = "F",
           .help = "frames a second that a checkpoint looks at (2, as it was trained)",
           .low = 0,
           .high = 240,
           .above = true},
          {.name = "max-frames",
           .kind = kInteger,
           .metavar = "N",
           .help = "frames of a video that a checkpoint looks at, at most (768)",
           .low = 2,
           .high = 100000},
          {.name = "judge-slots",
           .kind = kInteger,
           .scope = OptionScope::kPlace,
           .metavar = "B",
           .help = "samples that a checkpoint decodes together: speed and memory, no score",
           .fallback = "8",
           .low = 1,
           .high = 32}};
}

JudgePtr make(const std::string& folder, const OptionValues& values, const JudgeContext& context) {
  VideoScore2Options options;
  options.folder = folder;
  options.threads = context.threads;
  options.device = context.device;
  options.template_file = values.text("template");
  options.dtype = values.text("dtype");
  options.rationale = values.integer("rationale");
  options.samples = static_cast<int>(values.integer("samples"));
  options.temperature = values.real("temperature");
  options.seed = values.seed("judge-seed");
  if (values.text("quantize") == "int8") options.weights = "int8";
  options.fps = values.real("judge-fps", 0);
  options.max_frames = values.integer("max-frames", 0);
  options.slots = static_cast<int>(values.integer("judge-slots"));
  JudgePtr judge = make_videoscore2_judge(options);
  if (inspect_videoscore2(folder, options.template_file).template_fallback) {
    std::cerr
        << "[" << context.op << "] warning: " << folder << " has no model card with a query "
        << "template, so Bestreel's own wording is used and scores will differ from published "
        << "ones: download the whole checkpoint, or pass --template FILE\n";
  }
  return judge;
}

JudgeNeeds estimate(const std::string& folder, const OptionValues& values, const JudgeLoad& load) {
  JudgePlanOptions options;
  options.folder = folder;
  options.dtype = values.text("dtype");
  options.int8 = values.text("quantize") == "int8";
  options.rationale = values.integer("rationale");
  options.samples = static_cast<int>(values.integer("samples"));
  // No more than there is to decode.
  options.max_slots = static_cast<int>(
      std::min<std::int64_t>(values.integer("judge-slots"), load.videos * options.samples));
  options.fps = values.real("judge-fps", 0);
  options.max_frames = values.integer("max-frames", 0);
  options.prompt_bytes = load.prompt_bytes;
  options.video = load.video;
  const JudgeSize size = plan_videoscore2(options);
  return {size.need, size.frames, size.prompt_tokens, size.from_headers};
}

Remedy int8_remedy() {
  Remedy remedy{.words = "an int8 judge (--quantize int8)", .changes = {}};
  remedy.changes.set("quantize", std::string("int8"));
  return remedy;
}

}  // namespace

void register_videoscore2(Registry& registry) {
  registry.judges.push_back(
      {.name = "VideoScore2",
       .summary = "a Qwen2.5-VL checkpoint that writes three scores",
       .spec = "the folder of a VideoScore2 checkpoint",
       .options = judge_options(),
       .accepts = [](const std::string& folder) { return std::filesystem::is_directory(folder); },
       .make = make,
       .estimate = estimate,
       .remedies = {int8_remedy()}});
}

}  // namespace bestreel
