#include "reward/videoscore2/int8_weights.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/errno_code.h"
#include "core/base/fail.h"
#include "core/base/temporary_file.h"
#include "core/nn/safetensors.h"

namespace bestreel::videoscore2 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "bestreel-int8.safetensors";
constexpr const char* kFormat = "bestreel-int8 1, symmetric, groups of 128";
constexpr std::int64_t kPiece = 1 << 20;  // bytes that one thread hashes
// Values of a matrix start at multiples of this, so that none of its 64-byte lines is split.
constexpr std::uint64_t kAlign = 64;

/// Notices a flipped bit, a hole, a swap; not made against an adversary, who could as well replace
/// the weights. Eight lanes, so that it runs at the memory's speed.
std::uint64_t hash(const char* data, std::int64_t size) {
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;
  std::uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::int64_t i = 0;
  for (; i + 64 <= size; i += 64)
    for (int l = 0; l < 8; ++l) {
      std::uint64_t word;
      std::memcpy(&word, data + i + l * 8, 8);
      lanes[l] = (lanes[l] ^ word) * kPrime;
      lanes[l] ^= lanes[l] >> 29;
    }
  std::uint64_t all = static_cast<std::uint64_t>(size);
  for (; i < size; ++i) all = (all ^ static_cast<std::uint8_t>(data[i])) * kPrime;
  for (const std::uint64_t lane : lanes) all = (all ^ lane ^ all >> 32) * kPrime;
  return all ^ all >> 31;
}

std::string checksum(const char* data, std::int64_t size) {
  std::vector<std::uint64_t> pieces(static_cast<std::size_t>((size + kPiece - 1) / kPiece));
  at::parallel_for(0, static_cast<std::int64_t>(pieces.size()), 4,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t p = begin; p < end; ++p)
                       pieces[static_cast<std::size_t>(p)] =
                           hash(data + p * kPiece, std::min(kPiece, size - p * kPiece));
                   });
  return fmt::format("{:016x}", hash(reinterpret_cast<const char*>(pieces.data()),
                                     static_cast<std::int64_t>(pieces.size() * 8)));
}

struct Mapping {
  char* data = nullptr;
  std::uint64_t size = 0;

  explicit Mapping(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found {};
    if (file >= 0 && ::fstat(file, &found) == 0 && found.st_size > 8) {
      void* at =
          ::mmap(nullptr, static_cast<std::size_t>(found.st_size), PROT_READ, MAP_SHARED, file, 0);
      if (at != MAP_FAILED) {
        data = static_cast<char*>(at);
        size = static_cast<std::uint64_t>(found.st_size);
      }
    }
    if (file >= 0) ::close(file);
  }
  ~Mapping() {
    if (data != nullptr) ::munmap(data, size);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

std::int64_t groups_of(std::int64_t in) { return (in + kInt8Group - 1) / kInt8Group; }

/// What the file must hold, in its order.
std::vector<TensorEntry> candidates(const Checkpoint& source) {
  std::vector<TensorEntry> found;
  for (TensorEntry& entry : source.entries())
    if (entry.shape.size() == 2 && is_int8_candidate(entry.name)) found.push_back(std::move(entry));
  return found;
}

/// What is wrong with the file, or nothing and its weights.
std::optional<std::string> open_file(const std::string& path, const Checkpoint& source,
                                     const std::string& digest, Int8Weights& weights) {
  const auto file = std::make_shared<Mapping>(path);
  if (file->data == nullptr) return "is empty or cannot be read";
  std::map<std::string, TensorEntry> entries;
  std::uint64_t header = 0;
  std::memcpy(&header, file->data, 8);
  try {
    for (TensorEntry& entry : parse_safetensors_header(
             path, reinterpret_cast<const std::uint8_t*>(file->data), file->size, file->size))
      entries.emplace(entry.name, entry);
    const auto text = nlohmann::json::parse(file->data + 8, file->data + 8 + header);
    const nlohmann::json& about = text.at("__metadata__");
    if (about.at("format") != kFormat || about.at("source") != digest)
      return "was made from other weights";
    if (about.at("checksum") !=
        checksum(file->data + 8 + header, static_cast<std::int64_t>(file->size - 8 - header)))
      return "is corrupt: its checksum does not fit";
  } catch (const std::exception&) {
    return "is corrupt: its header cannot be read";
  }
  const auto tensor = [&](const std::string& name, const char* dtype, at::ScalarType type,
                          std::vector<std::int64_t> shape) -> at::Tensor {
    const auto at = entries.find(name);
    if (at == entries.end() || at->second.dtype != dtype || at->second.shape != shape) return {};
    return at::from_blob(
        file->data + at->second.begin, shape, [file](void*) {}, at::TensorOptions().dtype(type));
  };
  for (const TensorEntry& entry : candidates(source)) {
    const std::int64_t out = entry.shape[0], in = entry.shape[1];
    Int8Matrix& matrix = weights[entry.name];
    matrix.values = tensor(entry.name, "I8", at::kChar, {out, in});
    matrix.scales = tensor(entry.name + ".scale", "F32", at::kFloat, {out, groups_of(in)});
    if (!matrix.values.defined() || !matrix.scales.defined())
      return fmt::format("is corrupt: it has no {} of the right shape", entry.name);
  }
  return std::nullopt;
}

/// Bytes at their places, into a file that is removed unless it is committed.
class Writer {
 public:
  explicit Writer(std::string path) : path_(std::move(path)), file_(path_) {}

  void write(const void* data, std::uint64_t size, std::uint64_t at) {
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t done = ::pwrite(file_.descriptor(), bytes, size, static_cast<off_t>(at));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) give_up();
      bytes += done;
      at += static_cast<std::uint64_t>(done);
      size -= static_cast<std::uint64_t>(done);
    }
  }
  const std::string& temporary() const { return file_.name(); }
  void commit() { file_.commit(); }

