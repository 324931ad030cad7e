#include "core/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

extern "C" {
#include <libavutil/mem.h>
#include <libavutil/sha.h>
}

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void fail_write(const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    fail("disk_full", "write",
         "{} could not be written, the disk is full: free some space there "
         "and run the same command again",
         path);
  }
  fail("write_failed", "write",
       "{} could not be written ({}): check the folder and its permissions", path,
       std::strerror(error));
}

Descriptor open_for_reading(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) fail("file_missing", "read", "{} does not exist: check the path", path);
    fail("file_unreadable", "read", "{} cannot be read ({}): check its permissions", path,
         std::strerror(errno));
  }
  return Descriptor(descriptor);
}

/// Calls `take(bytes)` for each block of the file.
template <typename Take>
void read_blocks(const std::string& path, Take&& take) {
  const Descriptor file = open_for_reading(path);
  std::vector<char> block(1 << 20);
  for (;;) {
    const ssize_t count = ::read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail("file_unreadable", "read",
           "{} cannot be read ({}): check that it is a file and that "
           "its disk is healthy",
           path, std::strerror(errno));
    }
    if (count == 0) return;
    take(std::string_view(block.data(), static_cast<std::size_t>(count)));
  }
}

void write_all(int descriptor, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write(path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// Unique within the folder while this process lives; left behind by a kill, it is overwritten by
/// the next write of the same file.
std::string temporary_name(const std::string& path) { return path + ".partial"; }

void create_and_fill(
    const std::string& path,
    const std::function<void(int descriptor, const std::string& temporary)>& fill) {
  const std::string temporary = temporary_name(path);
  try {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (file.get() < 0) fail_write(path, errno);
    fill(file.get(), path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  commit_file(temporary, path);
}

class Sha256 {
 public:
  Sha256() : state_(av_sha_alloc()) { av_sha_init(state_, 256); }
  ~Sha256() { av_free(state_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes) {
    av_sha_update(state_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::string digest() {
    std::array<std::uint8_t, 32> raw{};
    av_sha_final(state_, raw.data());
    std::string text;
    for (const std::uint8_t byte : raw) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  AVSHA* state_;
};

}  // namespace

std::string read_file(const std::string& path) {
  std::string bytes;
  read_blocks(path, [&](std::string_view block) { bytes += block; });
  return bytes;
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  create_and_fill(
      path, [&](int descriptor, const std::string& name) { write_all(descriptor, bytes, name); });
}

void copy_file_atomically(const std::string& from, const std::string& to) {
  create_and_fill(to, [&](int descriptor, const std::string& name) {
    read_blocks(from, [&](std::string_view block) { write_all(descriptor, block, name); });
  });
}

void commit_file(const std::string& temporary, const std::string& path) {
  const auto give_up = [&] {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail_write(path, error);
  };
  {
    const Descriptor file(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0 || ::fsync(file.get()) != 0) give_up();
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up();
  const std::string folder = std::filesystem::absolute(path).parent_path();
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.digest();
}

std::string sha256_file(const std::string& path) {
  Sha256 hash;
  read_blocks(path, [&](std::string_view block) { hash.update(block); });
  return hash.digest();
}

FileLock::FileLock(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_write(path_, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> holder{};
    const ssize_t count = ::pread(descriptor_, holder.data(), holder.size() - 1, 0);
    ::close(std::exchange(descriptor_, -1));
    fail("run_locked", "lock",
         "{} is held by process {}: wait until it ends, or choose another "
         "--out",
         path_, count > 0 ? std::string(holder.data()) : std::string("unknown"));
  }
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, self.data(), self.size(), 0) != static_cast<ssize_t>(self.size())) {
    const int error = errno;
    ::close(std::exchange(descriptor_, -1));
    fail_write(path_, error);
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace bestreel
