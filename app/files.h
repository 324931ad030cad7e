// Finished files as candidates: which there are, which come later, and the engine that hands them
// over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plugin/engine.h"
#include "plugin/runs/events.h"
#include "plugin/strategy.h"

namespace bestreel::app {

/// Makes nothing (steps = 0): each candidate is the file that it arrived as, judged where it lies.
class FilesEngine final : public Engine {
 public:
  const EngineCapabilities& capabilities() const override { return capabilities_; }
  void run(std::span<const Start> starts, SamplerCallback& callback) override;

 private:
  const EngineCapabilities capabilities_{
      .id = "files", .name = "a ranking of files", .scheduling = Scheduling::kPausable};
};

/// The files of each folder (by extension, not hidden, sorted, not below), each file itself.
/// Absolute, in the order given, without repetition. UsageError when a path does not exist.
std::vector<std::string> expand_videos(std::span<const std::string> paths);

/// For each path the shortest tail that tells it from all the others: "b.mp4", or "run1/b.mp4".
std::vector<std::string> shortest_tails(std::span<const std::string> paths);

/// Takes files in under labels that never change once given, and finds those that have come to
/// rest in folders that are watched.
class Arrivals {
 public:
  /// `known`: those of a run that goes on.
  explicit Arrivals(const std::vector<events::Arrived>& known);

  /// As they are now. A file that cannot be read has no hash: its judges will say why.
  std::vector<Arrived> take_in(const std::vector<std::string>& files);

  /// take_in() of those of `files` that are new or have changed, and lay still between two calls.
  std::vector<Arrived> look(const std::vector<std::string>& files);

 private:
  /// Size and time of a file: a cheap sign that it has changed.
  struct Stamp {
    std::uintmax_t size = 0;
    std::filesystem::file_time_type time;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  static std::optional<Stamp> stamp_of(const std::string& path);

  std::map<std::string, std::string> labels_;  ///< by path
  std::map<std::string, Stamp> taken_, seen_;
};

}  // namespace bestreel::app
