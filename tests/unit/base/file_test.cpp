#include "core/base/file.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "core/base/error.h"
#include "core/base/temporary_file.h"
#include "full_disk.h"

namespace {
bool without_locks = false;
}

// As on a file system whose server keeps none.
extern "C" int flock(int descriptor, int operation) {
  if (without_locks) {
    errno = ENOLCK;
    return -1;
  }
  return static_cast<int>(syscall(SYS_flock, descriptor, operation));
}

namespace bestreel {
namespace {
namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bestreel-file-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  fs::path folder_;
};

std::string code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

// The new bytes are there, the old ones gone, and nothing lies beside.
TEST_F(FileTest, WritesWholeFiles) {
  const std::string bytes("a\0b\n", 4);
  write_file_atomically(path("x"), "old and longer");
  write_file_atomically(path("x"), bytes);
  EXPECT_EQ(read_file(path("x")), bytes);
  copy_file_atomically(path("x"), path("y"));
  EXPECT_EQ(read_file(path("y")), bytes);
  EXPECT_EQ(files(), 2u);
}

// A write that fails leaves the old file and no remains.
TEST_F(FileTest, AFailedWriteChangesNothing) {
  write_file_atomically(path("x"), "old");
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10, 10};
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(code_of([&] { write_file_atomically(path("x"), std::string(1000, 'n')); }) ==
                  "write_failed"
              ? 0
              : 1);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_file(path("x")), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, MissingFilesAndFoldersAreSentences) {
  EXPECT_EQ(code_of([&] { read_file(path("absent")); }), "file_missing");
  EXPECT_EQ(code_of([&] { read_file(folder_.string()); }), "file_unreadable");
  EXPECT_EQ(code_of([&] { write_file_atomically(path("no/x"), ""); }), "write_failed");
}

// A device without room is a full disk, and the old file stays.
TEST_F(FileTest, AFullDiskHasItsOwnCode) {
  write_file_atomically(path("x"), "old");
  testing::disk_is_full = true;
  EXPECT_EQ(code_of([&] { write_file_atomically(path("x"), "bytes"); }), "disk_full");
  testing::disk_is_full = false;
  EXPECT_EQ(read_file(path("x")), "old");
  EXPECT_EQ(files(), 1u);
  write_file_atomically(path("x"), "bytes");
  EXPECT_EQ(read_file(path("x")), "bytes");
}

// What the machine lacks has its own code, in whatever is being done.
TEST_F(FileTest, TheMachinesFailuresHaveTheirOwnCodes) {
  write_file_atomically(path("x"), "bytes");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest = dup(0);
  close(lowest);
  const rlimit none{static_cast<rlim_t>(lowest), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::string read = code_of([&] { read_file(path("x")); });
  const std::string hash = code_of([&] { sha256_file(path("x")); });
  const std::string written = code_of([&] { write_file_atomically(path("y"), "bytes"); });
  const std::string lock = code_of([&] { FileLock lock(path("lock")); });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const std::string& code : {read, hash, written, lock}) EXPECT_EQ(code, "too_many_files");
  EXPECT_EQ(read_file(path("x")), "bytes");
  EXPECT_EQ(files(), 1u);
}

// The next writer in a folder, in another process, removes what a killed one left there; what
// somebody writes just now, and files of the user's, stay.
TEST_F(FileTest, RemovesWhatAKilledWriterLeft) {
  const TemporaryFile living(path("living"));
  const pid_t child = fork();
  if (child == 0) {
    TemporaryFile left(path("x"));
    left.write("half");
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(files(), 2u);
  std::ofstream(path("x.partial")) << "the user's";
  std::ofstream(path(".bestreel-notes.partial")) << "the user's";
  fs::create_symlink(path("x.partial"), path(".bestreel-0123456789abcdef.partial"));
  remove_leftovers(folder_.string());
  EXPECT_TRUE(fs::exists(living.name()));
  EXPECT_EQ(files(), 4u);
  EXPECT_EQ(read_file(path("x.partial")), "the user's");
}

// Links are replaced, never followed: what they lead to stays.
TEST_F(FileTest, WritesThroughNoLink) {
  std::ofstream(path("precious")) << "precious";
  for (const char* name : {"x", "lock"}) fs::create_symlink(path("precious"), path(name));
  write_file_atomically(path("x"), "new");
  EXPECT_EQ(read_file(path("x")), "new");
  EXPECT_FALSE(fs::is_symlink(path("x")));
  EXPECT_EQ(code_of([&] { FileLock lock(path("lock")); }), "run_foreign");
  fs::create_hard_link(path("precious"), path("hard"));
  EXPECT_EQ(code_of([&] { FileLock lock(path("hard")); }), "run_foreign");
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { FileLock lock(path("pipe")); }), "run_foreign");
  EXPECT_EQ(code_of([&] { sha256_file(path("pipe")); }), "file_unreadable");
  EXPECT_EQ(read_file(path("precious")), "precious");
}

// Where file systems have no locks nobody holds one.
TEST_F(FileTest, AFileSystemWithoutLocksIsNamed) {
  { const FileLock lock(path("lock")); }
  without_locks = true;
  std::string sentence;
  try {
    const FileLock lock(path("lock"));
  } catch (const Error& error) {
    sentence = error.what();
    EXPECT_EQ(error.code(), "lock_unsupported");
  }
  // Writing needs none.
  write_file_atomically(path("x"), "new");
  without_locks = false;
  EXPECT_NE(sentence.find("mount with file locks"), std::string::npos) << sentence;
  EXPECT_EQ(read_file(path("x")), "new");
}

// Known answers of FIPS 180-4.
TEST_F(FileTest, Sha256) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  std::ofstream(path("x")) << std::string(1000000, 'a');
  EXPECT_EQ(sha256_file(path("x")),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// The lock keeps another process out, names the holder, and goes with it.
TEST_F(FileTest, LocksDieWithTheirHolder) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const FileLock lock(path("lock"));
    const char byte = 1;
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  try {
    FileLock lock(path("lock"));
    ADD_FAILURE() << "the lock was not held";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "run_locked");
    EXPECT_NE(std::string(error.what()).find(std::to_string(child)), std::string::npos);
  }
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(code_of([&] { FileLock lock(path("lock")); }), "");
}

}  // namespace
}  // namespace bestreel
