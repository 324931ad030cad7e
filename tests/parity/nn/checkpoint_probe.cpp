// Ours, for the parity test: one line for each tensor of a folder, sorted by name.
//   checkpoint_probe FOLDER [STEM]  ->  name dtype [shape] sha256
#include <fmt/ranges.h>

#include <iostream>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/nn/checkpoint.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  try {
    const auto checkpoint = bestreel::Checkpoint::open(argv[1], argc > 2 ? argv[2] : "model");
    for (const auto& entry : checkpoint.entries()) {
      const at::Tensor tensor = checkpoint.tensor(entry.name, entry.shape);
      const std::string bytes(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
      std::cout << fmt::format("{} {} [{}] {}\n", entry.name, c10::toString(tensor.scalar_type()),
                               fmt::join(entry.shape, ", "), bestreel::sha256(bytes));
    }
  } catch (const bestreel::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