 private:
  [[noreturn]] void give_up() {
    const int error = errno;
    fail(errno_code(error, "write_failed"), "checkpoint", "{} cannot be written: {}", path_,
         std::strerror(error));
  }

  std::string path_;
  TemporaryFile file_;
};

void write_file(const std::string& path, const Checkpoint& source, const std::string& digest) {
  const std::vector<TensorEntry> matrices = candidates(source);
  nlohmann::ordered_json header;
  header["__metadata__"] = {
      {"format", kFormat}, {"source", digest}, {"checksum", std::string(16, '0')}};
  std::uint64_t size = 0;
  std::uint64_t scales = 0;
  const auto add = [&](const std::string& name, const char* dtype, std::vector<std::int64_t> shape,
                       std::uint64_t bytes) {
    header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {size, size + bytes}}};
    size += bytes;
  };
  // The scales lie behind all values, whose lines stay whole where the shapes allow.
  for (const TensorEntry& m : matrices)
    add(m.name, "I8", m.shape, static_cast<std::uint64_t>(m.shape[0] * m.shape[1]));
  // float32 starts at a multiple of its size: the format has no holes, so a tensor fills this one.
  if (const std::uint64_t rest = size % 4; rest != 0)
    add("padding", "U8", {static_cast<std::int64_t>(4 - rest)}, 4 - rest);
  scales = size;
  for (const TensorEntry& m : matrices)
    add(m.name + ".scale", "F32", {m.shape[0], groups_of(m.shape[1])},
        static_cast<std::uint64_t>(m.shape[0] * groups_of(m.shape[1]) * 4));

  const auto text_of = [&] {
    std::string text = header.dump();
    text.append((kAlign - (text.size() + 8) % kAlign) % kAlign, ' ');
    return text;
  };
  std::error_code ignored;
  fs::create_directories(fs::path(path).parent_path(), ignored);
  const fs::space_info space = fs::space(fs::path(path).parent_path(), ignored);
  if (!ignored && space.available < size)
    fail("disk_full", "checkpoint", "{} needs {:.2f} GB and {:.2f} GB are free", path,
         static_cast<double>(size) / 1e9, static_cast<double>(space.available) / 1e9);
  const std::string text = text_of();
  const std::uint64_t length = text.size(), data = 8 + length;
  Writer writer(path);
  writer.write(&length, 8, 0);
  std::uint64_t at = data, scale_at = data + scales;
  for (const TensorEntry& m : matrices) {
    const Int8Matrix matrix = quantise(source.tensor(m.name));
    writer.write(matrix.values.const_data_ptr(), matrix.values.nbytes(), at);
    writer.write(matrix.scales.const_data_ptr(), matrix.scales.nbytes(), scale_at);
    at += matrix.values.nbytes();
    scale_at += matrix.scales.nbytes();
  }
  writer.write("\0\0\0", data + scales - at, at);
  {
    const Mapping written(writer.temporary());
    if (written.data == nullptr || written.size != data + size)
      fail("write_failed", "checkpoint", "{} cannot be read back: check the disk", path);
    header["__metadata__"]["checksum"] =
        checksum(written.data + data, static_cast<std::int64_t>(size));
  }
  writer.write(text_of().data(), length, 8);
  writer.commit();
}

