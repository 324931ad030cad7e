#include "core/nn/gguf.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/fail.h"
#include "core/nn/stored.h"

namespace bestreel {
namespace {

/// ggml's numbers of the types that stored_format() has, by their names there.
constexpr std::pair<std::uint32_t, std::string_view> kTypes[] = {
    {0, "F32"},   {1, "F16"},   {2, "Q4_0"},  {3, "Q4_1"},  {6, "Q5_0"},  {7, "Q5_1"},  {8, "Q8_0"},
    {10, "Q2_K"}, {11, "Q3_K"}, {12, "Q4_K"}, {13, "Q5_K"}, {14, "Q6_K"}, {30, "BF16"},
};

class Cursor {
 public:
  Cursor(const std::string& file, const std::uint8_t* bytes, std::uint64_t size)
      : file_(file), bytes_(bytes), size_(size) {}

  template <typename... Args>
  [[noreturn]] void malformed(fmt::format_string<Args...> what, Args&&... args) const {
    fail("gguf_malformed", "gguf", "{} must be a whole GGUF file but {}: download it again", file_,
         fmt::format(what, std::forward<Args>(args)...));
  }

  template <typename T>
  T number() {
    T value{};
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string text() {
    const auto length = number<std::uint64_t>();
    return {reinterpret_cast<const char*>(take(length)), length};
  }
  void skip(std::uint64_t count, std::uint64_t each) {
    if (each != 0 && count > (size_ - at_) / each) malformed("it is cut off at byte {}", at_);
    at_ += count * each;
  }
  std::uint64_t at() const { return at_; }

 private:
  const std::uint8_t* take(std::uint64_t count) {
    if (count > size_ - at_) malformed("it is cut off at byte {}", at_);
    const std::uint8_t* taken = bytes_ + at_;
    at_ += count;
    return taken;
  }

  const std::string& file_;
  const std::uint8_t* bytes_;
  std::uint64_t size_, at_ = 0;
};

enum ValueType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

std::uint64_t width_of(const Cursor& in, std::uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    default:
      in.malformed("a value has the unknown type {}", type);
  }
}

std::int64_t integer(Cursor& in, std::uint32_t type) {
  switch (type) {
    case kUint8:
    case kBool:
      return in.number<std::uint8_t>();
    case kInt8:
      return in.number<std::int8_t>();
    case kUint16:
      return in.number<std::uint16_t>();
    case kInt16:
      return in.number<std::int16_t>();
    case kUint32:
      return in.number<std::uint32_t>();
    case kInt32:
      return in.number<std::int32_t>();
    case kUint64:
      return static_cast<std::int64_t>(in.number<std::uint64_t>());
    default:
      return in.number<std::int64_t>();
  }
}

void read_value(Cursor& in, const std::string& key, GgufHeader& out) {
  const auto type = in.number<std::uint32_t>();
  const auto whole = [](std::uint32_t t) { return t != kFloat32 && t != kFloat64; };
  if (type == kString) {
    out.strings[key] = in.text();
  } else if (type != kArray) {
    const std::uint64_t width = width_of(in, type);
    if (whole(type))
      out.integers[key] = {integer(in, type)};
    else
      in.skip(1, width);
  } else {
    constexpr std::uint64_t kShort = 16;  // shapes; vocabularies are passed over
    const auto each = in.number<std::uint32_t>();
    const auto count = in.number<std::uint64_t>();
    if (each == kArray) in.malformed("{:.80} is a list of lists", key);
    if (each == kString) {
      for (std::uint64_t i = 0; i < count; ++i) in.skip(in.number<std::uint64_t>(), 1);
    } else if (whole(each) && count <= kShort) {
      width_of(in, each);
      for (std::uint64_t i = 0; i < count; ++i) out.integers[key].push_back(integer(in, each));
    } else {
      in.skip(count, width_of(in, each));
    }
  }
}

}  // namespace

bool is_gguf(const std::uint8_t* bytes, std::uint64_t available) {
  return available >= 4 && std::memcmp(bytes, "GGUF", 4) == 0;
}

GgufHeader parse_gguf_header(const std::string& file, const std::uint8_t* bytes,
                             std::uint64_t size) {
  Cursor in(file, bytes, size);
  if (!is_gguf(bytes, size)) in.malformed("it does not start with GGUF");
  in.number<std::uint32_t>();
  const auto version = in.number<std::uint32_t>();
  if (version < 2 || version > 3)
    fail("gguf_unsupported", "gguf",
         "{} must have version 2 or 3 of GGUF, in the byte order of this machine, but has {}: "
         "convert it again",
         file, version);
  const auto tensors = in.number<std::uint64_t>(), values = in.number<std::uint64_t>();
  GgufHeader out;
  for (std::uint64_t i = 0; i < values; ++i) {
    const std::string key = in.text();
    read_value(in, key, out);
  }
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    TensorEntry entry;
    entry.name = in.text();
    if (!names.insert(entry.name).second) in.malformed("it holds {:.80} twice", entry.name);
    const auto dimensions = in.number<std::uint32_t>();
    if (dimensions > 8) in.malformed("{:.80} has {} dimensions", entry.name, dimensions);
    std::uint64_t count = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto dimension = in.number<std::uint64_t>();
      if (dimension == 0 || __builtin_mul_overflow(count, dimension, &count) || count > INT64_MAX)
        in.malformed("the shape of {:.80} is empty or larger than any memory", entry.name);
      entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(dimension));
    }
    const auto type = in.number<std::uint32_t>();
    const auto* known = std::find_if(std::begin(kTypes), std::end(kTypes),
                                     [&](const auto& one) { return one.first == type; });
    if (known == std::end(kTypes))
      fail("gguf_unsupported", "gguf",
           "{}: the tensor {:.80} has numbers of ggml's type {}, but F32, F16, BF16, Q8_0, Q4_0, "
           "Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K are read: take the file in one of these",
           file, entry.name, type);
    entry.dtype = known->second;
    const StoredFormat& format = *stored_format(entry.dtype);
    const auto row = static_cast<std::uint64_t>(entry.shape.empty() ? 1 : entry.shape.back());
    const auto block = static_cast<std::uint64_t>(format.elements);
    if (row % block != 0)
      in.malformed("the rows of {:.80} are no whole blocks of {}", entry.name, entry.dtype);
    entry.begin = in.number<std::uint64_t>();
    if (__builtin_mul_overflow(count / block, static_cast<std::uint64_t>(format.bytes), &entry.end))
      in.malformed("{:.80} is larger than any memory", entry.name);
    // A shape that ggml's four dimensions could not hold is written beside.
    if (const auto shape = out.integers.find("comfy.gguf.orig_shape." + entry.name);
        shape != out.integers.end()) {
      std::uint64_t elements = 1;
      for (const std::int64_t d : shape->second)
        if (d < 1 || __builtin_mul_overflow(elements, static_cast<std::uint64_t>(d), &elements))
          in.malformed("the original shape of {:.80} is impossible", entry.name);
      if (elements != count) in.malformed("the original shape of {:.80} does not fit", entry.name);
      entry.shape = shape->second;
    }
    out.tensors.push_back(std::move(entry));
  }
  std::uint64_t alignment = 32;
  if (const auto at = out.integers.find("general.alignment"); at != out.integers.end()) {
    if (at->second[0] < 1 || at->second[0] > 1 << 20) in.malformed("its alignment is impossible");
    alignment = static_cast<std::uint64_t>(at->second[0]);
  }
  const std::uint64_t data = (in.at() + alignment - 1) / alignment * alignment;
  for (TensorEntry& entry : out.tensors) {
    if (data > size || entry.begin > size - data || entry.end > size - data - entry.begin)
      in.malformed("{:.80} reaches beyond its end (is it cut off?)", entry.name);
    entry.begin += data;
    entry.end += entry.begin;
  }
  std::sort(out.tensors.begin(), out.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.begin < b.begin; });
  return out;
}

}  // namespace bestreel
