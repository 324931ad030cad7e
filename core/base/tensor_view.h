// A torch-free view of an array: what crosses the walls between rooms and hosts. Public header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace bestreel {

enum class DType : std::uint8_t { kUInt8, kFloat32, kFloat16, kBFloat16 };
enum class DeviceKind : std::uint8_t { kCpu, kCuda, kPrivate };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

/// `data` points at element (0, ..., 0); strides count elements, not bytes, and are never empty.
/// `owner` keeps the memory alive; a view without owner is borrowed for the duration of the call.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kUInt8;
  Device device;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  std::shared_ptr<const void> owner;

  std::int64_t dim(std::size_t i) const { return shape.at(i); }
};

}  // namespace bestreel
