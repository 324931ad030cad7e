#include "plugin/runs/run_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/base/error.h"

namespace bestreel {
namespace {
namespace fs = std::filesystem;

class RunStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bestreel-store-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    run_ = (folder_ / "run").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string code_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("run"), std::string::npos);
      return error.code();
    }
    return "";
  }

  fs::path folder_;
  std::string run_;
};

Event event(const std::string& kind, const std::string& candidate = "") {
  return {.wave = 1, .step = 2, .candidate = candidate, .kind = kind, .body = "{\"a\":1}"};
}

// What was appended is there after reopening, in order.
TEST_F(RunStoreTest, KeepsEventsInOrder) {
  {
    RunStore store = RunStore::create(run_);
    store.append(event("run"));
    store.append({event("candidate", "b"), event("candidate", "a\n\"'")});
  }
  EXPECT_FALSE(fs::exists(run_ + "/run.sqlite-wal")) << "run.sqlite alone is the run";
  RunStore store = RunStore::open(run_);
  const std::vector<Event> events = store.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kind, "run");
  EXPECT_EQ(events[2].candidate, "a\n\"'");
  EXPECT_EQ(events[1].wave, 1);
  EXPECT_EQ(events[1].step, 2);
  EXPECT_EQ(events[1].body, "{\"a\":1}");
  EXPECT_LT(events[0].seq, events[1].seq);
  EXPECT_GT(events[0].at, 1e9);
}

TEST_F(RunStoreTest, ExistsMeansHasEvents) {
  EXPECT_FALSE(RunStore::exists(run_));
  { RunStore store = RunStore::create(run_); }
  EXPECT_FALSE(RunStore::exists(run_)) << "killed before its first event it is no run";
  {
    RunStore store = RunStore::create(run_);
    store.append(event("run"));
  }
  EXPECT_TRUE(RunStore::exists(run_));
  EXPECT_EQ(code_of([&] { RunStore::create(run_); }), "run_exists");
  EXPECT_EQ(code_of([&] { RunStore::open((folder_ / "none").string()); }), "run_missing");
  EXPECT_EQ(code_of([&] { RunStore::open_read_only((folder_ / "none").string()); }), "run_missing");
}

// Another process is refused while this one holds the run, and may read all the same.
TEST_F(RunStoreTest, ASecondProcessIsRefused) {
  RunStore store = RunStore::create(run_);
  store.append(event("run"));
  const pid_t child = fork();
  if (child == 0) {
    int status = 10;
    try {
      RunStore::open(run_);
    } catch (const Error& error) {
      status = error.code() == "run_locked" ? 0 : 11;
    }
    if (status == 0 && RunStore::open_read_only(run_).events().size() != 1) status = 12;
    _exit(status);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// What is not ours is refused and left as it is.
TEST_F(RunStoreTest, RefusesForeignFiles) {
  fs::create_directories(run_);
  const std::string path = run_ + "/run.sqlite";
  std::ofstream(path) << std::string(5000, 'x');
  EXPECT_EQ(code_of([&] { RunStore::open(run_); }), "run_foreign");
  EXPECT_EQ(code_of([&] { RunStore::create(run_); }), "run_foreign");
  EXPECT_EQ(fs::file_size(path), 5000u);
  fs::remove(path);

  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "create table events(x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(code_of([&] { RunStore::open(run_); }), "run_foreign");
  EXPECT_EQ(code_of([&] { RunStore::create(run_); }), "run_foreign");
}

// Killed at any instant, every event whose append had returned is there, and batches are whole.
TEST_F(RunStoreTest, AcknowledgedEventsSurviveAKill) {
  for (int trial = 0; trial < 8; ++trial) {
    const std::string run = run_ + std::to_string(trial);
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t child = fork();
    if (child == 0) {
      RunStore store = RunStore::create(run);
      for (;;) {
        store.append({event("pair"), event("pair")});
        const char byte = 1;
        if (write(acknowledged[1], &byte, 1) != 1) _exit(1);
      }
    }
    close(acknowledged[1]);
    std::size_t appends = 0;
    char byte = 0;
    const std::size_t enough = 1 + static_cast<std::size_t>(trial) * 3;
    while (appends < enough && read(acknowledged[0], &byte, 1) == 1) ++appends;
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    while (read(acknowledged[0], &byte, 1) == 1) ++appends;
    close(acknowledged[0]);

    RunStore store = RunStore::open(run);  // the lock went with its holder
    const std::size_t events = store.events().size();
    EXPECT_GE(events, 2 * appends);
    EXPECT_EQ(events % 2, 0u) << "a batch is all or nothing";
  }
}

// A finished run can be read where nothing can be written.
TEST_F(RunStoreTest, ReadsAFinishedRunInAReadOnlyFolder) {
  {
    RunStore store = RunStore::create(run_);
    store.append(event("run"));
  }
  fs::permissions(run_, fs::perms::owner_read | fs::perms::owner_exec);
  const auto events = RunStore::open_read_only(run_).events();
  fs::permissions(run_, fs::perms::owner_all);
  EXPECT_EQ(events.size(), 1u);
}

}  // namespace
}  // namespace bestreel
