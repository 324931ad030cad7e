#include "tests/fake_accelerator/fallback.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty_strided.h>

#include <fstream>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/fake_accelerator/fake_accelerator.h"
#include "tests/fake_accelerator/internal.h"

namespace bestreel::fake {
namespace {

/// Operators that CUDA does not check devices for: there a number may be a tensor of the CPU
/// without dimensions. libtorch's own table says which.
const std::unordered_set<std::string>& unchecked_operators() {
  static const auto* const names = [] {
    auto* found = new std::unordered_set<std::string>;
    std::ifstream file(BESTREEL_NATIVE_FUNCTIONS);
    TORCH_CHECK(file.good(), "[fake accelerator] ", BESTREEL_NATIVE_FUNCTIONS,
                " must be there (torch's wheel brings it)");
    std::string line, name;
    while (std::getline(file, line)) {
      constexpr std::string_view kFunction = "- func: ";
      if (line.starts_with(kFunction))
        name = line.substr(kFunction.size(), line.find_first_of(".(") - kFunction.size());
      else if (line.find("device_check: NoCheck") != std::string::npos)
        found->insert(name);
    }
    return found;
  }();
  return *names;
}

/// The host must learn a size, or a truth, before it can go on.
bool depends_on_data(const std::string& name) {
  static const std::set<std::string> names{"nonzero",  "masked_select", "_unique",
                                           "_unique2", "unique_dim",    "unique_consecutive",
                                           "equal",    "bincount",      "unique_dim_consecutive"};
  return names.contains(name);
}

bool is_index(const std::string& name) { return name == "index" || name == "_index_put_impl_"; }

struct Call {
  const c10::OperatorHandle& op;
  std::string name;  // without "aten::" and the overload

  struct Pair {
    at::Tensor original, alias;
  };
  struct StoragePair {
    c10::Storage original, alias;
  };
  std::vector<Pair> tensors{};
  std::vector<StoragePair> storages{};

  at::Tensor enter(const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.is_cpu()) return tensor;
    for (const Pair& pair : tensors)
      if (pair.original.is_same(tensor)) return pair.alias;
    at::Tensor alias = same_shape(tensor, enter(tensor.storage()));
    tensors.push_back({tensor, alias});
    return alias;
  }

  c10::Storage enter(const c10::Storage& storage) {
    for (const StoragePair& pair : storages)
      if (pair.original.is_alias_of(storage)) return pair.alias;
    storages.push_back({storage, alias_storage(storage)});
    return storages.back().alias;
  }

  const c10::Storage* device_storage(const c10::Storage& alias) const {
    for (const StoragePair& pair : storages)
      if (pair.alias.is_alias_of(alias)) return &pair.original;
    return nullptr;
  }

  at::Tensor leave(const at::Tensor& tensor) const {
    if (!tensor.defined()) return tensor;
    for (const Pair& pair : tensors)
      if (pair.alias.is_same(tensor)) return pair.original;
    if (const c10::Storage* storage = device_storage(tensor.storage()))
      return same_shape(tensor, *storage);
    at::Tensor made =
        at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(device()));
    host_alias(made).copy_(tensor);
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number())
      made.unsafeGetTensorImpl()->set_wrapped_number(true);
    return made;
  }

  /// What the kernel did to its arguments' shape and memory, done to the originals.
  void apply_resizes() {
    for (const StoragePair& pair : storages) {
      c10::StorageImpl& original = *pair.original.unsafeGetStorageImpl();
      const c10::StorageImpl& alias = *pair.alias.unsafeGetStorageImpl();
      if (alias.data() == host_address(original.mutable_data()) &&
          alias.nbytes() == original.nbytes())
        continue;
      resize_storage(original, alias.nbytes());
      if (alias.nbytes() > 0)
        std::memcpy(host_address(original.mutable_data()), alias.data(), alias.nbytes());
    }
    for (const Pair& pair : tensors) {
      c10::TensorImpl* original = pair.original.unsafeGetTensorImpl();
      if (const c10::Storage* now = device_storage(pair.alias.storage());
          now != nullptr && !now->is_alias_of(pair.original.storage()))
        original->set_storage_keep_dtype(*now);
      if (pair.alias.sizes() != pair.original.sizes() ||
          pair.alias.strides() != pair.original.strides() ||
          pair.alias.storage_offset() != pair.original.storage_offset())
        original->set_sizes_and_strides(pair.alias.sizes(), pair.alias.strides(),
                                        pair.alias.storage_offset());
    }
  }
};

