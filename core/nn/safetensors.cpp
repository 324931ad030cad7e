#include "core/nn/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/base/fail.h"

namespace bestreel {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit

/// Every dtype that the format knows, so that a file is not called broken for holding one that we
/// cannot compute with. Bits, because the smallest are under a byte.
constexpr std::pair<std::string_view, std::uint64_t> kBits[] = {
    {"BOOL", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"I16", 16}, {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"F8_E5M2FNUZ", 8},
    {"I32", 32}, {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64}, {"U64", 64},
};

std::optional<std::uint64_t> bits_of(std::string_view dtype) {
  for (const auto& [name, bits] : kBits) {
    if (name == dtype) return bits;
  }
  return std::nullopt;
}

template <typename... Args>
[[noreturn]] void malformed(const std::string& file, fmt::format_string<Args...> what,
                            Args&&... args) {
  fail("safetensors_malformed", "safetensors",
       "{} must be a whole safetensors file but {}: download it again", file,
       fmt::format(what, std::forward<Args>(args)...));
}

/// A name from a file, fit for a sentence: bounded, and no control characters for the terminal.
std::string shown(const std::string& name) {
  std::string text = json(name.substr(0, 200)).dump(-1, ' ', true, json::error_handler_t::replace);
  return name.size() > 200 ? text + "..." : text;
}

std::uint64_t read_length(const std::uint8_t* bytes) {
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[i];
  return length;
}

/// What one tensor's object says, as far as it was read.
struct RawEntry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::uint64_t> offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
  bool shape_is_whole = true, offsets_are_whole = true;
};

