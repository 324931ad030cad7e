// A device that is not there: libtorch's PrivateUse1 backend, computed by the CPU's own kernels.
//
// It proves where things are. Its memory cannot be read through its addresses, operators that get
// tensors of both devices raise as CUDA's do, and every transfer and host read is counted. What it
// computes is bitwise what the CPU computes. It cannot prove the order of streams, nor what a CUDA
// graph may capture.
//
// Link it as an OBJECT library: it registers itself when the program starts, unless
// BESTREEL_TEST_DEVICE names another device: libtorch asks a registered backend before CUDA.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace bestreel::fake {

inline at::Device device() { return {c10::DeviceType::PrivateUse1, 0}; }

/// Whether it is registered, so that transfers are counted.
bool registered();

/// Since the last reset, over all threads.
struct Counters {
  std::int64_t operators = 0;       ///< that ran on the device
  std::int64_t items = 0;           ///< item(): the host waits for one number
  std::int64_t d2h = 0;             ///< copies to the host that it waits for
  std::int64_t d2h_async = 0;       ///< into pinned memory, not waited for
  std::int64_t h2d_blocking = 0;    ///< copies to the device that the host waits for
  std::int64_t h2d_async = 0;       ///< from pinned memory, not waited for
  std::int64_t h2d_bytes = 0;       ///< of both kinds
  std::int64_t synchronizes = 0;    ///< of a stream, an event or the device
  std::int64_t data_dependent = 0;  ///< operators whose result's size the host must learn
  std::int64_t events_recorded = 0, events_waited = 0;  ///< by a stream

  /// The host learnt something from the device.
  std::int64_t host_reads() const { return items + d2h + data_dependent; }
  /// The host waited for the device, for whatever reason.
  std::int64_t waits() const { return host_reads() + h2d_blocking + synchronizes; }
};
Counters counters();
void reset_counters();

/// Bytes of device memory that are allocated now, and the most since the last reset_peak().
std::int64_t allocated_bytes();
std::int64_t peak_bytes();
void reset_peak();

}  // namespace bestreel::fake
