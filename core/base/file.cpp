#include "core/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

extern "C" {
#include <libavutil/mem.h>
#include <libavutil/sha.h>
}

#include "core/base/errno_code.h"
#include "core/base/fail.h"
#include "core/base/temporary_file.h"

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
  int release() { return std::exchange(value_, -1); }

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
  fail(errno_code(error, "write_failed"), "write",
       "{} could not be written ({}): check the folder and its permissions", path,
       std::strerror(error));
}

Descriptor open_for_reading(const std::string& path, bool regular) {
  // Without O_NONBLOCK a pipe that nobody writes to would hold us before we know that it is one.
  const int flags = O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0);
  const int descriptor = ::open(path.c_str(), flags);
  if (descriptor < 0) {
    if (errno == ENOENT) fail("file_missing", "read", "{} does not exist: check the path", path);
    fail(errno_code(errno, "file_unreadable"), "read", "{} cannot be read ({}): {}", path,
         std::strerror(errno), errno_remedy(errno));
  }
  struct stat status {};
  if (regular && ::fstat(descriptor, &status) == 0 && !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail("file_unreadable", "read", "{} must be a file but is none: check the path", path);
  }
  return Descriptor(descriptor);
}

/// Calls `take(bytes)` for each block of the file.
template <typename Take>
void read_blocks(const std::string& path, bool regular, Take&& take) {
  const Descriptor file = open_for_reading(path, regular);
  std::vector<char> block(1 << 20);
  for (;;) {
    const ssize_t count = ::read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail(errno_code(errno, "file_unreadable"), "read",
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

// ".bestreel-0123456789abcdef.partial": hidden, of no video's extension, short beside any name.
constexpr std::string_view kPrefix = ".bestreel-", kSuffix = ".partial";
constexpr std::size_t kRandomDigits = 16;

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_temporary_name(std::string_view name) {
  return name.size() == kPrefix.size() + kRandomDigits + kSuffix.size() &&
         name.starts_with(kPrefix) && name.ends_with(kSuffix) &&
         is_hexadecimal(name.substr(kPrefix.size(), kRandomDigits));
}

std::string random_name() {
  std::uint64_t bits = 0;
  while (::getrandom(&bits, sizeof bits, 0) < 0 && errno == EINTR) {
  }
  return fmt::format("{}{:016x}{}", kPrefix, bits, kSuffix);
}

int try_lock(int descriptor) {
  int status = 0;
  do {
    status = ::flock(descriptor, LOCK_EX | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  return status;
}

/// remove_leftovers() once in a process for each folder that it writes to.
void remove_leftovers_once(const std::string& folder) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  {
    const std::scoped_lock lock(mutex);
    if (!seen.insert(folder).second) return;
  }
  remove_leftovers(folder);
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
  read_blocks(path, /*regular=*/false, [&](std::string_view block) { bytes += block; });
  return bytes;
}

TemporaryFile::TemporaryFile(std::string path) : path_(std::move(path)) {
  const std::filesystem::path folder = std::filesystem::absolute(path_).parent_path();
  remove_leftovers_once(folder.string());
  for (;;) {
    name_ = (folder / random_name()).string();
    descriptor_ = ::open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno == EEXIST) continue;
    if (descriptor_ < 0) fail_write(path_, errno);
    // Someone who cleans up may have come between: then another name. A file system without locks
    // has nobody who cleans up.
    struct stat status {};
    const bool taken = try_lock(descriptor_) != 0 && errno == EWOULDBLOCK;
    if (!taken && ::fstat(descriptor_, &status) == 0 && status.st_nlink > 0) return;
    ::close(std::exchange(descriptor_, -1));
  }
}

TemporaryFile::~TemporaryFile() {
  if (descriptor_ < 0) return;
  ::unlink(name_.c_str());
  ::close(descriptor_);
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

TemporaryFile& TemporaryFile::operator=(TemporaryFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(name_, other.name_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void TemporaryFile::write(std::string_view bytes) { write_all(descriptor_, bytes, path_); }

void TemporaryFile::commit() {
  const Descriptor locked(std::exchange(descriptor_, -1));  // until it has its name
  commit_file(name_, path_);
}

void remove_leftovers(const std::string& folder) noexcept {
  try {
    std::error_code error;
    std::filesystem::directory_iterator each(folder, error), end;
    for (; !error && each != end; each.increment(error)) {
      if (!is_temporary_name(each->path().filename().string())) continue;
      const std::string name = each->path().string();
      const Descriptor file(::open(name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      struct stat status {};
      const bool ours =
          file.get() >= 0 && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
      if (ours && try_lock(file.get()) == 0) ::unlink(name.c_str());
    }
  } catch (const std::exception&) {
    // Tidying may wait for another time.
  }
}

void make_own_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  const auto status = std::filesystem::symlink_status(path);
  if (std::filesystem::is_symlink(status)) {
    fail("run_foreign", "write",
         "{} must be a folder but is a link: remove it and run the same command again", path);
  }
  if (!std::filesystem::is_directory(status)) fail_write(path, error ? error.value() : ENOTDIR);
}

void commit_file(const std::string& temporary, const std::string& path) {
  const auto give_up = [&] {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail_write(path, error);
  };
  {
    const Descriptor file(::open(temporary.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (file.get() < 0 || ::fsync(file.get()) != 0) give_up();
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up();
  const std::string folder = std::filesystem::absolute(path).parent_path();
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  TemporaryFile file(path);
  file.write(bytes);
  file.commit();
}

void copy_file_atomically(const std::string& from, const std::string& to) {
  TemporaryFile file(to);
  read_blocks(from, /*regular=*/true, [&](std::string_view block) { file.write(block); });
  file.commit();
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.digest();
}

std::string sha256_file(const std::string& path) {
  Sha256 hash;
  read_blocks(path, /*regular=*/true, [&](std::string_view block) { hash.update(block); });
  return hash.digest();
}

FileLock::FileLock(std::string path) : path_(std::move(path)) {
  // A link here, in a folder from elsewhere, would lead our writing to any file of the user's.
  Descriptor file(
      ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666));
  struct stat status {};
  const bool link = file.get() < 0 && (errno == ELOOP || errno == EMLINK);
  if (file.get() < 0 && !link) fail_write(path_, errno);
  if (link || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_nlink > 1) {
    fail("run_foreign", "lock",
         "{} must be a plain file of its own but is a link, a pipe or the like: remove it and run "
         "the same command again",
         path_);
  }
  if (try_lock(file.get()) != 0) {
    if (errno != EWOULDBLOCK) {
      fail("lock_unsupported", "lock",
           "{} could not be locked ({}): choose a folder on a local disk, or a mount with file "
           "locks",
           path_, std::strerror(errno));
    }
    std::array<char, 32> holder{};
    const ssize_t count = ::pread(file.get(), holder.data(), holder.size() - 1, 0);
    const std::string_view text(holder.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    const bool number =
        !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    fail("run_locked", "lock",
         "{} is held by process {}: wait until it ends, or choose another "
         "--out",
         path_, number ? text : std::string_view("unknown"));
  }
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(file.get(), 0) != 0) fail_write(path_, errno);
  if (::pwrite(file.get(), self.data(), self.size(), 0) != static_cast<ssize_t>(self.size())) {
    fail_write(path_, errno);
  }
  descriptor_ = file.release();
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
