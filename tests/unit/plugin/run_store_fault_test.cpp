// Runs on damaged files, full disks, and folders that cannot be written.
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <set>

#include "store_fixture.h"

namespace bestreel {
namespace {
namespace fs = std::filesystem;

class RunStoreFaultTest : public testing::StoreFixture {
 protected:
  void make_run(int events) {
    RunStore store = RunStore::create(run_);
    for (int i = 0; i < events; ++i) store.append(event("n" + std::to_string(i)));
  }

  /// A run whose writer was killed: its events are in the log, not in the file.
  void make_killed_run(int events) {
    ASSERT_EQ(in_child([&]() -> int {
                make_run(0);
                RunStore store = RunStore::open(run_);
                for (int i = 0; i < events; ++i) store.append(event("n" + std::to_string(i)));
                raise(SIGKILL);
                return 0;
              }),
              200);
    ASSERT_GT(fs::file_size(run_ + "/run.sqlite-wal"), 0u);
  }

  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(run_)) found.insert(entry.path().filename());
    return found;
  }

  /// As a user who may read the run but not write there: the number of events it sees.
  int events_seen_by_a_reader() {
    constexpr auto kRead = static_cast<fs::perms>(0444), kEnter = static_cast<fs::perms>(0555);
    fs::permissions(folder_, kEnter | fs::perms::owner_write);
    for (const auto& entry : fs::directory_iterator(run_)) fs::permissions(entry.path(), kRead);
    fs::permissions(run_, kEnter);
    const int seen = in_child([&]() -> int {
      if (geteuid() == 0 && setuid(65534) != 0) return 101;
      if (access(run_.c_str(), W_OK) == 0) return 102;
      return static_cast<int>(RunStore::open_read_only(run_).events().size());
    });
    fs::permissions(run_, fs::perms::owner_all);
    return seen;
  }
};

// Reading a finished run leaves the folder as it was.
TEST_F(RunStoreFaultTest, ReadingLeavesNothingBehind) {
  make_run(3);
  const auto before = names();
  EXPECT_EQ(RunStore::open_read_only(run_).events().size(), 3u);
  EXPECT_TRUE(RunStore::exists(run_));
  EXPECT_EQ(names(), before);
}

// A reader sees what a living writer has appended, as it comes.
TEST_F(RunStoreFaultTest, AReaderFollowsTheWriter) {
  RunStore writer = RunStore::create(run_);
  const RunStore reader = RunStore::open_read_only(run_);
  for (std::size_t n = 1; n <= 5; ++n) {
    writer.append(event("x"));
    EXPECT_EQ(reader.events().size(), n);
  }
  { RunStore gone = std::move(writer); }
  EXPECT_EQ(reader.events().size(), 5u);
  EXPECT_EQ(names(), (std::set<std::string>{"run.sqlite", "run.lock"}));
}

// Readers beside writers that come and go see whole batches, and never fewer than before.
TEST_F(RunStoreFaultTest, ReadersSeeWholeBatchesWhileWritersComeAndGo) {
  make_run(2);
  const pid_t child = fork();
  if (child == 0) {
    for (int session = 0; session < 40; ++session) {
      RunStore store = RunStore::open(run_);
      store.append({event("x"), event("y")});
    }
    _exit(0);
  }
  std::size_t last = 0, broken = 0;
  for (int status = 0; waitpid(child, &status, WNOHANG) == 0;) {
    const std::size_t seen = RunStore::open_read_only(run_).events().size();
    broken += seen % 2 + (seen < last ? 1 : 0);
    last = seen;
  }
  EXPECT_EQ(broken, 0u);
  EXPECT_EQ(RunStore::open_read_only(run_).events().size(), 82u);
}

// Where nothing can be written, a finished run is read, and a killed one with all its events.
TEST_F(RunStoreFaultTest, ReadsWhereNothingCanBeWritten) {
  make_run(3);
  EXPECT_EQ(events_seen_by_a_reader(), 3);
}

TEST_F(RunStoreFaultTest, ReadsAKilledRunWhereNothingCanBeWritten) {
  make_killed_run(4);
  EXPECT_EQ(events_seen_by_a_reader(), 4);
}

// A copy of a killed run may come without its index.
TEST_F(RunStoreFaultTest, ReadsAKilledRunWithoutItsIndex) {
  make_killed_run(4);
  fs::remove(run_ + "/run.sqlite-shm");
  EXPECT_EQ(events_seen_by_a_reader(), 4);
}

// Folders may have any name, also one that means something in a URI.
TEST_F(RunStoreFaultTest, FoldersOfAnyName) {
  for (const char* name : {"a?b", "a#b", "a%41b", "a b", "\xFF", "a\nb", "-x", "file:x"}) {
    run_ = (folder_ / name).string();
    make_run(1);
    EXPECT_EQ(RunStore::open_read_only(run_).events().size(), 1u) << name;
    EXPECT_EQ(RunStore::open_read_only("/" + run_).events().size(), 1u) << name;
  }
}

