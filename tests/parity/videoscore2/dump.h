// What the dump programs share: raw arrays and a request that is a JSON file.
#pragma once

#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/file.h"

namespace bestreel::dump {

using nlohmann::json;
using Command = json (*)(const json& request, const std::string& out);

inline at::Tensor read_array(const std::string& path, at::IntArrayRef shape, at::ScalarType dtype) {
  const std::string bytes = read_file(path);
  return at::from_blob(const_cast<char*>(bytes.data()), shape, at::TensorOptions().dtype(dtype))
      .clone();
}

inline void write_array(const std::string& path, const at::Tensor& tensor) {
  const at::Tensor data = tensor.cpu().contiguous();
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(data.const_data_ptr()),
             static_cast<std::streamsize>(data.nbytes()));
}

/// PROGRAM COMMAND REQUEST.json OUT: answers in OUT/result.json.
inline int run(int argc, char** argv, const std::map<std::string, Command>& commands) {
  if (argc != 4 || !commands.contains(argv[1])) {
    fmt::print(stderr, "usage: {} COMMAND REQUEST.json OUT\n", argv[0]);
    return 2;
  }
  try {
    const json request = json::parse(read_file(argv[2]));
    const c10::InferenceMode no_grad;
    std::ofstream(std::string(argv[3]) + "/result.json")
        << commands.at(argv[1])(request, argv[3]).dump();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace bestreel::dump
