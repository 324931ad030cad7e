// A tensor of libtorch as what crosses the walls between rooms.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/base/export.h"
#include "core/base/tensor_view.h"

namespace bestreel {

/// The same memory; the view keeps it alive. Error "dtype_unsupported" unless uint8 or floating.
BESTREEL_API TensorView view_of(const at::Tensor& tensor);

}  // namespace bestreel