std::string user_cache(const std::string& digest) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const fs::path base = cache != nullptr && *cache != '\0' ? fs::path(cache)
                        : home != nullptr && *home != '\0' ? fs::path(home) / ".cache"
                                                           : fs::temp_directory_path();
  return (base / "bestreel" / digest.substr(0, 16) / kFile).string();
}

}  // namespace

bool is_int8_candidate(const std::string& name) {
  if (name.find("visual.") != std::string::npos) return false;
  return name == "lm_head.weight" ||
         (name.find("layers.") != std::string::npos && name.ends_with("_proj.weight"));
}

Int8Matrix quantise(const at::Tensor& matrix) {
  const std::int64_t out = matrix.size(0), in = matrix.size(1), groups = groups_of(in);
  Int8Matrix result{at::empty({out, in}, at::kChar), at::empty({out, groups}, at::kFloat)};
  auto* values = static_cast<std::int8_t*>(result.values.mutable_data_ptr());
  float* scales = result.scales.mutable_data_ptr<float>();
  constexpr std::int64_t kRows = 256;  // widened at a time: a whole head would take 2 GB
  for (std::int64_t first = 0; first < out; first += kRows) {
    const std::int64_t rows = std::min(kRows, out - first);
    const at::Tensor wide = matrix.narrow(0, first, rows).to(at::kFloat).contiguous();
    const float* w = wide.const_data_ptr<float>();
    at::parallel_for(0, rows, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t g = 0; g < groups; ++g) {
          const std::int64_t from = g * kInt8Group, to = std::min(in, from + kInt8Group);
          float greatest = 0;
          bool finite = true;
          for (std::int64_t i = from; i < to; ++i) {
            greatest = std::max(greatest, std::fabs(w[r * in + i]));
            finite = finite && std::isfinite(w[r * in + i]);
          }
          // A weight that is not finite must not vanish: the whole group becomes NaN.
          const float scale = finite ? greatest / 127 : std::numeric_limits<float>::quiet_NaN();
          const float steps = scale > 1e-30f ? 1 / scale : 0;
          scales[(first + r) * groups + g] = scale;
          for (std::int64_t i = from; i < to; ++i) {
            const float q = finite ? std::nearbyint(w[r * in + i] * steps) : 0;
            values[(first + r) * in + i] = static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f));
          }
        }
    });
  }
  return result;
}

Int8Weights int8_weights(const Checkpoint& source, const std::string& digest) {
  const std::string places[] = {(fs::path(source.folder()) / kFile).string(), user_cache(digest)};
  std::error_code ignored;
  std::string found_wrong;
  for (const std::string& path : places) {
    remove_leftovers(fs::path(path).parent_path().string());  // of a conversion that was killed
    if (!fs::exists(path, ignored)) continue;
    Int8Weights weights;
    const auto wrong = open_file(path, source, digest, weights);
    if (!wrong) return weights;
    found_wrong += fmt::format("[judge] {} {}: it is made again\n", path, *wrong);
  }
  fmt::print(stderr, "{}", found_wrong);
  std::string code, reasons;
  for (const std::string& path : places) {
    try {
      fmt::print(stderr, "[judge] converting the weights to int8, once: {}\n", path);
      write_file(path, source, digest);
    } catch (const Error& error) {
      const bool elsewhere = error.code() == "disk_full" || error.code() == "write_failed" ||
                             error.code() == "no_permission" || error.code() == "io_failed";
      if (!elsewhere) throw;
      if (code != "disk_full") code = error.code();
      reasons += (reasons.empty() ? "" : "; ") + error.sentence();
      continue;
    }
    Int8Weights weights;
    if (const auto wrong = open_file(path, source, digest, weights))
      fail("write_failed", "checkpoint", "{} {} though it was just written: check the disk", path,
           *wrong);
    return weights;
  }
  fail(
      code, "checkpoint",
      "--weights int8 needs a place for its file, but {}: free some space, set XDG_CACHE_HOME to a "
      "folder with room, or do without --weights int8",
      reasons);
}

}  // namespace bestreel::videoscore2
