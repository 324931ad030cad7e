// A run's folder that somebody else has made, or damaged: nothing in it runs, nothing outside it is
// touched, nothing hangs. Each case first reads the same run unharmed.
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "core/base/file.h"
#include "plugin/runs/best_file.h"
#include "plugin/runs/run_view.h"
#include "plugin/runs/stored_paths.h"
#include "store_fixture.h"

namespace bestreel {
namespace {
namespace fs = std::filesystem;

class ForeignRunTest : public testing::StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    RunStore store = RunStore::create(run_);
    for (int i = 0; i < 5; ++i) store.append(event("x"));
  }

  std::string file() const { return run_ + "/run.sqlite"; }
  std::string in_folder(const char* name) const { return (folder_ / name).string(); }

  void sql(const std::string& text) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, &message), SQLITE_OK)
        << message;
    sqlite3_close(database);
  }

  /// What a reader, a writer and create() say: all the same, and with the file's name.
  std::string refusal() {
    std::set<std::string> codes;
    for (const auto& open : {std::function<void()>([&] { RunStore::open_read_only(run_); }),
                             std::function<void()>([&] { RunStore::open(run_); }),
                             std::function<void()>([&] { RunStore::create(run_); })}) {
      try {
        open();
        codes.insert("");
      } catch (const Error& error) {
        codes.insert(error.code());
        EXPECT_NE(error.sentence().find("run.sqlite"), std::string::npos) << error.what();
        EXPECT_EQ(error.sentence().find("malformed"), std::string::npos) << error.what();
      }
    }
    EXPECT_EQ(codes.size(), 1u);
    return *codes.begin();
  }
};

TEST_F(ForeignRunTest, TheSchemaIsOursWordForWord) {
  ASSERT_EQ(RunStore::open_read_only(run_).events().size(), 5u);
  const std::string whole = read_file(file());
  const char* const changes[] = {
      // A view without end in the place of the table.
      "ALTER TABLE events RENAME TO e; CREATE VIEW events AS WITH RECURSIVE x(seq) AS (SELECT 1 "
      "UNION ALL SELECT seq+1 FROM x) SELECT seq,0 wave,0 step,'' candidate,'x' kind,'{}' body,0 "
      "at FROM x",
      "CREATE VIEW other AS SELECT 1",
      "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",
      "CREATE TABLE other(a)",
      "CREATE INDEX i ON events(kind)",
      "CREATE INDEX i ON events(abs(wave))",
      "ALTER TABLE events ADD COLUMN more TEXT",
      "ALTER TABLE events ADD COLUMN more AS (hex(body))",
      "PRAGMA writable_schema=1; UPDATE sqlite_master SET sql = sql || ' ' WHERE name = 'events'",
      "PRAGMA writable_schema=1; DELETE FROM sqlite_master WHERE name = 'sqlite_sequence'",
  };
  for (const char* change : changes) {
    SCOPED_TRACE(change);
    sql(change);
    EXPECT_EQ(refusal(), "run_foreign");
    for (const char* suffix : {"-wal", "-shm"}) fs::remove(file() + suffix);
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << whole;
    ASSERT_EQ(RunStore::open_read_only(run_).events().size(), 5u);
  }
}

// A b-tree whose branches are all the same page makes rows by the product of its levels.
TEST_F(ForeignRunTest, ATreeThatRepeatsItsPagesIsDamaged) {
  {
    RunStore store = RunStore::open(run_);
    for (int i = 0; i < 40; ++i) {
      Event large = event("x");
      large.body = "{\"a\":\"" + std::string(1500, 'y') + "\"}";
      store.append(large);
    }
  }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, "SELECT rootpage FROM sqlite_master WHERE name = 'events'", -1,
                     &statement, nullptr);
  ASSERT_EQ(sqlite3_step(statement), SQLITE_ROW);
  const auto root = static_cast<std::size_t>(sqlite3_column_int(statement, 0));
  sqlite3_finalize(statement);
  sqlite3_close(database);
  ASSERT_EQ(RunStore::open_read_only(run_).events().size(), 45u);
  std::string bytes = read_file(file());
  const std::size_t page =
      static_cast<unsigned char>(bytes[16]) * 256U + static_cast<unsigned char>(bytes[17]);
  char* at = bytes.data() + (root - 1) * page;
  ASSERT_EQ(at[0], 5);  // an inner page
  const auto number = [&](std::size_t i) {
    return static_cast<unsigned char>(at[i]) * 256U + static_cast<unsigned char>(at[i + 1]);
  };
  ASSERT_GT(number(3), 1u);
  for (unsigned cell = 1; cell < number(3); ++cell)
    std::copy_n(at + number(12), 4, at + number(12 + 2 * cell));
  std::ofstream(file(), std::ios::binary | std::ios::trunc) << bytes;
  EXPECT_EQ(code_of([&] { RunStore::open_read_only(run_).events(); }), "run_foreign");
}

