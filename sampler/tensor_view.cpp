#include "sampler/tensor_view.h"

#include "core/base/fail.h"

namespace bestreel {
namespace {

DType dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kByte:
      return DType::kUInt8;
    case at::kFloat:
      return DType::kFloat32;
    case at::kHalf:
      return DType::kFloat16;
    case at::kBFloat16:
      return DType::kBFloat16;
    default:
      fail("dtype_unsupported", "tensor",
           "only uint8, fp32, fp16 and bf16 tensors can be shown but got {}: convert it first",
           c10::toString(tensor.scalar_type()));
  }
}

}  // namespace

TensorView view_of(const at::Tensor& tensor) {
  TensorView view;
  view.data = const_cast<void*>(tensor.const_data_ptr());
  view.dtype = dtype_of(tensor);
  view.device.kind = tensor.is_cpu()    ? DeviceKind::kCpu
                     : tensor.is_cuda() ? DeviceKind::kCuda
                                        : DeviceKind::kPrivate;
  view.device.index = tensor.device().has_index() ? tensor.device().index() : 0;
  view.shape = tensor.sizes().vec();
  view.strides = tensor.strides().vec();
  view.owner = std::make_shared<at::Tensor>(tensor);
  return view;
}

}  // namespace bestreel