// Damage is a sentence that names the file, wherever it is.
TEST_F(RunStoreFaultTest, DamagedFilesAreRefused) {
  make_run(200);
  const std::string path = run_ + "/run.sqlite";
  const auto size = fs::file_size(path);
  ASSERT_GT(size, 8192u);
  const fs::path whole = folder_ / "whole";
  fs::copy_file(path, whole);
  const auto refused = [&] {
    const std::string code = code_of([&] { RunStore::open_read_only(run_).events(); });
    EXPECT_EQ(code_of([&] { RunStore::open(run_).events(); }), code);
    return code;
  };
  fs::resize_file(path, 4096);
  EXPECT_EQ(refused(), "run_foreign");
  fs::copy_file(whole, path, fs::copy_options::overwrite_existing);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(4096, '\x7F');
  }
  EXPECT_EQ(refused(), "run_foreign");
}

// A run of a later schema is left to the version that made it.
TEST_F(RunStoreFaultTest, ALaterSchemaIsRefused) {
  make_run(1);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((run_ + "/run.sqlite").c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 2", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(code_of([&] { RunStore::open(run_); }), "run_foreign");
  EXPECT_EQ(code_of([&] { RunStore::open_read_only(run_); }), "run_foreign");
  EXPECT_EQ(code_of([&] { RunStore::create(run_); }), "run_foreign");
}

// What a kill leaves of a file that was being made is cleared away.
TEST_F(RunStoreFaultTest, TakesOverAHalfMadeRun) {
  fs::create_directories(run_);
  for (const char* name : {".bestreel-0123456789abcdef.partial", "run.sqlite"}) {
    std::ofstream file(fs::path(run_) / name);
    if (std::string(name) != "run.sqlite") file << std::string(5000, 'x');
  }
  EXPECT_FALSE(RunStore::exists(run_));
  make_run(1);
  EXPECT_EQ(names(), (std::set<std::string>{"run.sqlite", "run.lock"}));
  EXPECT_EQ(RunStore::open(run_).events().size(), 1u);
}

// An event that nobody could read again is not taken, nor its company.
TEST_F(RunStoreFaultTest, RefusesABodyThatIsNoObject) {
  RunStore store = RunStore::create(run_);
  for (const char* body : {"", "1", "[]", "{", "{\"a\":\xFF}"}) {
    EXPECT_EQ(code_of([&] { store.append({event("x"), {.kind = "y", .body = body}}); }), "usage");
  }
  EXPECT_TRUE(store.events().empty());
  store.append(event("x"));
  EXPECT_EQ(code_of([&] { RunStore::open_read_only(run_).append(event("x")); }), "store_failed");
}

// A write that fails takes nothing with it: no part of its batch, nothing of before.
TEST_F(RunStoreFaultTest, AFailedAppendIsUndone) {
  ASSERT_EQ(in_child([&]() -> int {
              RunStore store = RunStore::create(run_);
              store.append(event("x"));
              std::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{100'000, RLIM_INFINITY}, none{RLIM_INFINITY, RLIM_INFINITY};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              const std::vector<Event> many(5000, event("y"));
              if (code_of([&] { store.append(many); }).empty()) return 2;
              if (store.events().size() != 1) return 3;
              if (setrlimit(RLIMIT_FSIZE, &none) != 0) return 4;
              store.append(many);
              return store.events().size() == 5001 ? 0 : 5;
            }),
            0);
  EXPECT_EQ(RunStore::open(run_).events().size(), 5001u);
}

// A full disk has its own code at every stage, and the run goes on when there is room.
TEST_F(RunStoreFaultTest, AFullDiskLosesNothing) {
  const std::string disk = (folder_ / "disk").string();
  fs::create_directories(disk);
  if (geteuid() != 0 || mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "mounting a small disk needs root and the right to mount";
  }
  run_ = disk + "/run";
  const std::string filler = disk + "/filler";
  const auto fill = [&] {
    std::ofstream file(filler);
    while (file << std::string(4096, 'x') << std::flush) {
    }
  };
  fill();
  EXPECT_EQ(code_of([&] { RunStore::create(run_); }), "disk_full");
  fs::remove(filler);
  {
    RunStore store = RunStore::create(run_);
    store.append(event("x"));
    std::size_t kept = 1;
    std::string code;
    while (code.empty()) {
      code = code_of([&] { store.append(std::vector<Event>(20, event("y"))); });
      kept += code.empty() ? 20 : 0;
    }
    EXPECT_EQ(code, "disk_full");
    EXPECT_EQ(store.events().size(), kept);
    EXPECT_EQ(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=8m"), 0);
    store.append(event("z"));
    EXPECT_EQ(store.events().size(), kept + 1);
  }
  EXPECT_EQ(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=256k"), 0);
  fill();
  EXPECT_EQ(code_of([&] { RunStore::open(run_).append(event("x")); }), "disk_full");
  umount(disk.c_str());
}

}  // namespace
}  // namespace bestreel
