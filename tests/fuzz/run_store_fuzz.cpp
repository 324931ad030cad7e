// Any bytes as the file of a run: an Error that names it, or a run that is shown and exported.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "plugin/runs/run_view.h"

namespace {

namespace fs = std::filesystem;

std::string make_folder() {
  std::string pattern = (fs::temp_directory_path() / "bestreel-fuzz-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  static std::string folder;
  folder = pattern;
  std::atexit([] { fs::remove_all(folder); });
  return pattern;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bestreel;
  static const std::string folder = make_folder();
  const std::string file = folder + "/run.sqlite";
  std::ofstream(file, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  for (const char* suffix : {"-wal", "-shm", "-journal"}) fs::remove(file + suffix);
  try {
    const RunView view = read_view(folder);
    export_run(view, ExportFormat::kCsv);
    export_run(view, ExportFormat::kJsonl);
  } catch (const Error& error) {
    if (error.code() == "run_foreign" && error.sentence().find("run.sqlite") == std::string::npos)
      std::abort();
  }
  return 0;
}
