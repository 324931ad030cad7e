// Any operator of the device, by the CPU's kernel on the same bytes.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace bestreel::fake {

/// Runs `op`'s CPU kernel on tensors that alias the device's, and maps the results back: an alias
/// becomes its original, a view of one a view on the device, anything new a new device tensor;
/// an output that was resized is resized on the device. Raises where CUDA would for devices.
void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack);

/// The same for an operator that only another name has a CPU kernel for.
void fallback_as(const c10::OperatorHandle& op, const c10::OperatorHandle& kernel,
                 torch::jit::Stack* stack);

}  // namespace bestreel::fake
