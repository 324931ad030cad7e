// Device memory whose addresses nobody may read.
//
// Two mappings of one size: the first has no rights at all and gives the addresses, the second, at
// a fixed distance, holds the bytes. A host that follows a device pointer dies at once, and no
// operator pays for it.
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "tests/fake_accelerator/fake_accelerator.h"
#include "tests/fake_accelerator/internal.h"

namespace bestreel::fake {
namespace {

constexpr std::size_t kReserved = std::size_t{64} << 30;
constexpr std::size_t kSmallest = 256;  // bytes: alignment, and the smallest block

std::byte* reserve(int rights) {
  void* begin =
      ::mmap(nullptr, kReserved, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) {
    std::fprintf(stderr,
                 "[fake accelerator] 64 GiB of addresses must be free but mmap says %s: raise "
                 "ulimit -v\n",
                 std::strerror(errno));
    std::abort();
  }
  return static_cast<std::byte*>(begin);
}

/// Blocks of powers of two, kept for the next of their size.
class Arena {
 public:
  void* allocate(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    const std::size_t block = std::bit_ceil(std::max(bytes, kSmallest));
    const std::lock_guard lock(mutex_);
    std::vector<std::byte*>& free = free_[block];
    std::byte* address = nullptr;
    if (!free.empty()) {
      address = free.back();
      free.pop_back();
    } else {
      TORCH_CHECK(block <= kReserved - used_, "the fake accelerator's memory is spent");
      address = addresses_ + used_;
      used_ += block;
    }
    sizes_[address] = bytes;
    allocated_ += static_cast<std::int64_t>(bytes);
    peak_ = std::max(peak_, allocated_);
    return address;
  }

  void free(void* pointer) {
    auto* address = static_cast<std::byte*>(pointer);
    const std::lock_guard lock(mutex_);
    const auto at = sizes_.find(address);
    free_[std::bit_ceil(std::max(at->second, kSmallest))].push_back(address);
    allocated_ -= static_cast<std::int64_t>(at->second);
    sizes_.erase(at);
  }

  bool holds(const void* address) const {
    return address >= addresses_ && address < addresses_ + kReserved;
  }
  void* host(void* address) const {
    return bytes_ + (static_cast<std::byte*>(address) - addresses_);
  }

  std::int64_t allocated() {
    const std::lock_guard lock(mutex_);
    return allocated_;
  }
  std::int64_t peak() {
    const std::lock_guard lock(mutex_);
    return peak_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    peak_ = allocated_;
  }

 private:
  std::byte* const addresses_ = reserve(PROT_NONE);
  std::byte* const bytes_ = reserve(PROT_READ | PROT_WRITE);
  std::mutex mutex_;
  std::size_t used_ = 0;
  std::unordered_map<std::size_t, std::vector<std::byte*>> free_;
  std::unordered_map<std::byte*, std::size_t> sizes_;
  std::int64_t allocated_ = 0, peak_ = 0;
};

// Never destroyed: tensors of static lifetime may be freed after it.
Arena& arena() {
  static Arena* const it = new Arena;
  return *it;
}

struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* address = arena().allocate(bytes);
    return {address, address, raw_deleter(), device()};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return [](void* address) {
      if (address != nullptr) arena().free(address);
    };
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    if (count > 0) std::memcpy(host_address(to), host_address(const_cast<void*>(from)), count);
  }
};

/// Ordinary memory that is known by its addresses.
struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* address = std::aligned_alloc(64, (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64);
    const std::lock_guard lock(mutex);
    blocks[static_cast<std::byte*>(address)] = bytes;
    return {address, address, raw_deleter(), c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
  bool holds(const void* address) {
    const std::lock_guard lock(mutex);
    for (const auto& [begin, bytes] : blocks)
      if (address >= begin && address < begin + bytes) return true;
    return false;
  }
  static void release(void* address);

  std::mutex mutex;
  std::unordered_map<std::byte*, std::size_t> blocks;
};

PinnedAllocator& pinned() {
  static auto* const it = new PinnedAllocator;
  return *it;
}

void PinnedAllocator::release(void* address) {
  {
    const std::lock_guard lock(pinned().mutex);
    pinned().blocks.erase(static_cast<std::byte*>(address));
  }
  std::free(address);
}

}  // namespace

