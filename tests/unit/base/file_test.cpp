#include "core/base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "core/base/error.h"

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

// A device without room is a full disk.
TEST_F(FileTest, AFullDiskHasItsOwnCode) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "/dev/full is missing here";
  fs::create_symlink("/dev/full", path("x.partial"));
  EXPECT_EQ(code_of([&] { write_file_atomically(path("x"), "bytes"); }), "disk_full");
  EXPECT_EQ(files(), 0u);
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
