// report_sample DIRECTORY links|single: a small run with real videos, for the browser tests.
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/media/video_writer.h"
#include "plugin/runs/report.h"

namespace bestreel {
namespace {

constexpr std::int64_t kFrames = 16, kHeight = 48, kWidth = 64;

void write_clip(const std::string& path, int shade) {
  std::vector<std::uint8_t> pixels(kFrames * 3 * kHeight * kWidth);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(i / 97 + static_cast<std::size_t>(shade));
  }
  VideoWriter writer(path, {.fps = {8, 1}, .metadata = {}});
  writer.add({.data = pixels.data(),
              .shape = {kFrames, 3, kHeight, kWidth},
              .strides = {3 * kHeight * kWidth, kHeight * kWidth, kWidth, 1}});
  writer.finish();
}

Candidate candidate_of(const std::string& path, int rank, double expected) {
  Judgement judgement;
  for (const char* name :
       {"visual_quality", "an_extraordinarily_long_dimension_name_without_end"}) {
    Dimension dimension{.name = name, .score = static_cast<int>(expected), .expected = expected};
    dimension.std = 0.2;
    dimension.probabilities = {0.1, 0.1, 0.2, 0.4, 0.2};
    judgement.dimensions.push_back(dimension);
  }
  judgement.reward = expected;
  judgement.rationale = "It moves well.\n" + std::string(200, 'w');
  judgement.measures = {{"a_measure_with_quite_a_name_" + std::string(60, 'n'), 12.5}};
  for (std::int64_t frame = 0; frame < kFrames; frame += 2) judgement.frames.push_back(frame);
  judgement.transcript = Transcript{.forced = rank == 2};

  Candidate candidate;
  candidate.id = std::filesystem::path(path).filename().string();
  candidate.path = path;
  candidate.sha256 = sha256_file(path);
  candidate.video = open_video(path)->info();
  candidate.results = {judgement, judgement};
  candidate.reward = expected;
  candidate.rank = rank;
  return candidate;
}

void write_sample(const std::string& directory, bool single) {
  RunView view;
  view.settings.prompt = "A red ball rolls over " + std::string(120, 'x');
  view.settings.judges = {"videoscore2:/models/" + std::string(80, 'm'), "pixels"};
  view.settings.judge_ids = {"videoscore2-1", "pixels-1"};
  view.settings.versions = std::string(200, 'v');
  const std::vector<std::string> names{"one #1.mp4", "two 50% ?.mp4",
                                       std::string(120, 'n') + ".mp4"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string path = directory + "/videos/" + names[i];
    std::filesystem::create_directories(directory + "/videos");
    write_clip(path, static_cast<int>(i) * 40);
    view.candidates.push_back(
        candidate_of(path, static_cast<int>(i) + 1, 4.0 - static_cast<double>(i)));
  }
  Candidate broken;
  broken.id = "broken.mp4";
  broken.results = {Failure{"video_corrupt", "[video] " + std::string(150, 'p')}, std::nullopt};
  view.candidates.push_back(broken);
  view.winner = view.candidates[0].id;
  view.finished = true;
  view.seconds = 12;
  write_report(
      directory, view,
      {.single_file = single,
       .command = {"bestreel", "rank", "--prompt", view.settings.prompt, std::string(150, 'f')}});
}

}  // namespace
}  // namespace bestreel

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: report_sample DIRECTORY links|single\n";
    return 2;
  }
  try {
    bestreel::write_sample(argv[1], argv[2] == std::string("single"));
  } catch (const bestreel::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