TensorEntry check_entry(const std::string& file, RawEntry raw, std::uint64_t data_begin,
                        std::uint64_t file_size) {
  const std::string tensor = shown(raw.name);
  if (!raw.has_dtype || !raw.has_shape || !raw.has_offsets || raw.offsets.size() != 2) {
    malformed(file, "the header's tensor {} lacks a dtype, a shape or two data_offsets", tensor);
  }
  TensorEntry entry{std::move(raw.name), std::move(raw.dtype), std::move(raw.shape), 0, 0};
  const std::optional<std::uint64_t> bits = bits_of(entry.dtype);
  if (!bits) malformed(file, "tensor {} has the unknown dtype {}", tensor, shown(entry.dtype));
  if (!raw.shape_is_whole) {
    malformed(file, "tensor {} has a shape that is no list of whole numbers", tensor);
  }

  std::uint64_t size = *bits;
  bool empty = false, overflow = false;
  for (const std::int64_t dim : entry.shape) {
    empty |= dim == 0;
    // A zero among the dimensions must not hide that the others overflow: strides would.
    overflow |= __builtin_mul_overflow(
        size, std::max<std::uint64_t>(static_cast<std::uint64_t>(dim), 1), &size);
  }
  if (empty) size = 0;
  if (overflow) malformed(file, "the shape of tensor {} is larger than any memory", tensor);
  if (size % 8 != 0) malformed(file, "tensor {} does not fill whole bytes", tensor);

  if (!raw.offsets_are_whole) {
    malformed(file, "the data_offsets of tensor {} are no whole numbers", tensor);
  }
  const std::uint64_t begin = raw.offsets[0], end = raw.offsets[1];
  if (begin > end || end > file_size - data_begin) {
    malformed(file,
              "tensor {} has bytes {} to {} of its data while the file holds {} (is it cut off?)",
              tensor, begin, end, file_size - data_begin);
  }
  if (end - begin != size / 8) {
    malformed(file, "tensor {} of dtype {} needs {} bytes by its shape but {} are given", tensor,
              entry.dtype, size / 8, end - begin);
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

/// Reads a header token by token: no tree is built, so that memory is bounded by the entries and
/// time by the header's length. Names that stand twice, which a tree would merge in silence, are
/// caught here.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  HeaderReader(const std::string& file, std::uint64_t data_begin, std::uint64_t file_size)
      : file_(file), data_begin_(data_begin), file_size_(file_size) {}

  std::vector<TensorEntry> take() && { return std::move(entries_); }

  bool null() override { return scalar(false, 0); }
  bool boolean(bool) override { return scalar(false, 0); }
  bool number_integer(number_integer_t) override { return scalar(false, 0); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(true, value); }
  bool number_float(number_float_t, const string_t&) override { return scalar(false, 0); }
  bool binary(binary_t&) override { return scalar(false, 0); }
  bool string(string_t& value) override {
    if (depth_ == 2 && place_ == Place::kDtype) {
      entry_.dtype = std::move(value);
      entry_.has_dtype = true;
      return true;
    }
    return scalar(false, 0);
  }

  bool start_object(std::size_t) override { return open(true); }
  bool end_object() override {
    if (--depth_ == 1 && !metadata_) {
      entries_.push_back(check_entry(file_, std::exchange(entry_, {}), data_begin_, file_size_));
    }
    return true;
  }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override {
    --depth_;
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) {
      if (!names_.insert(name).second) {
        malformed(file_, "its header holds the name {} twice", shown(name));
      }
      metadata_ = name == "__metadata__";
      entry_.name = std::move(name);
    } else if (depth_ == 2) {
      place_ = metadata_                ? Place::kElsewhere
               : name == "dtype"        ? Place::kDtype
               : name == "shape"        ? Place::kShape
               : name == "data_offsets" ? Place::kOffsets
                                        : Place::kElsewhere;
      const bool twice = (place_ == Place::kDtype && entry_.has_dtype) ||
                         (place_ == Place::kShape && entry_.has_shape) ||
                         (place_ == Place::kOffsets && entry_.has_offsets);
      if (twice) malformed(file_, "its header holds the name {} twice", shown(name));
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // 406: a number beyond what a double holds.
    if (error.id == 406) malformed(file_, "its header holds a number that is out of range");
    malformed(file_, "its header is no JSON (byte {})", kLengthBytes + position);
  }

 private:
  enum class Place { kElsewhere, kDtype, kShape, kOffsets };

  [[noreturn]] void not_an_object() const { malformed(file_, "its header is no JSON object"); }

  bool open(bool object) {
    if (depth_ == 0 && !object) not_an_object();
    if (depth_ == 1 && !object) return scalar(false, 0), ++depth_, true;
    if (depth_ >= kMaxDepth)
      malformed(file_, "its header is nested deeper than {} levels", kMaxDepth);
    if (depth_ == 2 && !object) {
      if (place_ == Place::kShape) entry_.has_shape = true;
      if (place_ == Place::kOffsets) entry_.has_offsets = true;
    } else if (depth_ == 3) {
      scalar(false, 0);
    }
    ++depth_;
    return true;
  }

  /// A value that is no object and no list; `whole` where it is a whole number.
  bool scalar(bool whole, std::uint64_t value) {
    if (depth_ == 0) not_an_object();
    if (depth_ == 1 && !metadata_) check_entry(file_, std::move(entry_), data_begin_, file_size_);
    if (depth_ != 3 || metadata_) return true;
    if (place_ == Place::kShape) {
      constexpr std::uint64_t kMaxDim = std::numeric_limits<std::int64_t>::max();
      if (entry_.shape.size() == kMaxRank)
        malformed(file_, "the shape of tensor {} has more than {} dimensions", shown(entry_.name),
                  kMaxRank);
      entry_.shape_is_whole &= whole && value <= kMaxDim;
      entry_.shape.push_back(whole && value <= kMaxDim ? static_cast<std::int64_t>(value) : 0);
    } else if (place_ == Place::kOffsets && entry_.offsets.size() < 3) {
      entry_.offsets_are_whole &= whole;
      entry_.offsets.push_back(value);
    }
    return true;
  }

  static constexpr int kMaxDepth = 8;
  static constexpr std::size_t kMaxRank = 64;

  const std::string& file_;
  std::uint64_t data_begin_, file_size_;
  int depth_ = 0;  // of open objects and lists
  bool metadata_ = false;
  Place place_ = Place::kElsewhere;
  RawEntry entry_;
  std::vector<TensorEntry> entries_;
  std::unordered_set<std::string> names_;
};

/// Without holes: a stray byte could hide anything, and a file that tiles cannot alias tensors.
void check_tiling(const std::string& file, const std::vector<TensorEntry>& entries,
                  std::uint64_t data_begin, std::uint64_t file_size) {
  std::uint64_t position = data_begin;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != position) {
      malformed(file, "the data of tensor {} {} at byte {}, where {} was due", shown(entry.name),
                entry.begin < position ? "overlaps another one" : "leaves a hole", entry.begin,
                position);
    }
    position = entry.end;
  }
  if (position != file_size) {
    malformed(file, "{} bytes follow the last tensor", file_size - position);
  }
}

}  // namespace

std::vector<TensorEntry> parse_safetensors_header(const std::string& file,
                                                  const std::uint8_t* bytes,
                                                  std::uint64_t available,
                                                  std::uint64_t file_size) {
  const std::string_view start(reinterpret_cast<const char*>(bytes), available);
  if (start.starts_with("version https://git-lfs")) {
    fail("safetensors_malformed", "safetensors",
         "{} is a git-LFS pointer and not the weights: run `git lfs pull` in its folder, or "
         "download the file itself",
         file);
  }
  if (file_size < kLengthBytes || available < kLengthBytes) {
    malformed(file, "it has only {} bytes", file_size);
  }
  const std::uint64_t length = read_length(bytes);
  if (length > kMaxHeader) {
    malformed(file, "its header claims {} bytes, more than the {} that the format allows", length,
              kMaxHeader);
  }
  if (length > std::min(available, file_size) - kLengthBytes) {
    malformed(file, "its header claims {} bytes while the file holds {} (is it cut off?)", length,
              file_size);
  }
  const std::uint64_t data_begin = kLengthBytes + length;
  HeaderReader reader(file, data_begin, file_size);
  const std::string_view header = start.substr(kLengthBytes, length);
  json::sax_parse(header.begin(), header.end(), &reader);
  std::vector<TensorEntry> entries = std::move(reader).take();
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_tiling(file, entries, data_begin, file_size);
  return entries;
}

}  // namespace bestreel