// Links, pipes and folders in the place of a run's files; and a rollback journal, which a run never
// has: SQLite would play it back, and remove the file that it names.
TEST_F(ForeignRunTest, OnlyPlainFilesAreOpened) {
  const std::string elsewhere = in_folder("elsewhere");
  fs::copy_file(file(), elsewhere);
  const std::string before = read_file(elsewhere);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    SCOPED_TRACE(suffix);
    const std::string name = file() + suffix;
    if (*suffix == '\0') fs::rename(name, in_folder("kept"));
    fs::create_symlink(elsewhere, name);
    EXPECT_EQ(refusal(), "run_foreign");
    fs::remove(name);
    ASSERT_EQ(mkfifo(name.c_str(), 0600), 0);
    EXPECT_EQ(refusal(), "run_foreign");
    fs::remove(name);
    fs::create_directory(name);
    EXPECT_EQ(refusal(), "run_foreign");
    fs::remove(name);
    if (*suffix == '\0') fs::rename(in_folder("kept"), name);
    ASSERT_EQ(RunStore::open_read_only(run_).events().size(), 5u);
  }
  std::ofstream(file() + "-journal") << std::string(600, 'j');
  EXPECT_EQ(refusal(), "run_foreign");
  EXPECT_EQ(read_file(elsewhere), before);
}

// What another program holds is told apart from what is damaged.
TEST_F(ForeignRunTest, ALockedStoreIsNotDamaged) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  std::string sentence;
  try {
    RunStore::open(run_).append(event("y"));
  } catch (const Error& error) {
    sentence = error.what();
    EXPECT_EQ(error.code(), "store_locked");
  }
  EXPECT_NE(sentence.find("held by another program"), std::string::npos) << sentence;
  sqlite3_close(other);
  RunStore::open(run_).append(event("y"));
  EXPECT_EQ(RunStore::open_read_only(run_).events().size(), 6u);
}

// Files are found where the run is now; what lies outside, where it was or beside the run.
TEST_F(ForeignRunTest, PathsFollowTheRun) {
  const auto stored = [&](const std::string& path) {
    return runs::with_stored_paths("{\"path\":\"" + path + "\"}", run_);
  };
  EXPECT_EQ(stored(run_ + "/c000.mp4"), "{\"path\":\"c000.mp4\"}");
  EXPECT_EQ(stored(run_ + "/previews/c000.mp4"), "{\"path\":\"previews/c000.mp4\"}");
  EXPECT_EQ(stored("relative.mp4"), "{\"path\":\"relative.mp4\"}");
  const std::string moved = in_folder("moved");
  EXPECT_EQ(runs::with_real_paths("{\"path\":\"c000.mp4\"}", moved),
            "{\"path\":\"" + moved + "/c000.mp4\"}");
  // Outside: beside the run where it is there, else where it was.
  std::ofstream(in_folder("clip.mp4")) << "x";
  const std::string outside = stored(in_folder("clip.mp4"));
  const std::string there = "{\"path\":\"" + in_folder("clip.mp4") + "\"}";
  EXPECT_EQ(runs::with_real_paths(outside, run_), there);
  EXPECT_EQ(runs::with_real_paths(outside, in_folder("deep/er/run")), there);
  fs::create_directory(in_folder("deep"));
  fs::rename(in_folder("clip.mp4"), in_folder("deep/clip.mp4"));
  EXPECT_EQ(runs::with_real_paths(outside, in_folder("deep/run")),
            "{\"path\":\"" + in_folder("deep/clip.mp4") + "\"}");
}

