// Any text as a stored result and as each event of a run: an Error, or something that is written,
// read and exported again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "plugin/runs/events.h"
#include "plugin/runs/run_view.h"

namespace {

using namespace bestreel;

void project_with(const std::string& kind, const std::string& body) {
  RunSettings settings;
  settings.judges = settings.judge_ids = {"j"};
  std::vector<Event> events{encode({.body = settings}),
                            encode({.candidate = "a", .body = events::Candidate{.id = "a"}})};
  events.push_back({.candidate = "a", .kind = kind, .body = body});
  try {
    const RunView view = project(events);
    export_run(view, ExportFormat::kCsv);
    export_run(view, ExportFormat::kJsonl);
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const std::string again = to_json(result_from_json(text));
    if (to_json(result_from_json(again)) != again) std::abort();
    project_with("judged", "{\"judge\":0,\"result\":" + again + "}");
  } catch (const Error&) {
  }
  for (const char* kind :
       {"run", "arrived", "wave_started", "steps_done", "previewed", "preview_judged",
        "barrier_decided", "decoded", "candidate", "judged", "failed", "stopped", "waited",
        "redone", "winner_selected", "finished"}) {
    project_with(kind, text);
  }
  return 0;
}