c10::Allocator& device_allocator() {
  static auto* const it = new DeviceAllocator;
  return *it;
}
c10::Allocator& pinned_allocator() { return pinned(); }
bool is_device_address(const void* address) { return arena().holds(address); }
bool is_pinned(const void* address) { return pinned().holds(address); }
void* host_address(void* address) { return address == nullptr ? nullptr : arena().host(address); }

std::int64_t allocated_bytes() { return arena().allocated(); }
std::int64_t peak_bytes() { return arena().peak(); }
void reset_peak() { arena().reset_peak(); }

void resize_storage(c10::StorageImpl& storage, std::size_t bytes) {
  c10::DataPtr fresh = device_allocator().allocate(bytes);
  const std::size_t kept = std::min(bytes, storage.nbytes());
  if (kept > 0) device_allocator().copy_data(fresh.get(), storage.data(), kept);
  storage.set_data_ptr_noswap(std::move(fresh));
  storage.set_nbytes(bytes);
}

c10::Storage alias_storage(const c10::Storage& storage) {
  c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
  auto* keeper = new c10::Storage(storage);
  // An address of the host in a device tensor (wrapped by from_blob) is a mistake to be found.
  void* address = impl->mutable_data();
  TORCH_CHECK(address == nullptr || is_device_address(address),
              "[fake accelerator] a device tensor holds an address of the host");
  return c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), impl->nbytes(),
      c10::DataPtr(
          host_address(address), keeper,
          [](void* context) { delete static_cast<c10::Storage*>(context); },
          c10::Device(c10::DeviceType::CPU)),
      c10::GetAllocator(c10::DeviceType::CPU), /*resizable=*/true);
}

at::Tensor same_shape(const at::Tensor& like, c10::Storage storage) {
  const auto backend = storage.device().is_cpu() ? c10::BackendComponent::CPUBit
                                                 : c10::BackendComponent::PrivateUse1Bit;
  c10::DispatchKeySet keys(storage.device().is_cpu() ? c10::DispatchKey::CPU
                                                     : c10::DispatchKey::PrivateUse1);
  // As a view, which in inference mode remains what its base is.
  if (!like.is_inference()) keys = keys | c10::getAutogradRelatedKeySetFromBackend(backend);
  at::Tensor made = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, std::move(storage), keys, like.dtype());
  c10::TensorImpl* impl = made.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  if (like.is_conj()) made._set_conj(true);
  if (like.is_neg()) made._set_neg(true);
  return made;
}

at::Tensor host_alias(const at::Tensor& tensor) {
  return tensor.is_cpu() ? tensor : same_shape(tensor, alias_storage(tensor.storage()));
}

AtomicCounters& tally() {
  static auto* const it = new AtomicCounters;
  return *it;
}

Counters counters() {
  const AtomicCounters& t = tally();
  return {t.operators,      t.items,           t.d2h,          t.d2h_async,
          t.h2d_blocking,   t.h2d_async,       t.h2d_bytes,    t.synchronizes,
          t.data_dependent, t.events_recorded, t.events_waited};
}

void reset_counters() {
  AtomicCounters& t = tally();
  for (auto* count :
       {&t.operators, &t.items, &t.d2h, &t.d2h_async, &t.h2d_blocking, &t.h2d_async, &t.h2d_bytes,
        &t.synchronizes, &t.data_dependent, &t.events_recorded, &t.events_waited})
    count->store(0);
}

namespace {
const c10::AllocatorRegisterer<c10::DeviceType::PrivateUse1> kRegistered(&device_allocator());
}  // namespace

}  // namespace bestreel::fake
