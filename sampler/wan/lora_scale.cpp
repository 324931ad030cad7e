#include "sampler/wan/lora_scale.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "core/base/json_file.h"

namespace bestreel::wan {
namespace {

using nlohmann::json;

[[noreturn]] void unsupported(const std::string& source, const std::string& what) {
  fail("lora_unsupported", "lora",
       "{}: {}: use a LoRA without it, or merge it in the tool that made it", source, what);
}

double finite(const std::string& source, const std::string& key, const json& value) {
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!std::isfinite(number))
    unsupported(source, fmt::format("\"{:.60}\" must be a finite number but is {:.60}", key,
                                    value.dump(-1, ' ', true, json::error_handler_t::replace)));
  return number;
}

std::map<std::string, double> patterns(const std::string& source, const json& config,
                                       const char* key) {
  std::map<std::string, double> out;
  const auto at = config.find(key);
  if (at == config.end() || at->is_null()) return out;
  if (!at->is_object()) unsupported(source, fmt::format("\"{}\" is no object", key));
  for (const auto& [pattern, value] : at->items()) {
    std::string plain = pattern;
    for (std::size_t i; (i = plain.find("\\.")) != std::string::npos;) plain.erase(i, 1);
    const std::string_view inner = std::string_view(plain).substr(plain.starts_with('^') ? 1 : 0);
    if (inner.find_first_not_of(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") !=
            std::string_view::npos &&
        inner.find_first_of("$") != inner.size() - 1)
      unsupported(source, fmt::format("\"{}\" holds the pattern {:.60}, and only names of layers "
                                      "are read",
                                      key, pattern));
    if (plain.ends_with('$')) plain.pop_back();
    out[plain] = finite(source, key, value);
  }
  return out;
}

}  // namespace

std::optional<PeftConfig> PeftConfig::read(const std::string& text, const std::string& prefix,
                                           const std::string& source) {
  const json all = parse_json(text, source);
  if (!all.is_object())
    fail("json_malformed", "lora", "{} must be a JSON object but is not: write the LoRA again",
         source);
  json config = json::object();
  for (const auto& [key, value] : all.items())
    if (key.starts_with(prefix)) config[key.substr(prefix.size())] = value;
  if (!config.contains("r") && !config.contains("lora_alpha") && !config.contains("peft_type"))
    return std::nullopt;
  const auto flag = [&](const char* key) {
    const auto at = config.find(key);
    return at != config.end() && at->is_boolean() && at->get<bool>();
  };
  if (const auto type = config.find("peft_type");
      type != config.end() && type->is_string() && *type != "LORA")
    unsupported(source, fmt::format("it is an adapter of the kind {:.40}, not LORA",
                                    type->get<std::string>()));
  if (flag("use_dora")) unsupported(source, "it is a DoRA (use_dora), which is not supported");
  PeftConfig out;
  out.source_ = source;
  const auto number = [&](const char* key, double& value) {
    const auto at = config.find(key);
    if (at != config.end() && !at->is_null()) value = finite(source, key, *at);
  };
  number("r", out.rank_);
  number("lora_alpha", out.alpha_);
  out.square_root_ = flag("use_rslora");
  out.ranks_ = patterns(source, config, "rank_pattern");
  out.alphas_ = patterns(source, config, "alpha_pattern");
  return out;
}

// As peft matches: a whole name, or its end after a dot; "^" wants the whole name.
double PeftConfig::pattern(const std::map<std::string, double>& patterns, const std::string& layer,
                           const std::string& other_name, double otherwise) const {
  for (const auto& [pattern, value] : patterns) {
    const bool whole = pattern.starts_with('^');
    const std::string wanted = pattern.substr(whole ? 1 : 0);
    for (const std::string& name : {layer, other_name})
      if (name == wanted || (!whole && name.ends_with("." + wanted))) return value;
  }
  return otherwise;
}

double PeftConfig::scale(const std::string& file, const std::string& layer,
                         const std::string& other_name, std::int64_t rank) const {
  const double said = pattern(ranks_, layer, other_name, rank_);
  if (said != static_cast<double>(rank))
    fail("lora_unsupported", "lora",
         "{}: the matrices of {} have the rank {}, but {} says {}: the two do not belong together, "
         "download both again",
         file, layer, rank, source_, said);
  const double alpha = pattern(alphas_, layer, other_name, alpha_);
  return alpha / (square_root_ ? std::sqrt(said) : said);
}

}  // namespace bestreel::wan
