#include "app/run.h"

#include <utility>

#include "app/generation.h"
#include "plugin/runs/report.h"
#include "plugin/trace.h"

namespace bestreel::app {

Outcome run(const RunConfig& config, const std::string& directory, Engine& engine,
            const std::vector<JudgePtr>& judges, std::stop_token stop, std::vector<Arrived> files,
            const RunHooks& hooks) {
  std::unique_ptr<Trace> trace;
  if (config.values.has("trace")) trace = std::make_unique<Trace>(config.values.text("trace"));
  const std::unique_ptr<Session> session =
      open_session(config, directory, engine.capabilities(), judges, std::move(stop), trace.get(),
                   config.command->name, "", hooks.judged);
  for (;;) {
    session->arrived(std::move(files));
    Outcome outcome = session->run(engine);
    write_report(
        directory, outcome.view,
        {.single_file = config.values.flag("single-file"), .command = command_line(config)});
    if (hooks.ended) hooks.ended(outcome);
    files = outcome.complete && hooks.more ? hooks.more() : std::vector<Arrived>{};
    if (!files.empty()) continue;
    if (trace) trace->close();
    return outcome;
  }
}

}  // namespace bestreel::app
