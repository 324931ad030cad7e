#include "plugin/runs/run_reader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "core/base/fail.h"
#include "core/base/file.h"

// Note [Reading a run]
// A reader in WAL mode wants the index file (-shm) beside the database and makes it where it is
// missing: it would leave files behind in a finished run, and cannot read one in a folder that it
// may not write. So
// - without a log (-wal) the file is complete and is read as it stands ("immutable"). Should a
// writer
//   come in between, the file or the log has changed afterwards, and we look again;
// - with a log the run is in progress or was killed: SQLite's own reader knows how;
// - with a log but no index, in a folder that cannot be written (a copied run that was killed): a
//   copy of both is read elsewhere. Reading the file alone would lose the newest events in silence.

namespace bestreel::runs {
namespace fs = std::filesystem;
namespace {

/// A writer that starts or ends moves a run from one state to the other: this many times at once
/// means that something else is wrong.
constexpr int kMostLooks = 100;

/// What changes when anyone writes.
struct Stamp {
  ino_t inode = 0;
  off_t size = 0;
  time_t seconds = 0;
  long nanoseconds = 0;
  off_t log = 0;  ///< bytes in -wal, 0 if there is none
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

Stamp stamp_of(const std::string& file) {
  Stamp stamp;
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) {
    stamp = {status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec, 0};
  }
  if (::stat((file + "-wal").c_str(), &status) == 0) stamp.log = status.st_size;
  return stamp;
}

/// The path as SQLite's URI: of three characters that mean something there, the others stand.
std::string uri_of(const std::string& file) {
  std::string uri = "file://";  // an empty authority, so that a path may begin with two slashes
  for (const char c : fs::absolute(file).string()) {
    uri += c == '?' || c == '#' || c == '%' ? fmt::format("%{:02x}", static_cast<unsigned char>(c))
                                            : std::string(1, c);
  }
  return uri;
}

std::vector<Event> read_checked(const std::string& name, int flags, const std::string& file) {
  Database database(name, flags, file);
  check_ours(database);
  return select_events(database);
}

/// A folder that goes with its holder.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((fs::temp_directory_path() / "bestreel-read-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) {
      fail("write_failed", "run",
           "{} could not be made: set TMPDIR to a folder that can be written", path_);
    }
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const char* name) const { return (fs::path(path_) / name).string(); }

 private:
  std::string path_;
};

std::vector<Event> read_copy(const std::string& file) {
  const TemporaryFolder folder;
  const std::string copy = folder.path("run.sqlite");
  copy_file_atomically(file, copy);
  if (fs::exists(file + "-wal")) copy_file_atomically(file + "-wal", copy + "-wal");
  return read_checked(copy, SQLITE_OPEN_READWRITE, file);
}

/// True where a reader of a log can have its index.
bool index_is_possible(const std::string& file) {
  const std::string folder = fs::absolute(file).parent_path().string();
  return ::access(folder.c_str(), W_OK) == 0 || ::access((file + "-shm").c_str(), R_OK) == 0;
}

std::vector<Event> read_once(const std::string& file, const Stamp& stamp) {
  if (stamp.log == 0) {
    return read_checked(uri_of(file) + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                        file);
  }
  if (index_is_possible(file)) return read_checked(file, SQLITE_OPEN_READONLY, file);
  return read_copy(file);
}

/// One text of each thing in the schema, by name; SQLite's own table of AUTOINCREMENT is left out.
bool is_our_schema(Database& database) {
  Statement select(database,
                   "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name = 'events' "
                   "DESC");
  if (!select.step()) return false;
  const bool ours = select.text(0) == "table" && select.text(1) == "events" &&
                    select.text(2) == "events" && select.text(3) == kCreate;
  if (!ours || !select.step()) return false;
  return select.text(0) == "table" && select.text(1) == "sqlite_sequence" && !select.step();
}

}  // namespace

void check_files(const std::string& file) {
  struct stat status {};
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    const std::string each = file + suffix;
    if (::lstat(each.c_str(), &status) != 0) continue;
    if (!S_ISREG(status.st_mode)) {
      fail("run_foreign", "run",
           "{} must be a plain file but is a link, a folder, a pipe or the like: choose another "
           "directory",
           each);
    }
    if (std::string_view(suffix) == "-journal" && status.st_size > 0) {
      fail("run_foreign", "run",
           "{} was not made by Bestreel, which keeps no such journal: choose another directory, or "
           "remove it",
           each);
    }
  }
}

void check_ours(Database& database) {
  const std::int64_t application = database.value("PRAGMA application_id");
  const std::int64_t schema = database.value("PRAGMA user_version");
  if (application == kApplicationId && schema == kSchema) {
    if (!is_our_schema(database)) database.fail_damaged();
    return;
  }
  if (application == kApplicationId) {
    fail("run_foreign", "run",
         "{} must be a run of schema {} but is of {}: use the version of "
         "Bestreel that made it",
         database.file(), kSchema, schema);
  }
  if (application == 0 && schema == 0 &&
      database.value("SELECT count(*) FROM sqlite_master") == 0) {
    fail("run_empty", "run", "{} holds a run that had not begun: repeat the command that made it",
         database.file());
  }
  fail("run_foreign", "run", "{} was not made by Bestreel: choose another directory",
       database.file());
}

std::vector<Event> select_events(const Database& database) {
  Statement select(database,
                   "SELECT seq, wave, step, candidate, kind, body, at FROM events ORDER BY seq");
  std::vector<Event> events;
  std::int64_t bytes = 0;
  std::int64_t size = 0;
  while (select.step()) {
    // Damaged trees name their pages twice: then rows repeat, and are longer than their file.
    if (!events.empty() && select.integer(0) <= events.back().seq) database.fail_damaged();
    for (const int column : {3, 4, 5}) bytes += select.bytes(column);
    if (bytes > size && bytes > (size = database.size())) database.fail_damaged();
    events.push_back({select.integer(0), select.integer(1), select.integer(2), select.text(3),
                      select.text(4), select.text(5), select.real(6)});
  }
  return events;
}

std::vector<Event> read_run(const std::string& file) {
  check_files(file);
  for (int look = 1;; ++look) {
    const Stamp before = stamp_of(file);
    std::optional<std::vector<Event>> events;
    try {
      events = read_once(file, before);
    } catch (const Error&) {
      if (look == kMostLooks || stamp_of(file) == before) throw;
      continue;
    }
    // With a log SQLite has seen one instant itself; without, an unchanged file is one.
    if (before.log != 0 || stamp_of(file) == before) return *std::move(events);
    if (look == kMostLooks) {
      fail("store_failed", "run", "{} changed while it was read, {} times: try again", file, look);
    }
  }
}

}  // namespace bestreel::runs
