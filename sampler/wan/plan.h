// What a Wan pipeline needs, from its config files and, where they are there, the headers of its
// weights. The passes of text_encoder.cpp, transformer.cpp and vae_decoder.cpp are walked through
// on paper. Public header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/export.h"
#include "plugin/plan.h"
#include "sampler/wan/pipeline.h"

namespace bestreel::wan {

struct GeneratorPlanOptions {
  std::string folder;
  ModelOverrides overrides;
  std::string dtype = "fp32", vae_dtype = "fp32";  ///< as in LoadOptions
  VideoSize size;
  std::int64_t steps = 50;
  double guidance = 5;
  std::int64_t prompt_tokens = 64, negative_tokens = 1;
};

struct GeneratorSize {
  GeneratorEstimate need;
  std::int64_t transformer_bytes = 0, vae_bytes = 0, text_bytes = 0;  ///< of the files
  bool from_headers = false;  ///< false: some weights are absent and were counted from the configs
  std::int64_t tokens = 0;    ///< patches of the latent
};

/// Errors: those of read_pipeline_config, and UsageError for a size that the model does not make.
BESTREEL_API GeneratorSize plan_wan(const GeneratorPlanOptions& options);

}  // namespace bestreel::wan
