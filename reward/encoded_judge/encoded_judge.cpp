#include "reward/encoded_judge/encoded_judge.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/media/video_writer.h"

namespace bestreel {
namespace fs = std::filesystem;
namespace {

/// A folder of its own under the system's folder for temporary files, gone with its owner.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "bestreel-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      fail("write_failed", "judge",
           "no folder could be made under {}: free some space there or set "
           "TMPDIR",
           fs::temp_directory_path().string());
    }
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

constexpr std::int64_t kMaxFrames = 4096;
constexpr std::int64_t kFramesAtOnce = 16;

VideoPtr encoded(const Video& video, const fs::path& path) {
  const VideoInfo& info = video.info();
  if (info.frame_count > kMaxFrames) {
    fail("video_too_long", "judge",
         "{} has {} frames, and --judge-from file takes at most {}: judge "
         "it from memory",
         video.path(), info.frame_count, kMaxFrames);
  }
  VideoWriter writer(path.string(), {.fps = info.fps});
  std::vector<std::int64_t> indices(static_cast<std::size_t>(kFramesAtOnce));
  for (std::int64_t first = 0; first < info.frame_count; first += kFramesAtOnce) {
    indices.resize(static_cast<std::size_t>(std::min(kFramesAtOnce, info.frame_count - first)));
    std::iota(indices.begin(), indices.end(), first);
    writer.add(video.read_host(indices));
  }
  writer.finish();
  return open_video(path.string());
}

class EncodedJudge final : public Judge {
 public:
  explicit EncodedJudge(JudgePtr inner) : inner_(std::move(inner)), info_(inner_->info()) {
    info_.id += "+h264";
  }

  const JudgeInfo& info() const override { return info_; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    std::vector<Result> results;
    for (const Request& request : requests) {
      results.push_back(result_of([&]() -> Result {
        if (stop.stop_requested()) throw Cancelled("judge");
        const ScratchFolder scratch;
        const Request again = encoded_judge(request, scratch);
        return signed_by_me(inner_->judge({&again, 1}, stop).front());
      }));
    }
    return results;
  }

  void judge_stream(RequestSource& source) override {
    FileSource files(*this, source);
    inner_->judge_stream(files);
  }

 private:
  /// The requests of another source, each through a file of its own.
  class FileSource final : public RequestSource {
   public:
    FileSource(EncodedJudge& judge, RequestSource& source) : judge_(judge), source_(source) {}
    std::optional<Item> next(bool wait) override {
      while (std::optional<Item> item = source_.next(wait)) {
        const std::uint64_t ticket = item->ticket;
        try {
          if (item->stop.stop_requested()) throw Cancelled("judge");
          item->request = encoded_judge(item->request, scratch_[ticket]);
          return item;
        } catch (const Error& error) {
          scratch_.erase(ticket);
          item->request = {};
          source_.done(ticket, Failure{error.code(), error.what()});
        }
      }
      return std::nullopt;
    }
    void done(std::uint64_t ticket, Result result) override {
      scratch_.erase(ticket);
      source_.done(ticket, judge_.signed_by_me(std::move(result)));
    }

   private:
    EncodedJudge& judge_;
    RequestSource& source_;
    std::map<std::uint64_t, ScratchFolder> scratch_;
  };

  static Request encoded_judge(const Request& request, const ScratchFolder& scratch) {
    return {encoded(*request.video, scratch.path() / "candidate.mp4"), request.condition};
  }

  Result signed_by_me(Result result) const {
    if (auto* judgement = std::get_if<Judgement>(&result)) judgement->judge = info_.id;
    return result;
  }

  JudgePtr inner_;
  JudgeInfo info_;
};

}  // namespace

JudgePtr encoded_judge(JudgePtr inner) { return std::make_shared<EncodedJudge>(std::move(inner)); }

}  // namespace bestreel
