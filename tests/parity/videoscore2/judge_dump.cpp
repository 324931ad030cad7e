// The judge as a program that embeds it would use it: requests in, judgements as JSON out.
#include <optional>
#include <stop_token>
#include <vector>

#include "core/media/video.h"
#include "dump.h"
#include "reward/videoscore2/videoscore2_judge.h"

namespace {

using namespace bestreel;
using dump::json;

// Hands requests over one by one while others are being judged: request i only after the judge has
// asked arrivals[i] times in vain, and asks to stop request i once cancel[i] more questions came
// after it was handed over (-1: never). No clock, so every schedule can be repeated.
class ScriptedSource final : public RequestSource {
 public:
  ScriptedSource(std::vector<Request> requests, const json& request)
      : requests_(std::move(requests)),
        arrivals_(request["arrivals"].get<std::vector<int>>()),
        cancel_(request.value("cancel", std::vector<int>(requests_.size(), -1))),
        stops_(requests_.size()),
        results(requests_.size()) {}

  std::optional<Item> next(bool wait) override {
    for (std::size_t i = 0; i < next_; ++i)
      if (cancel_[i]-- == 0) stops_[i].request_stop();
    if (next_ == requests_.size()) return std::nullopt;
    if (!wait && arrivals_[next_]-- > 0) return std::nullopt;
    const std::size_t i = next_++;
    return Item{i, std::move(requests_[i]), stops_[i].get_token()};
  }
  void done(std::uint64_t ticket, Result result) override { results[ticket] = std::move(result); }

 private:
  std::vector<Request> requests_;
  std::vector<int> arrivals_, cancel_;
  std::vector<std::stop_source> stops_;
  std::size_t next_ = 0;

 public:
  std::vector<std::optional<Result>> results;
};

// {"folder", options..., "requests": [{"video", "prompt"}]} to {"id", "results": [...]}; the
// requests are handed over in batches of "batch", or by a ScriptedSource with "arrivals"; with
// "stop" the judge is asked to stop
// beforehand.
json judge(const json& request, const std::string&) {
  VideoScore2Options options;
  options.folder = request["folder"];
  options.template_file = request.value("template", "");
  options.dtype = request.value("dtype", options.dtype);
  options.device = request.value("device", options.device);
  options.threads = request.value("threads", options.threads);
  options.rationale = request.value("rationale", options.rationale);
  options.fps = request.value("fps", options.fps);
  options.max_frames = request.value("max_frames", options.max_frames);
  options.temperature = request.value("temperature", options.temperature);
  options.seed = request.value("seed", options.seed);
  options.samples = request.value("readings", options.samples);
  options.slots = request.value("slots", options.slots);
  const JudgePtr judge = make_videoscore2_judge(options);

  json result{{"id", judge->info().id}, {"results", json::array()}};
  std::vector<Request> batch;
  if (request.contains("arrivals")) {
    for (const json& one : request["requests"])
      batch.push_back({open_video(one["video"]), {one["prompt"], ""}});
    ScriptedSource source(std::move(batch), request);
    judge->judge_stream(source);
    for (const auto& r : source.results)
      result["results"].push_back(json::parse(to_json(r.value(), /*with_seconds=*/false)));
    return result;
  }
  std::stop_source stop;
  if (request.value("stop", false)) stop.request_stop();
  const auto flush = [&] {
    for (const Result& r : judge->judge(batch, stop.get_token()))
      result["results"].push_back(json::parse(to_json(r, /*with_seconds=*/false)));
    batch.clear();
  };
  for (const json& one : request["requests"]) {
    batch.push_back({open_video(one["video"]), {one["prompt"], ""}});
    if (batch.size() == request.value("batch", std::size_t{1})) flush();
  }
  flush();
  return result;
}

// The same requests under each of "runs", which are changes of the request: one "results" for each.
json judge_again(const json& request, const std::string& out) {
  json result;
  for (const json& run : request["runs"]) {
    json changed = request;
    changed.update(run);
    result["runs"].push_back(judge(changed, out)["results"]);
  }
  return result;
}

json inspect(const json& request, const std::string&) {
  const CheckpointSummary s = inspect_videoscore2(request["folder"], request.value("template", ""));
  return {{"architecture", s.architecture},
          {"parameters", s.parameters},
          {"bytes", s.bytes},
          {"dtypes", s.dtypes},
          {"repetition_penalty", s.repetition_penalty},
          {"top_k", s.top_k},
          {"end_tokens", s.end_tokens},
          {"system_text", s.system_text},
          {"template_source", s.template_source},
          {"template_hash", s.template_hash},
          {"template_fallback", s.template_fallback},
          {"dimensions", s.dimensions}};
}

}  // namespace

int main(int argc, char** argv) {
  return dump::run(argc, argv,
                   {{"judge", judge}, {"judge_again", judge_again}, {"inspect", inspect}});
}
