// How a video and a question become numbers, written down for comparison.
//   frames: a file, or given frames, to indices, pixels, patches; choose: counts and rates to
//   indices; prompt: a question to ids
#include "core/media/video.h"
#include "core/nn/tokenizer.h"
#include "dump.h"
#include "reward/videoscore2/frames.h"
#include "reward/videoscore2/prompt.h"

namespace {

using namespace bestreel;
using namespace bestreel::videoscore2;
using dump::json, dump::read_array, dump::write_array;

json frames(const json& request, const std::string& out) {
  const CheckpointConfig config = read_checkpoint_config(request["folder"]);
  const FrameOptions options{request.value("fps", 2.0), request.value("max_frames", 0)};
  VideoPtr video;
  if (request.contains("video")) {
    video = open_video(request["video"]);
  } else {
    const auto shape = request["shape"].get<std::vector<std::int64_t>>();  // (n, H, W, 3)
    const auto data = std::make_shared<at::Tensor>(read_array(request["frames"], shape, at::kByte));
    TensorView view;
    view.data = data->mutable_data_ptr();
    view.shape = {shape[0], 3, shape[1], shape[2]};
    view.strides = {shape[1] * shape[2] * 3, 1, shape[2] * 3, 3};
    view.owner = data;
    video = video_from_frames(view, {request["fps_num"], request["fps_den"]});
  }
  const FramePlan plan = plan_frames(video->info(), options, config.processor);
  json result;
  result["indices"] = plan.frames;
  result["grid"] = plan.grid;
  result["size"] = {plan.height, plan.width};
  write_array(out + "/pixels.u8",
              resize_frames(alias(video->read(plan.frames)), plan.height, plan.width));
  write_array(out + "/patches.f32", read_patches(*video, plan, config.processor, {}));
  return result;
}

json choose(const json& request, const std::string&) {
  json result{{"indices", json::array()}};
  for (const json& one : request["cases"])
    result["indices"].push_back(
        choose_frames(one["total"], one["video_fps"], {one["fps"], one.value("max_frames", 0)}));
  return result;
}

json prompt(const json& request, const std::string&) {
  const CheckpointConfig config = read_checkpoint_config(request["folder"]);
  const Tokenizer tokenizer = Tokenizer::from_folder(request["folder"].get<std::string>());
  const QueryTemplate query = find_template(request["folder"], request.value("template", ""));
  json result;
  result["ids"] = prompt_ids(tokenizer, config.chat, query_text(query, request["prompt"]),
                             config.model.video_token_id, request["video_tokens"]);
  result["hash"] = query.hash;
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  return dump::run(argc, argv, {{"frames", frames}, {"choose", choose}, {"prompt", prompt}});
}
