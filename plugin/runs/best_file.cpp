#include "plugin/runs/best_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/base/temporary_file.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

struct Output {
  std::string from, name, hash;
};

std::vector<Output> outputs_of(const RunView& view) {
  std::vector<Output> outputs;
  const auto add = [&](const std::string& from, const std::string& hash) {
    outputs.push_back({from, "best" + fs::path(from).extension().string(), hash});
  };
  for (const Candidate& candidate : view.candidates) {
    if (candidate.id != view.winner) continue;
    add(candidate.path, candidate.sha256);
    if (!candidate.lossless.empty()) add(candidate.lossless, candidate.lossless_sha256);
  }
  return outputs;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

/// As the run has written it: anything else of that name is the user's.
bool is_ours(const fs::path& path, const RunView& view) {
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(path, error))) return false;
  const std::string hash = sha256_file(path.string());
  return std::any_of(view.best_files.begin(), view.best_files.end(), [&](const auto& each) {
    return each.first == path.filename() && each.second == hash;
  });
}

[[noreturn]] void fail_changed(const std::string& command, const std::string& path) {
  fail("video_changed", command,
       "{} has changed since it was judged: start a new run with another --out", path);
}

/// A whole copy of `output` that has not its name yet.
TemporaryFile copy_of(const Output& output, const std::string& target, const std::string& command) {
  std::error_code error;
  if (!fs::is_regular_file(output.from, error)) {
    fail("video_missing", command,
         "{} is no longer there, or is no plain file: put it back and run `bestreel resume` again",
         output.from);
  }
  TemporaryFile file(target);
  std::ifstream in(output.from, std::ios::binary);
  std::string block(1 << 20, '\0');
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0)
    file.write({block.data(), static_cast<std::size_t>(in.gcount())});
  if (sha256_file(file.name()) != output.hash) fail_changed(command, output.from);
  return file;
}

bool is_candidate_file(const std::string& stem) {
  return stem.size() >= 4 && stem[0] == 'c' &&
         stem.find_first_not_of("0123456789", 1) == std::string::npos;
}

}  // namespace

bool is_intact(const std::string& path, const std::string& hash) {
  std::error_code error;
  return fs::is_regular_file(path, error) && sha256_file(path) == hash;
}

void write_best(const std::string& directory, const RunView& view,
                const std::function<void(Event)>& record) {
  const std::string& command = view.settings.command;
  const std::vector<Output> outputs = outputs_of(view);
  std::vector<std::pair<const Output*, TemporaryFile>> copies;
  for (const Output& output : outputs) {
    const fs::path target = fs::path(directory) / output.name;
    if (is_there(target)) {
      if (fs::is_regular_file(fs::symlink_status(target)) &&
          sha256_file(target.string()) == output.hash)
        continue;
      if (!is_ours(target, view)) {
        fail("file_foreign", command,
             "{} is not as this run wrote it, and the winner is to have its name: move it away and "
             "run `bestreel resume {}`",
             target.string(), directory);
      }
    }
    copies.emplace_back(&output, copy_of(output, target.string(), command));
  }
  for (auto& [output, copy] : copies) {
    const nlohmann::ordered_json body{{"file", output->name}, {"sha256", output->hash}};
    record({.kind = "best_written", .body = body.dump()});
    copy.commit();
  }
  for (const auto& [name, hash] : view.best_files) {
    const bool wanted = std::any_of(outputs.begin(), outputs.end(),
                                    [&](const Output& output) { return output.name == name; });
    const fs::path old = fs::path(directory) / name;
    std::error_code ignored;
    if (!wanted && is_there(old) && is_ours(old, view)) fs::remove(old, ignored);
  }
}

void refuse_outputs_of_others(const std::string& directory, const std::vector<std::string>& inputs,
                              const std::vector<std::string>& extensions, bool makes) {
  const auto is_output = [&](const fs::path& name) {
    const std::string extension = name.extension().string(), stem = name.stem().string();
    const bool video =
        std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
    return name == "report.html" || name == "report_files" ||
           (video && (stem == "best" || (makes && is_candidate_file(stem))));
  };
  std::error_code error;
  for (const std::string& input : inputs) {
    const fs::path path(input);
    const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    if (path.stem() != "best" || !fs::equivalent(folder, directory, error)) continue;
    fail_usage(
        "run",
        "inputs must not have the name of what the run writes, but got {} in its own folder: "
        "choose another --out, or rename it",
        input);
  }
  fs::directory_iterator each(directory, error), end;
  for (; !error && each != end; each.increment(error)) {
    if (!is_output(each->path().filename())) continue;
    fail_usage("run",
               "out must not hold files of the names that the run writes, but got {}: choose "
               "another --out, or move it away",
               each->path().string());
  }
}

}  // namespace bestreel
