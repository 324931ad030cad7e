// The operators that must know the device: making tensors, copying between devices, reading one.
#include <ATen/EmptyTensor.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <torch/library.h>

#include "tests/fake_accelerator/fake_accelerator.h"
#include "tests/fake_accelerator/fallback.h"
#include "tests/fake_accelerator/internal.h"

namespace bestreel::fake {
namespace {

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool> pinned,
                 std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pinned.value_or(false), "only memory of the host can be pinned");
  return at::detail::empty_generic(size, &device_allocator(), kKeys,
                                   dtype.value_or(at::get_default_dtype_as_scalartype()), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &device_allocator(), kKeys,
                                           dtype.value_or(at::get_default_dtype_as_scalartype()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const auto pinned = [](const at::Tensor& t) { return is_pinned(t.const_data_ptr()); };
  if (from.is_cpu()) {
    tally().h2d_bytes += static_cast<std::int64_t>(from.nbytes());
    ++(non_blocking && pinned(from) ? tally().h2d_async : tally().h2d_blocking);
  } else if (to.is_cpu()) {
    ++(non_blocking && pinned(to) ? tally().d2h_async : tally().d2h);
  }
  host_alias(to).copy_(host_alias(from));
  return to;
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size,
                          std::optional<at::MemoryFormat> format) {
  // Equal sizes keep the strides of a view, as on every other device.
  if (self.sizes() == size && !format) return self;
  c10::TensorImpl* impl = self.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  if (format && *format != at::MemoryFormat::Preserve) impl->empty_tensor_restride(*format);
  const std::size_t bytes =
      at::detail::computeStorageNbytes(self.sizes(), self.strides(), self.itemsize(),
                                       static_cast<std::size_t>(self.storage_offset()));
  if (bytes > self.storage().nbytes())
    resize_storage(*self.storage().unsafeGetStorageImpl(), bytes);
  return self;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& self) {
  ++tally().items;
  return at::_local_scalar_dense(host_alias(self));
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source, std::int64_t offset,
                        at::IntArrayRef size, at::IntArrayRef stride) {
  TORCH_CHECK(source.device() == device(), "the storage must be the device's but is on ",
              source.device());
  c10::TensorImpl* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  if (stride.data() == nullptr) {
    impl->set_sizes_contiguous(size);
    impl->set_storage_offset(offset);
  } else {
    impl->set_sizes_and_strides(size, stride, offset);
  }
  return self;
}

// The library chooses a device's own convolution under this name.
void convolution(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const c10::OperatorHandle kernel =
      c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution", "");
  fallback_as(op, kernel, stack);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
  m.impl("resize_", &resize_);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("convolution_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution>());
  // These would be taken apart otherwise, and round differently.
  for (const char* name :
       {"native_layer_norm", "native_group_norm", "scaled_dot_product_attention"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace
}  // namespace bestreel::fake
