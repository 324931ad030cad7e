#include "plugin/trace.h"

#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/fail.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

struct Trace::Impl {
  std::string path;
  std::ofstream out;
  const Clock::time_point start = Clock::now();
  std::mutex mutex;
  std::map<std::string, int> tracks;
  bool first = true, closed = false;

  double microseconds(Clock::time_point at) const {
    return std::chrono::duration<double, std::micro>(at - start).count();
  }

  void write(const Json& event) {
    out << (first ? "[\n" : ",\n") << line(event);
    first = false;
  }

  /// Tracks are threads to the viewers; the first event of one gives it its name.
  int track(const std::string& name) {
    const auto [found, is_new] = tracks.emplace(name, static_cast<int>(tracks.size()) + 1);
    if (is_new) {
      write({{"ph", "M"},
             {"pid", 1},
             {"tid", found->second},
             {"name", "thread_name"},
             {"args", {{"name", name}}}});
    }
    return found->second;
  }
};

Trace::Trace(const std::string& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->out.open(path, std::ios::trunc);
  if (!impl_->out) {
    fail("write_failed", "trace", "{} cannot be written: check the folder and its permissions",
         path);
  }
}

Trace::~Trace() {
  try {
    close();
  } catch (const Error&) {
    // Who cares for it has called close().
  }
}

void Trace::span(const std::string& track, const std::string& name, Clock::time_point begin,
                 Clock::time_point end) {
  const std::scoped_lock lock(impl_->mutex);
  if (impl_->closed) return;
  const int thread = impl_->track(track);
  impl_->write({{"ph", "X"},
                {"pid", 1},
                {"tid", thread},
                {"name", name},
                {"ts", impl_->microseconds(begin)},
                {"dur", std::chrono::duration<double, std::micro>(end - begin).count()}});
}

void Trace::close() {
  const std::scoped_lock lock(impl_->mutex);
  if (std::exchange(impl_->closed, true)) return;
  impl_->out << (impl_->first ? "[]\n" : "\n]\n");
  impl_->out.close();
  if (!impl_->out) {
    fail("disk_full", "trace", "{} could not be written whole: free some space", impl_->path);
  }
}

}  // namespace bestreel
