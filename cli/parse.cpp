#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/base/file.h"
#include "reward/videoscore2/answer.h"
#include "reward/videoscore2/recorded.h"

namespace bestreel::cli {
namespace {

using Json = nlohmann::ordered_json;
using namespace videoscore2;

Json score_json(const ParsedScore& score) {
  Json json{{"name", score.dimension}, {"score", score.score ? Json(*score.score) : Json()}};
  if (score.score) json["offset"] = score.offset;
  json["first_match"] = score.first_match ? Json(*score.first_match) : Json();
  json["next_digit"] = score.next_digit ? Json(std::string(1, *score.next_digit)) : Json();
  return json;
}

Json answer_json(std::size_t index, const ParsedAnswer& answer) {
  Json json{{"index", index},
            {"complete", answer.complete},
            {"dimensions", Json::array()},
            {"rationale", answer.rationale},
            {"has_think_end", answer.has_think_end},
            {"first_match_differs", answer.first_match_differs},
            {"remarks", answer.remarks}};
  for (const ParsedScore& score : answer.scores) json["dimensions"].push_back(score_json(score));
  return json;
}

void print_text(std::size_t index, const ParsedAnswer& answer) {
  std::cout << bold(fmt::format("output {}", index))
            << (answer.complete ? "" : "  " + red("incomplete")) << "\n";
  for (const ParsedScore& score : answer.scores) {
    std::cout << fmt::format("  {:<22} {}", score.dimension,
                             score.score ? std::to_string(*score.score) : "missing");
    const std::string first = score.first_match.value_or("nothing");
    if (!score.score || first != std::to_string(*score.score)) {
      std::cout << fmt::format("  (first-match reading: {})", printable(first));
    }
    std::cout << "\n";
  }
  for (const std::string& remark : answer.remarks) std::cout << "  " << printable(remark) << "\n";
}

}  // namespace

int run_parse(const RunConfig& config) {
  const std::string file = app::required_text(config, "file", "FILE, or - for stdin");
  const std::string bytes =
      file == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_file(file);
  const std::vector<std::string> outputs = read_recorded(bytes, file == "-" ? "stdin" : file);
  std::size_t incomplete = 0, differing = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ParsedAnswer answer = parse_answer(outputs[i], videoscore2_profile());
    incomplete += answer.complete ? 0 : 1;
    differing += answer.first_match_differs ? 1 : 0;
    if (config.values.flag("json")) {
      std::cout << answer_json(i, answer).dump(-1, ' ', false, Json::error_handler_t::replace)
                << "\n";
    } else {
      print_text(i, answer);
    }
  }
  std::cerr << fmt::format(
      "{} outputs: {} complete, {} incomplete; first-match reading differs in {}\n", outputs.size(),
      outputs.size() - incomplete, incomplete, differing);
  return incomplete == 0 ? kDone : kFailed;
}

}  // namespace bestreel::cli
