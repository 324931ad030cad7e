#include "app/files.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel::app {
namespace fs = std::filesystem;
namespace {

std::string absolute(const std::string& path) {
  return fs::absolute(path).lexically_normal().string();
}

bool is_video_name(const fs::path& path) {
  static const std::set<std::string> extensions{
      ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts",  ".m2ts",
      ".mts", ".wmv", ".flv", ".ogv", ".ogg",  ".3gp", ".3g2", ".y4m", ".apng", ".mxf", ".vob"};
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extensions.count(extension) != 0 && path.filename().string().front() != '.';
}

std::string hash_of(const std::string& path) {
  try {
    return sha256_file(path);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

void FilesEngine::run(std::span<const Start> starts, SamplerCallback& callback) {
  for (const Start& start : starts) {
    if (!callback.request_steps(start.id, 0, 0)) return;  // Ctrl-C
    callback.finished(start.id, start.file, {});
  }
}

std::vector<std::string> expand_videos(std::span<const std::string> paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) fail_usage("rank", "{} does not exist: check the path", path);
    if (!fs::is_directory(status)) {
      files.push_back(absolute(path));
      continue;
    }
    std::vector<std::string> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
      if (entry.is_regular_file() && is_video_name(entry.path())) {
        inside.push_back(absolute(entry.path().string()));
      }
    }
    if (error) fail_usage("rank", "{} cannot be listed: check its permissions", path);
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  std::vector<std::string> unique;
  std::set<std::string> seen;
  for (std::string& file : files) {
    if (seen.insert(file).second) unique.push_back(std::move(file));
  }
  return unique;
}

std::vector<std::string> shortest_tails(std::span<const std::string> paths) {
  const auto tail = [](const std::string& path, std::size_t parts) {
    std::vector<fs::path> all;
    for (const fs::path& part : fs::path(path).relative_path()) all.push_back(part);
    fs::path out;
    for (std::size_t i = all.size() - std::min(parts, all.size()); i < all.size(); ++i)
      out /= all[i];
    return out.string();
  };
  const std::set<std::string> distinct(paths.begin(), paths.end());
  std::map<std::string, std::string> tails;
  for (std::size_t parts = 1; tails.size() < distinct.size(); ++parts) {
    std::map<std::string, std::vector<const std::string*>> owners;
    for (const std::string& path : distinct) owners[tail(path, parts)].push_back(&path);
    for (const auto& [text, who] : owners) {
      if (who.size() == 1) tails.emplace(*who.front(), text);  // keeps a shorter one
    }
  }
  std::vector<std::string> result;
  for (const std::string& path : paths) result.push_back(tails.at(path));
  return result;
}

Arrivals::Arrivals(const std::vector<events::Arrived>& known) {
  for (const events::Arrived& file : known) labels_[file.path] = file.label;
}

std::optional<Arrivals::Stamp> Arrivals::stamp_of(const std::string& path) {
  std::error_code error;
  Stamp stamp{fs::file_size(path, error), {}};
  if (!error) stamp.time = fs::last_write_time(path, error);
  return error ? std::nullopt : std::optional(stamp);
}

std::vector<Arrived> Arrivals::take_in(const std::vector<std::string>& files) {
  std::vector<std::string> paths;
  for (const auto& [path, label] : labels_) paths.push_back(path);
  if (labels_.empty()) {
    const std::vector<std::string> labels = shortest_tails(files);
    for (std::size_t i = 0; i < files.size(); ++i) labels_[files[i]] = labels[i];
  }
  std::vector<Arrived> arrived;
  for (const std::string& path : files) {
    if (!labels_.contains(path)) {
      // A newcomer's tail grows until nobody has it.
      paths.push_back(path);
      labels_[path] = shortest_tails(paths).back();
    }
    // Before it is read: what is written meanwhile is seen by the next look.
    if (const auto stamp = stamp_of(path)) taken_[path] = *stamp;
    arrived.push_back({labels_[path], path, hash_of(path)});
  }
  return arrived;
}

std::vector<Arrived> Arrivals::look(const std::vector<std::string>& files) {
  std::vector<std::string> resting;
  for (const std::string& path : files) {
    const std::optional<Stamp> stamp = stamp_of(path);
    if (!stamp) continue;
    const auto taken = taken_.find(path);
    if (taken != taken_.end() && taken->second == *stamp) continue;
    const auto seen = seen_.find(path);
    if (seen != seen_.end() && seen->second == *stamp) resting.push_back(path);
    seen_[path] = *stamp;
  }
  return take_in(resting);
}

}  // namespace bestreel::app
