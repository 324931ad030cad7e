#include "plugin/runs/run_store.h"

#include <sqlite3.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <random>

#include "store_fixture.h"

namespace bestreel {
namespace {
namespace fs = std::filesystem;

class RunStoreTest : public testing::StoreFixture {};

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
  EXPECT_EQ(in_child([&]() -> int {
              if (code_of([&] { RunStore::open(run_); }) != "run_locked") return 1;
              return RunStore::open_read_only(run_).events().size() == 1 ? 0 : 2;
            }),
            0);
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

// Killed at a random instant, every event whose append had returned is there, and batches are
// whole.
TEST_F(RunStoreTest, AcknowledgedEventsSurviveAKill) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 12; ++trial) {
    const std::string run = run_ + std::to_string(trial);
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t child = fork();
    if (child == 0) {
      RunStore store = RunStore::create(run);
      for (int n = 0;; ++n) {
        const std::string name = std::to_string(n);
        store.append({event("first", name), event("second", name)});
        const char byte = 1;
        if (write(acknowledged[1], &byte, 1) != 1) _exit(1);
      }
    }
    close(acknowledged[1]);
    std::size_t appends = 0;
    char byte = 0;
    const std::size_t enough = 1 + random() % 20;
    while (appends < enough && read(acknowledged[0], &byte, 1) == 1) ++appends;
    // Somewhere inside the append that follows.
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 3000);
    while (std::chrono::steady_clock::now() < end) {
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    while (read(acknowledged[0], &byte, 1) == 1) ++appends;
    close(acknowledged[0]);

    const std::vector<Event> read_only = RunStore::open_read_only(run).events();
    const std::vector<Event> events =
        RunStore::open(run).events();  // the lock went with its holder
    EXPECT_EQ(read_only.size(), events.size());
    EXPECT_GE(events.size(), 2 * appends);
    EXPECT_EQ(events.size() % 2, 0u) << "a batch is all or nothing";
    for (std::size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].candidate, std::to_string(i / 2)) << "no hole before the last";
      EXPECT_EQ(events[i].kind, i % 2 == 0 ? "first" : "second");
    }
  }
}

}  // namespace
}  // namespace bestreel
