// What the parts of the fake accelerator share.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bestreel::fake {

struct AtomicCounters {
  std::atomic<std::int64_t> operators{0}, items{0}, d2h{0}, d2h_async{0}, h2d_blocking{0},
      h2d_async{0}, h2d_bytes{0}, synchronizes{0}, data_dependent{0}, events_recorded{0},
      events_waited{0};
};
AtomicCounters& tally();

c10::Allocator& device_allocator();
c10::Allocator& pinned_allocator();
bool is_device_address(const void* address);
bool is_pinned(const void* address);
/// Where the bytes behind a device address really are. Null stays null.
void* host_address(void* device_address);

/// Gives the storage `bytes` of new device memory and keeps what fits of the old.
void resize_storage(c10::StorageImpl& storage, std::size_t bytes);
/// A storage of the CPU on the same bytes, which keeps the device's alive.
c10::Storage alias_storage(const c10::Storage& storage);
/// A tensor like the given one on another storage, of either device.
at::Tensor same_shape(const at::Tensor& like, c10::Storage storage);
/// The same bytes as a tensor of the CPU; what is there already is itself.
at::Tensor host_alias(const at::Tensor& tensor);

/// The CPU generator inside one of the device's.
at::Generator host_generator(const at::Generator& generator);

}  // namespace bestreel::fake