class BestFileTest : public testing::StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    fs::create_directory(run_);
    view_.settings.command = "rank";
    make_winner("a.mp4", "first");
  }
  std::string in_run(const char* name) const { return run_ + "/" + name; }
  static void put(const std::string& path, const char* bytes) {
    std::ofstream(path, std::ios::trunc) << bytes;
  }
  void make_winner(const char* name, const char* bytes) {
    Candidate candidate;
    candidate.id = view_.winner = name;
    candidate.path = (folder_ / name).string();
    put(candidate.path, bytes);
    candidate.sha256 = sha256(bytes);
    view_.candidates = {candidate};
  }
  void write() {
    write_best(run_, view_, [&](Event event) {
      const RunView seen = project({run_event(view_.settings), event});
      view_.best_files.push_back(seen.best_files.at(0));
    });
  }
  RunView view_;
};

TEST_F(BestFileTest, ReplacesAndRemovesItsOwnOnly) {
  put(in_run("best.docx"), "thesis");
  write();
  EXPECT_EQ(read_file(in_run("best.mp4")), "first");
  write();  // nothing to do
  EXPECT_EQ(view_.best_files.size(), 1u);
  make_winner("b.mp4", "second");
  write();
  EXPECT_EQ(read_file(in_run("best.mp4")), "second");
  make_winner("c.mov", "third");
  write();
  EXPECT_EQ(read_file(in_run("best.mov")), "third");
  EXPECT_FALSE(fs::exists(in_run("best.mp4")));
  EXPECT_EQ(read_file(in_run("best.docx")), "thesis");
  view_.winner.clear();
  put(in_run("best.mp4"), "the user's own");
  write();
  EXPECT_FALSE(fs::exists(in_run("best.mov")));
  EXPECT_EQ(read_file(in_run("best.mp4")), "the user's own");
}

TEST_F(BestFileTest, LeavesAnothersFileAlone) {
  for (const char* name : {"plain", "link"}) {
    SCOPED_TRACE(name);
    put((folder_ / "precious").string(), "precious");
    fs::remove(in_run("best.mp4"));
    if (std::string(name) == "link") {
      fs::create_symlink(folder_ / "precious", in_run("best.mp4"));
    } else {
      put(in_run("best.mp4"), "precious");
    }
    EXPECT_EQ(code_of([&] { write(); }), "file_foreign");
    EXPECT_EQ(read_file(in_run("best.mp4")), "precious");
    EXPECT_EQ(read_file((folder_ / "precious").string()), "precious");
  }
  fs::remove(in_run("best.mp4"));
  write();
  EXPECT_EQ(read_file(in_run("best.mp4")), "first");
}

// The successor is verified first: a winner that is damaged, or gone, costs nothing that is there.
TEST_F(BestFileTest, KeepsTheGoodOneUntilItsSuccessorIsWhole) {
  write();
  make_winner("b.mov", "second");
  put(view_.candidates[0].path, "damaged");
  EXPECT_EQ(code_of([&] { write(); }), "video_changed");
  EXPECT_EQ(read_file(in_run("best.mp4")), "first");
  fs::remove(view_.candidates[0].path);
  EXPECT_EQ(code_of([&] { write(); }), "video_missing");
  EXPECT_EQ(read_file(in_run("best.mp4")), "first");
  put(view_.candidates[0].path, "second");
  write();
  EXPECT_EQ(read_file(in_run("best.mov")), "second");
  EXPECT_FALSE(fs::exists(in_run("best.mp4")));
}

TEST_F(BestFileTest, OutputsOfOthersAreRefusedAtTheStart) {
  const auto refused = [&](const std::vector<std::string>& inputs, bool makes) {
    return code_of([&] { refuse_outputs_of_others(run_, inputs, {".mp4", ".mkv"}, makes); });
  };
  put(in_run("best.docx"), "thesis");
  put(in_run("c000.mp4"), "input");
  put(in_run("bestiary.mp4"), "input");
  EXPECT_EQ(refused({in_run("c000.mp4"), (folder_ / "best.mp4").string()}, false), "");
  EXPECT_EQ(refused({}, true), "usage");
  EXPECT_EQ(refused({in_run("best.mov")}, false), "usage");
  for (const char* name : {"best.mp4", "best.mkv", "report.html"}) {
    put(in_run(name), "x");
    EXPECT_EQ(refused({}, false), "usage") << name;
    fs::remove(in_run(name));
  }
  EXPECT_EQ(refused({}, false), "");
}

}  // namespace
}  // namespace bestreel