template <typename F>
void for_each_tensor(const c10::IValue& value, F&& f) {
  if (value.isTensor()) {
    f(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) f(tensor);
  } else if (value.isList()) {  // of optional tensors
    for (const c10::IValue& element : value.toListRef())
      if (element.isTensor()) f(element.toTensor());
  }
}

void check_devices(const Call& call, c10::ArrayRef<c10::IValue> arguments) {
  const auto& schema = call.op.schema();
  const bool unchecked = unchecked_operators().contains(call.name);
  bool any = false;
  for (const c10::IValue& value : arguments)
    for_each_tensor(value, [&](const at::Tensor& t) { any = any || t.is_privateuseone(); });
  for (std::size_t i = 0; any && i < arguments.size(); ++i) {
    const c10::Argument& argument = schema.arguments()[i];
    const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    for_each_tensor(arguments[i], [&](const at::Tensor& tensor) {
      if (!tensor.defined() || tensor.is_privateuseone()) return;
      const bool number = unchecked && !written && tensor.dim() == 0;
      const bool index = is_index(call.name) && argument.name() == "indices";
      TORCH_CHECK(tensor.is_cpu() && (number || index),
                  "Expected all tensors to be on the same device, but ", argument.name(), " of ",
                  toString(schema.operator_name()), " is on ", tensor.device(),
                  " and another is on ", device());
      // index itself has moved them before it comes here.
      if (index && call.name != "index") ++tally().h2d_blocking;
    });
  }
}

void note_data_dependence(const Call& call, c10::ArrayRef<c10::IValue> arguments) {
  bool depends = depends_on_data(call.name) ||
                 (call.name == "repeat_interleave" && call.op.schema().overload_name() == "Tensor");
  if (call.name == "_index_put_impl_")
    for_each_tensor(arguments[1], [&](const at::Tensor& t) {
      depends = depends ||
                (t.defined() && (t.scalar_type() == at::kBool || t.scalar_type() == at::kByte));
    });
  if (depends) ++tally().data_dependent;
}

c10::IValue entered(Call& call, const c10::IValue& value) {
  if (value.isTensor()) return call.enter(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& tensor : value.toTensorVector()) out.push_back(call.enter(tensor));
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      out.push_back(tensor ? std::optional(call.enter(*tensor)) : std::nullopt);
    return out;
  }
  if (value.isStorage()) return call.enter(value.toStorage());
  if (value.isDevice() && value.toDevice().is_privateuseone()) return at::Device(at::kCPU);
  if (value.isGenerator()) return host_generator(value.toGenerator());
  return value;
}

c10::IValue left(const Call& call, const c10::IValue& value) {
  if (value.isTensor()) return call.leave(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& tensor : value.toTensorVector()) out.push_back(call.leave(tensor));
    return out;
  }
  return value;
}

}  // namespace

void fallback_as(const c10::OperatorHandle& op, const c10::OperatorHandle& kernel,
                 torch::jit::Stack* stack) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  std::string name = op.operator_name().name;
  name.erase(0, name.rfind(':') + 1);
  Call call{op, std::move(name)};
  const std::size_t count = op.schema().arguments().size();
  const auto arguments = torch::jit::last(*stack, count);
  check_devices(call, arguments);
  note_data_dependence(call, arguments);
  ++tally().operators;

  torch::jit::Stack inner;
  inner.reserve(count);
  for (const c10::IValue& value : arguments) inner.push_back(entered(call, value));
  kernel.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &inner);
  call.apply_resizes();
  torch::jit::drop(*stack, count);
  for (const c10::IValue& value : inner) stack->push_back(left(call, value));
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  fallback_as(op, op, stack);
}

}  // namespace bestreel::fake
