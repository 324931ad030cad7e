// What a model is and how it will be used, for people. Torch-free. Public header.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/export.h"
#include "sampler/wan/config.h"

namespace bestreel::wan {

/// Label and value, in the order to show them; parts whose configuration was inferred from the
/// shapes of a single file say so. Reads config files and headers of weights. Errors: those of
/// read_pipeline_config and Checkpoint::open_file.
BESTREEL_API std::vector<std::pair<std::string, std::string>> summarize(
    const std::string& folder, const ModelOverrides& overrides = {});

}  // namespace bestreel::wan
