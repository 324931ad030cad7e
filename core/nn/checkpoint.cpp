#include "core/nn/checkpoint.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/json_file.h"

namespace bestreel {
namespace {

namespace fs = std::filesystem;

/// One file's pages, read-only. The size is taken from the open descriptor, so what is checked is
/// what is mapped.
class Mapping {
 public:
  explicit Mapping(std::string path) : path_(std::move(path)) {
    struct stat status {};
    // Before open(): opening a named pipe would wait for its writer.
    if (::stat(path_.c_str(), &status) != 0) {
      fail("file_unreadable", "checkpoint", "{} cannot be read ({}): check the path and its rights",
           path_, std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
      fail("file_unreadable", "checkpoint",
           "{} must be a file but is a folder or a device: check the path", path_);
    }
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || ::fstat(descriptor, &status) != 0) {
      const int error = errno;
      if (descriptor >= 0) ::close(descriptor);
      fail("file_unreadable", "checkpoint", "{} cannot be read ({}): check its permissions", path_,
           std::strerror(error));
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    if (size_ > 0) {  // mmap refuses an empty file
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    const int error = errno;
    ::close(descriptor);
    if (data_ == MAP_FAILED) {
      fail("file_unreadable", "checkpoint",
           "{} ({} bytes) cannot be mapped ({}): raise the limit on address space (ulimit -v)",
           path_, size_, std::strerror(error));
    }
  }
  ~Mapping() {
    if (data_ != nullptr && data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// A file that was cut since would end the process at the first page that is gone.
  void require_whole() const {
    struct stat status {};
    if (::stat(path_.c_str(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) < size_) {
      fail("checkpoint_changed", "checkpoint",
           "{} had {} bytes when it was opened and has {} now: download it again", path_, size_,
           static_cast<std::uint64_t>(status.st_size));
    }
  }

  const std::string& path() const { return path_; }
  std::uint8_t* data() const { return static_cast<std::uint8_t*>(data_); }
  std::uint64_t size() const { return size_; }

 private:
  std::string path_;
  void* data_ = nullptr;
  std::uint64_t size_ = 0;
};

struct Located {
  TensorEntry entry;
  std::shared_ptr<const Mapping> file;
};

using TensorMap = std::map<std::string, Located>;

void add_file(const std::string& path, TensorMap& tensors) {
  const auto file = std::make_shared<const Mapping>(path);
  for (TensorEntry& entry :
       parse_safetensors_header(path, file->data(), file->size(), file->size())) {
    const std::string name = entry.name;
    const auto [at, added] = tensors.emplace(name, Located{std::move(entry), file});
    if (!added) {
      fail("safetensors_malformed", "checkpoint",
           "{} and {} both hold the tensor {}: keep only the files of one checkpoint in the folder",
           at->second.file->path(), path, name);
    }
  }
}

/// The shards and their tensors as the index lists them.
std::map<std::string, std::set<std::string>> read_index(const std::string& path) {
  const nlohmann::json index = read_json(path);
  const auto malformed = [&](const std::string& what) {
    fail("json_malformed", "checkpoint", "{} must be an index of shards but {}: download it again",
         path, what);
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    malformed("it holds no weight_map");
  }
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) malformed(fmt::format("the shard of {} is no file name", tensor));
    const auto name = shard.get<std::string>();
    // The index comes with the download: it must not point outside its own folder.
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      malformed(fmt::format("the shard of {} is not a plain file name", tensor));
    }
    shards[name].insert(tensor);
  }
  if (shards.empty()) malformed("its weight_map is empty");
  return shards;
}

TensorMap open_shards(const fs::path& folder, const std::string& index) {
  const auto shards = read_index(index);
  for (const auto& [shard, names] : shards) {  // all names before the first mapping
    if (!fs::exists(folder / shard)) {
      fail("shard_missing", "checkpoint",
           "{} is missing though {} lists it ({} tensors): download this file again",
           (folder / shard).string(), index, names.size());
    }
  }
  TensorMap tensors;
  for (const auto& [shard, names] : shards) {
    const std::string path = (folder / shard).string();
    add_file(path, tensors);
    for (const std::string& name : names) {
      const auto at = tensors.find(name);
      if (at == tensors.end() || at->second.file->path() != path) {
        fail("safetensors_malformed", "checkpoint",
             "{} must hold the tensor {}, which {} lists for it, but does not: download both files "
             "again, from the same revision",
             path, name, index);
      }
    }
  }
  return tensors;
}

TensorMap open_folder(const std::string& folder, const std::string& stem) {
  const fs::path base(folder);
  std::error_code ignored;
  if (!fs::is_directory(base, ignored)) {
    fail("checkpoint_missing", "checkpoint",
         "{} must be the folder of a checkpoint but there is no such folder: check the path",
         folder);
  }
  const fs::path single = base / (stem + ".safetensors");
  const fs::path index = base / (stem + ".safetensors.index.json");
  if (fs::exists(single, ignored)) {
    TensorMap tensors;
    add_file(single.string(), tensors);
    return tensors;
  }
  if (fs::exists(index, ignored)) return open_shards(base, index.string());
  const bool pickled = fs::exists(base / "pytorch_model.bin", ignored) ||
                       fs::exists(base / "pytorch_model.bin.index.json", ignored);
  fail("checkpoint_missing", "checkpoint", "{} must hold {}.safetensors or its index, but {}",
       folder, stem,
       pickled ? "has only pickled weights (pytorch_model.bin), which can run code when they are "
                 "loaded: save it as safetensors"
               : "has neither: download the checkpoint's safetensors files into it");
}

c10::ScalarType scalar_type(const Located& tensor) {
  const std::string& dtype = tensor.entry.dtype;
  if (dtype == "F32") return c10::kFloat;
  if (dtype == "BF16") return c10::kBFloat16;
  if (dtype == "F16") return c10::kHalf;
  fail("dtype_unsupported", "checkpoint",
       "{}: the tensor {} must be F32, F16 or BF16 but is {}: use a checkpoint that is not "
       "quantised",
       tensor.file->path(), tensor.entry.name, dtype);
}

}  // namespace

struct Checkpoint::Impl {
  std::string folder;
  std::string stem;
  TensorMap tensors;

