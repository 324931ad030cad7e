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
#include "core/nn/gguf.h"
#include "core/nn/stored.h"

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
       is_gguf(file->data(), file->size())
           ? parse_gguf_header(path, file->data(), file->size()).tensors
           : parse_safetensors_header(path, file->data(), file->size(), file->size())) {
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

/// Weights under another name, or none: the end of a sentence, with the remedy.
std::string what_is_there(const fs::path& base, const std::string& stem) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(base, ignored))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  const auto first = [&](auto&& is) {
    const auto at = std::find_if(names.begin(), names.end(), is);
    return at == names.end() ? std::string() : at->substr(0, 100);
  };
  const auto ends = [](std::string_view name, std::initializer_list<std::string_view> all) {
    return std::any_of(all.begin(), all.end(), [&](auto each) { return name.ends_with(each); });
  };
  // diffusers and transformers put a variant before the ending: model.fp16.safetensors,
  // model.fp16-00001-of-00002.safetensors, model.safetensors.index.fp16.json.
  const std::string variant = first([&](const std::string& name) {
    return (name.starts_with(stem + ".") && name.ends_with(".safetensors")) ||
           name.starts_with(stem + ".safetensors.index.");
  });
  if (!variant.empty())
    return "has only a variant (" + variant +
           "): save the model without `variant`, or, where it is "
           "one file, rename it to " +
           stem + ".safetensors";
  const std::string shard = first([&](const std::string& name) {
    return name.starts_with(stem + "-") && name.ends_with(".safetensors");
  });
  if (!shard.empty())
    return "has shards without their index (" + shard + "): download " + stem +
           ".safetensors.index.json too";
  const std::string gguf = first([&](const std::string& name) { return ends(name, {".gguf"}); });
  if (!gguf.empty()) return "has a GGUF file (" + gguf + "): download the safetensors of the model";
  const std::string pickled = first([&](const std::string& name) {
    return ends(name, {".bin", ".bin.index.json", ".pt", ".pth", ".ckpt"}) &&
           name != "training_args.bin";
  });
  if (!pickled.empty())
    return "has only pickled weights (" + pickled +
           "), which can run code when they are loaded: "
           "save them as safetensors";
  const std::string other =
      first([&](const std::string& name) { return name.ends_with(".safetensors"); });
  if (!other.empty())
    return "has neither, only " + other + ": download the files of the whole model";
  return "has neither: download the checkpoint's safetensors files into it";
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
  fail("checkpoint_missing", "checkpoint", "{} must hold {}.safetensors or its index, but {}",
       folder, stem, what_is_there(base, stem));
}

const StoredFormat& format_of(const Located& tensor, bool any) {
  const StoredFormat* format = stored_format(tensor.entry.dtype);
  // Float8 needs a scale that lies elsewhere, so only who looks for it may have it.
  const bool plain =
      format != nullptr && (format->as == StoredAs::kFloat || format->as == StoredAs::kHalf ||
                            format->as == StoredAs::kBFloat16);
  if (plain || (any && format != nullptr)) return *format;
  fail("dtype_unsupported", "checkpoint",
       "{}: the tensor {} must be F32, F16 or BF16 but is {}: use a checkpoint that is not "
       "quantised",
       tensor.file->path(), tensor.entry.name, tensor.entry.dtype);
}

c10::ScalarType scalar_type(const StoredFormat& format) {
  switch (format.as) {
    case StoredAs::kBFloat16:
      return c10::kBFloat16;
    case StoredAs::kHalf:
      return c10::kHalf;
    case StoredAs::kFloat8E4M3:
      return c10::kFloat8_e4m3fn;
    case StoredAs::kFloat8E5M2:
      return c10::kFloat8_e5m2;
    default:
      return c10::kFloat;
  }
}

}  // namespace

struct Checkpoint::Impl {
  std::string folder;
  std::string stem;
  std::string file;  // of open_file()
  TensorMap tensors;

  const Located& find(const std::string& name) const {
    const auto at = tensors.find(name);
    if (at == tensors.end()) {
      fail("tensor_missing", "checkpoint",
           "{} must hold the tensor {} but none of its {} tensors has this name: check that this "
           "is a checkpoint of the architecture that its config.json names",
           file.empty() ? (fs::path(folder) / (stem + ".safetensors")).string() : file, name,
           tensors.size());
    }
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

Checkpoint Checkpoint::open_file(const std::string& file) {
  const fs::path path(file);
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    fail("checkpoint_missing", "checkpoint", "{} is missing: check the path, or download it again",
         file);
  for (const char* pickled : {".pth", ".pt", ".bin", ".ckpt", ".pkl"})
    if (path.extension() == pickled)
      fail("checkpoint_unsupported", "checkpoint",
           "{} must be .safetensors or .gguf but is pickled, which can run code when it is loaded: "
           "save it as safetensors",
           file);
  auto impl = std::make_shared<Impl>();
  impl->folder = path.has_parent_path() ? path.parent_path().string() : ".";
  impl->file = file;
  if (path.extension() == ".json") {
    impl->tensors = open_shards(impl->folder, file);
  } else {
    add_file(file, impl->tensors);
  }
  Checkpoint checkpoint;
  checkpoint.impl_ = std::move(impl);
  return checkpoint;
}

std::map<std::string, std::string> Checkpoint::metadata() const {
  if (impl_->file.empty() || impl_->file.ends_with(".json") || impl_->tensors.empty()) return {};
  const Mapping& file = *impl_->tensors.begin()->second.file;
  if (is_gguf(file.data(), file.size()))
    return parse_gguf_header(file.path(), file.data(), file.size()).strings;
  return parse_safetensors_metadata(file.data(), file.size());
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
  const StoredFormat& format = format_of(tensor, !impl_->file.empty());
  const c10::ScalarType type = scalar_type(format);
  std::uint8_t* data = tensor.file->data() + tensor.entry.begin;
  if (format.decode != nullptr) {
    at::Tensor values = at::empty(tensor.entry.shape, at::TensorOptions(type));
    const auto size = static_cast<std::int64_t>(tensor.entry.end - tensor.entry.begin);
    format.decode(data, size / format.bytes, static_cast<float*>(values.data_ptr()));
    return values.to(device_);
  }
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

at::Tensor Checkpoint::bytes_of(const std::string& name) const {
  const Located& tensor = impl_->find(name);
  return at::from_blob(
      tensor.file->data() + tensor.entry.begin,
      {static_cast<std::int64_t>(tensor.entry.end - tensor.entry.begin)},
      [file = tensor.file](void*) {}, at::TensorOptions(c10::kByte));
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
