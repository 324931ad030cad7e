#include <cstring>
#include <nlohmann/json.hpp>

#include "core/nn/safetensors.h"

namespace bestreel {

std::map<std::string, std::string> parse_safetensors_metadata(const std::uint8_t* bytes,
                                                              std::uint64_t file_size) {
  using nlohmann::json;
  std::uint64_t length = 0;
  std::memcpy(&length, bytes, sizeof length);
  length = std::min(length, file_size - sizeof length);
  // Only what is asked for is kept: a header can have a hundred thousand tensors.
  const auto keep = [](int depth, json::parse_event_t event, json& value) {
    return depth != 1 || event != json::parse_event_t::key ||
           value.get_ref<const std::string&>() == "__metadata__";
  };
  const json header =
      json::parse(bytes + sizeof length, bytes + sizeof length + length, keep, false);
  std::map<std::string, std::string> metadata;
  if (!header.is_object() || !header.contains("__metadata__")) return metadata;
  for (const auto& [key, value] : header["__metadata__"].items())
    if (value.is_string()) metadata[key] = value.get<std::string>();
  return metadata;
}

}  // namespace bestreel
