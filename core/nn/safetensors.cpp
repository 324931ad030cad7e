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

/// nlohmann keeps the last of two equal keys in silence, so they are caught while parsing.
json parse_unique(const std::string& file, std::string_view text) {
  std::vector<std::unordered_set<std::string>> keys;  // one set per open object
  std::string twice;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second && twice.empty()) twice = shown(key);
    }
    return true;
  };
  json header;
  try {
    header = json::parse(text.begin(), text.end(), watch);
  } catch (const json::parse_error& error) {
    malformed(file, "its header is no JSON (byte {})", kLengthBytes + error.byte);
  } catch (const json::exception&) {
    malformed(file, "its header holds a number that is out of range");
  }
  if (!twice.empty()) malformed(file, "its header holds the name {} twice", twice);
  if (!header.is_object()) malformed(file, "its header is no JSON object");
  return header;
}

TensorEntry read_entry(const std::string& file, const std::string& name, const json& value,
                       std::uint64_t data_begin, std::uint64_t file_size) {
  const std::string tensor = shown(name);
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    malformed(file, "the header's tensor {} lacks a dtype, a shape or two data_offsets", tensor);
  }
  TensorEntry entry{name, value["dtype"].get<std::string>(), {}, 0, 0};
  const std::optional<std::uint64_t> bits = bits_of(entry.dtype);
  if (!bits) malformed(file, "tensor {} has the unknown dtype {}", tensor, shown(entry.dtype));

  std::uint64_t size = *bits;
  bool empty = false, overflow = false;
  for (const json& dim : value["shape"]) {
    constexpr std::uint64_t kMaxDim = std::numeric_limits<std::int64_t>::max();
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > kMaxDim) {
      malformed(file, "tensor {} has a shape that is no list of whole numbers", tensor);
    }
    entry.shape.push_back(dim.get<std::int64_t>());
    empty |= entry.shape.back() == 0;
    // A zero among the dimensions must not hide that the others overflow: strides would.
    overflow |=
        __builtin_mul_overflow(size, std::max<std::uint64_t>(dim.get<std::uint64_t>(), 1), &size);
  }
  if (empty) size = 0;
  if (overflow) malformed(file, "the shape of tensor {} is larger than any memory", tensor);
  if (size % 8 != 0) malformed(file, "tensor {} does not fill whole bytes", tensor);

  const json& offsets = value["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    malformed(file, "the data_offsets of tensor {} are no whole numbers", tensor);
  }
  const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
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
  const json header = parse_unique(file, start.substr(kLengthBytes, length));

  const std::uint64_t data_begin = kLengthBytes + length;
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    entries.push_back(read_entry(file, name, value, data_begin, file_size));
  }
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_tiling(file, entries, data_begin, file_size);
  return entries;
}

}  // namespace bestreel
