// The judge as a program that embeds it would use it: requests in, judgements as JSON out.
#include <stop_token>

#include "core/media/video.h"
#include "dump.h"
#include "reward/videoscore2/videoscore2_judge.h"

namespace {

using namespace bestreel;
using dump::json;

// {"folder", options..., "requests": [{"video", "prompt"}]} to {"id", "results": [...]}; the
// requests are handed over in batches of "batch"; with "stop" the judge is asked to stop
// beforehand.
json judge(const json& request, const std::string&) {
  VideoScore2Options options;
  options.folder = request["folder"];
  options.template_file = request.value("template", "");
  options.dtype = request.value("dtype", options.dtype);
  options.threads = request.value("threads", options.threads);
  options.rationale = request.value("rationale", options.rationale);
  options.fps = request.value("fps", options.fps);
  options.max_frames = request.value("max_frames", options.max_frames);
  options.temperature = request.value("temperature", options.temperature);
  options.seed = request.value("seed", options.seed);
  options.readings = request.value("readings", options.readings);
  const JudgePtr judge = make_videoscore2_judge(options);

  json result{{"id", judge->info().id}, {"results", json::array()}};
  std::vector<Request> batch;
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
  return dump::run(argc, argv, {{"judge", judge}, {"inspect", inspect}});
}