  const Located& find(const std::string& name) const {
    const auto at = tensors.find(name);
    if (at == tensors.end()) {
      fail("tensor_missing", "checkpoint",
           "{} must hold the tensor {} but none of its {} tensors has this name: check that this "
           "is a checkpoint of the architecture that its config.json names",
           (fs::path(folder) / (stem + ".safetensors")).string(), name, tensors.size());
    }
    at->second.file->require_whole();
    return at->second;
  }
};

Checkpoint Checkpoint::open(const std::string& folder, const std::string& stem) {
  auto impl = std::make_shared<Impl>();
  impl->folder = folder;
  impl->stem = stem;
  impl->tensors = open_folder(folder, stem);
  Checkpoint checkpoint;
  checkpoint.impl_ = std::move(impl);
  return checkpoint;
}

const std::string& Checkpoint::folder() const { return impl_->folder; }

bool Checkpoint::has(const std::string& name) const { return impl_->tensors.contains(name); }

std::vector<TensorEntry> Checkpoint::entries() const {
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : impl_->tensors) entries.push_back(tensor.entry);
  return entries;
}

std::uint64_t Checkpoint::parameters() const {
  std::uint64_t count = 0;
  for (const auto& [name, tensor] : impl_->tensors) {
    std::uint64_t elements = 1;
    for (const std::int64_t dim : tensor.entry.shape) elements *= static_cast<std::uint64_t>(dim);
    count += elements;
  }
  return count;
}

std::uint64_t Checkpoint::bytes() const {
  std::uint64_t count = 0;
  for (const auto& [name, tensor] : impl_->tensors) count += tensor.entry.end - tensor.entry.begin;
  return count;
}

Checkpoint Checkpoint::to(at::Device device) const {
  Checkpoint there = *this;
  there.device_ = device;
  return there;
}

std::string Checkpoint::fingerprint() const {
  constexpr std::uint64_t kBlock = 4096, kBlocks = 16;
  std::string all;
  for (const auto& [name, tensor] : impl_->tensors) {
    const auto* data = reinterpret_cast<const char*>(tensor.file->data()) + tensor.entry.begin;
    const std::uint64_t size = tensor.entry.end - tensor.entry.begin;
    std::string sample =
        fmt::format("{} {} [{}]", name, tensor.entry.dtype, fmt::join(tensor.entry.shape, ","));
    if (size <= 4 * kBlock * kBlocks) {
      sample.append(data, size);
    } else {
      for (std::uint64_t i = 0; i < kBlocks; ++i) {
        sample.append(data + (size - kBlock) / (kBlocks - 1) * i, kBlock);
      }
    }
    all += sha256(sample);
  }
  return sha256(all);
}

at::Tensor Checkpoint::tensor(const std::string& name) const {
  const Located& tensor = impl_->find(name);
  const c10::ScalarType type = scalar_type(tensor);
  std::uint8_t* data = tensor.file->data() + tensor.entry.begin;
  if (reinterpret_cast<std::uintptr_t>(data) % c10::elementSize(type) != 0) {
    // The header's length decides where the data lies, and only writers of good will pad it.
    at::Tensor copy = at::empty(tensor.entry.shape, at::TensorOptions(type));
    std::memcpy(copy.data_ptr(), data, tensor.entry.end - tensor.entry.begin);
    return copy.to(device_);
  }
  return at::from_blob(
             data, tensor.entry.shape, [file = tensor.file](void*) {}, at::TensorOptions(type))
      .to(device_);
}

at::Tensor Checkpoint::tensor(const std::string& name,
                              const std::vector<std::int64_t>& shape) const {
  const Located& tensor = impl_->find(name);
  if (tensor.entry.shape != shape) {
    fail("shape_mismatch", "checkpoint",
         "{}: the tensor {} must have the shape [{}] by config.json but has [{}]: the two files "
         "belong to different models, download both again",
         tensor.file->path(), name, fmt::join(shape, ", "), fmt::join(tensor.entry.shape, ", "));
  }
  return this->tensor(name);
}

}  // namespace bestreel
