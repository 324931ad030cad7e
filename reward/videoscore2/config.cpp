#include "reward/videoscore2/config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "core/base/file.h"

namespace bestreel::videoscore2 {
namespace {

using nlohmann::json;

// One object of a file, read key by key; errors name the file and the key.
class Reader {
 public:
  Reader(const json& object, std::string file) : object_(object), file_(std::move(file)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  bool is_null(const char* key) const { return object_.contains(key) && object_[key].is_null(); }
  const json& at(const char* key) const { return object_[key]; }
  const std::string& file() const { return file_; }

  // Leaves `value` as it is where the file is silent.
  template <typename T>
  void read(const char* key, T& value) const {
    if (!has(key)) return;
    try {
      value = object_[key].get<T>();
    } catch (const json::exception&) {
      fail("json_malformed", "checkpoint", "{}: \"{}\" has the wrong type: {}", file_, key,
           object_[key].dump());
    }
  }

  void read_positive(const char* key, std::int64_t& value) const {
    read(key, value);
    if (value < 1)
      fail("checkpoint_unsupported", "checkpoint", "{}: \"{}\" must be at least 1 but is {}", file_,
           key, value);
  }

  // A setting that changes what the model computes and that this engine only knows in one form.
  template <typename T>
  void require(const char* key, const T& only) const {
    if (!has(key) || object_[key] == json(only)) return;
    fail("checkpoint_unsupported", "checkpoint",
         "{}: \"{}\" is {}, but this engine computes with {} only", file_, key, object_[key].dump(),
         json(only).dump());
  }

 private:
  const json& object_;
  std::string file_;
};

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  std::string file(const char* name) const { return path_ + "/" + name; }
  bool has(const char* name) const { return std::filesystem::exists(file(name)); }

  std::string text(const char* name) {
    std::string bytes = read_file(file(name));
    digest_ += sha256(bytes);
    return bytes;
  }

  json object(const char* name) {
    json parsed = json::parse(text(name), nullptr, false);
    if (!parsed.is_object())
      fail("json_malformed", "checkpoint", "{} must be a JSON object but is not: download it again",
           file(name));
    return parsed;
  }

  std::string digest() const { return sha256(digest_); }

 private:
  std::string path_;
  std::string digest_;
};

VisionConfig read_vision(const Reader& in) {
  VisionConfig c;
  in.read_positive("depth", c.depth);
  in.read_positive("hidden_size", c.hidden_size);
  in.read_positive("intermediate_size", c.intermediate_size);
  in.read_positive("num_heads", c.num_heads);
  in.read_positive("in_channels", c.in_channels);
  in.read_positive("patch_size", c.patch_size);
  in.read_positive("spatial_merge_size", c.spatial_merge_size);
  in.read_positive("temporal_patch_size", c.temporal_patch_size);
  in.read("tokens_per_second", c.tokens_per_second);
  in.read_positive("window_size", c.window_size);
  in.read_positive("out_hidden_size", c.out_hidden_size);
  in.read("fullatt_block_indexes", c.full_attention_blocks);
  in.require("hidden_act", "silu");
  if (c.hidden_size % (4 * c.num_heads) != 0)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision hidden_size must be a multiple of 4 x num_heads but got {} and {}", in.file(),
         c.hidden_size, c.num_heads);
  if (c.window_size < c.patch_size * c.spatial_merge_size)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision window_size {} is smaller than one merged patch", in.file(), c.window_size);
  return c;
}

TextConfig read_text(const Reader& in) {
  TextConfig c;
  in.read_positive("vocab_size", c.vocab_size);
  in.read_positive("hidden_size", c.hidden_size);
  in.read_positive("intermediate_size", c.intermediate_size);
  in.read_positive("num_hidden_layers", c.num_layers);
  in.read_positive("num_attention_heads", c.num_heads);
  // The class reads a null as "as many as heads", an absent key as its default.
  if (in.is_null("num_key_value_heads")) c.num_kv_heads = c.num_heads;
  in.read_positive("num_key_value_heads", c.num_kv_heads);
  in.read_positive("max_position_embeddings", c.max_positions);
  in.read("rms_norm_eps", c.rms_norm_eps);
  in.read("rope_theta", c.rope_theta);
  in.read("tie_word_embeddings", c.tie_word_embeddings);
  in.require("hidden_act", "silu");
  if (c.hidden_size % c.num_heads != 0 || c.num_heads % c.num_kv_heads != 0)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: hidden_size {} must be a multiple of num_attention_heads {}, and that of "
         "num_key_value_heads {}",
         in.file(), c.hidden_size, c.num_heads, c.num_kv_heads);

  bool sliding = false;
  in.read("use_sliding_window", sliding);
  if (sliding) {
    std::int64_t first = 80;
    in.read("max_window_layers", first);
    if (first < c.num_layers)
      fail("checkpoint_unsupported", "checkpoint",
           "{}: use_sliding_window is on from layer {}, but this engine attends to everything",
           in.file(), first);
  }

  if (!in.has("rope_scaling") || !in.at("rope_scaling").contains("mrope_section"))
    fail("checkpoint_unsupported", "checkpoint",
         "{}: rope_scaling.mrope_section is missing, so the positions of video tokens are unknown",
         in.file());
  const Reader rope(in.at("rope_scaling"), in.file());
  for (const char* key : {"type", "rope_type"}) {
    std::string type = "default";
    rope.read(key, type);
    if (type != "default" && type != "mrope")
      fail("checkpoint_unsupported", "checkpoint",
           "{}: rope_scaling.{} is \"{}\", but this engine computes with \"default\" only",
           in.file(), key, type);
  }
  rope.read("mrope_section", c.mrope_section);
  const auto half = c.mrope_section[0] + c.mrope_section[1] + c.mrope_section[2];
  if (half * 2 != c.head_dim())
    fail("checkpoint_unsupported", "checkpoint",
         "{}: rope_scaling.mrope_section must add up to half the head size {} but adds up to {}",
         in.file(), c.head_dim(), half);
  return c;
}

ModelConfig read_model(const json& object, const std::string& file) {
  const Reader in(object, file);
  std::string type;
  in.read("model_type", type);
  if (type != "qwen2_5_vl")
    fail(
        "checkpoint_foreign", "checkpoint",
        "{}: model_type must be \"qwen2_5_vl\" but is \"{}\": pass the folder of VideoScore2 or of "
        "another Qwen2.5-VL",
        file, type);
  ModelConfig c;
  if (in.has("architectures") && in.at("architectures").is_array() &&
      !in.at("architectures").empty() && in.at("architectures")[0].is_string())
    c.architecture = in.at("architectures")[0].get<std::string>();
  in.read("video_token_id", c.video_token_id);
  const json none = json::object();
  c.vision = read_vision(
      Reader(in.has("vision_config") ? in.at("vision_config") : none, file + ": vision_config"));
  // Checkpoints saved before transformers 4.52 keep the text model's keys at the top level.
  c.text = in.has("text_config") ? read_text(Reader(in.at("text_config"), file + ": text_config"))
                                 : read_text(in);
  if (c.vision.out_hidden_size != c.text.hidden_size)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision out_hidden_size must equal the text hidden_size {} but is {}", file,
         c.text.hidden_size, c.vision.out_hidden_size);
  return c;
}

ProcessorConfig read_processor(const json& object, const std::string& file) {
  const Reader in(object, file);
  ProcessorConfig c;
  in.read_positive("min_pixels", c.min_pixels);
  in.read_positive("max_pixels", c.max_pixels);
  in.read_positive("patch_size", c.patch_size);
  in.read_positive("temporal_patch_size", c.temporal_patch_size);
  in.read_positive("merge_size", c.merge_size);
  in.read("rescale_factor", c.rescale_factor);
  in.read("image_mean", c.image_mean);
  in.read("image_std", c.image_std);
  in.require("do_resize", true);
  in.require("do_rescale", true);
  in.require("do_normalize", true);
  in.require("do_sample_frames", false);
  in.require("resample", 3);  // PIL's number of BICUBIC
  return c;
}

std::vector<std::int64_t> read_ids(const Reader& in, const char* key) {
  std::vector<std::int64_t> ids;
  if (!in.has(key)) return ids;
  if (in.at(key).is_array())
    in.read(key, ids);
  else
    in.read(key, ids.emplace_back());
  return ids;
}

GenerationConfig read_generation(const json& object, const std::string& file) {
  const Reader in(object, file);
  GenerationConfig c;
  in.read("repetition_penalty", c.repetition_penalty);
  in.read("temperature", c.temperature);
  in.read("top_p", c.top_p);
  if (object.contains("top_k")) {
    c.top_k = 0;  // an explicit null switches it off
    in.read("top_k", c.top_k);
  }
  c.eos_token_ids = read_ids(in, "eos_token_id");
  if (!(c.repetition_penalty > 0))
    fail("checkpoint_unsupported", "checkpoint", "{}: repetition_penalty must be above 0 but is {}",
         file, c.repetition_penalty);
  in.require("num_beams", 1);
  in.require("no_repeat_ngram_size", 0);
  in.require("min_length", 0);
  in.require("encoder_repetition_penalty", 1.0);
  in.require("typical_p", 1.0);
  in.require("epsilon_cutoff", 0.0);
  in.require("eta_cutoff", 0.0);
  in.require("remove_invalid_values", false);
  for (const char* key :
       {"min_new_tokens", "min_p", "guidance_scale", "sequence_bias", "bad_words_ids",
        "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty",
        "suppress_tokens", "begin_suppress_tokens", "watermarking_config"})
    in.require(key, nullptr);
  return c;
}

ChatFormat read_chat(Folder& folder) {
  std::string text, source;
  // The order in which the processor of transformers looks.
  if (folder.has("chat_template.jinja")) {
    source = "chat_template.jinja";
    text = folder.text("chat_template.jinja");
  } else if (folder.has("chat_template.json")) {
    source = "chat_template.json";
    const json object = folder.object("chat_template.json");
    Reader(object, folder.file("chat_template.json")).read("chat_template", text);
  } else if (folder.has("tokenizer_config.json")) {
    source = "tokenizer_config.json";
    const json object = folder.object("tokenizer_config.json");
    if (object.contains("chat_template") && object["chat_template"].is_string())
      text = object["chat_template"].get<std::string>();
  }
  if (text.empty())
    fail("chat_format_unsupported", "checkpoint",
         "{} must hold a chat template in chat_template.jinja, chat_template.json or "
         "tokenizer_config.json but holds none: download these files too",
         folder.file(""));
  const auto system = default_system_text(text);
  if (!system)
    fail("chat_format_unsupported", "checkpoint",
         "{} must be Qwen2.5-VL's ChatML (<|im_start|>system, <|vision_start|><|video_pad|>"
         "<|vision_end|>, <|im_start|>assistant) but is another format",
         folder.file(source.c_str()));
  return {*system, source};
}

}  // namespace

std::optional<std::string> default_system_text(const std::string& chat_template) {
  const auto has = [&](const char* part) { return chat_template.find(part) != std::string::npos; };
  if (!has("<|vision_start|><|video_pad|><|vision_end|>") || !has("<|im_start|>assistant\n") ||
      !has("<|im_end|>\n"))
    return std::nullopt;
  const std::string open = "<|im_start|>system\n";
  const auto begin = chat_template.find(open);
  if (begin == std::string::npos) return std::nullopt;
  const auto end = chat_template.find("<|im_end|>\n", begin);
  if (end == std::string::npos) return std::nullopt;
  std::string text = chat_template.substr(begin + open.size(), end - begin - open.size());
  if (text.find("{{") != std::string::npos || text.find("{%") != std::string::npos)
    return std::nullopt;
  return text;
}

CheckpointConfig read_checkpoint_config(const std::string& path) {
  Folder folder(path);
  if (!folder.has("config.json"))
    fail("checkpoint_missing", "checkpoint",
         "{} must be a folder with config.json, as the Hub publishes a checkpoint, but has none",
         path);
  CheckpointConfig c;
  c.folder = path;
  const json config = folder.object("config.json");
  c.model = read_model(config, folder.file("config.json"));
  const char* processor = folder.has("video_preprocessor_config.json")
                              ? "video_preprocessor_config.json"
                              : "preprocessor_config.json";
  if (!folder.has(processor))
    fail("checkpoint_missing", "checkpoint",
         "{} is missing, so how frames become patches is unknown: download it too",
         folder.file(processor));
  c.processor = read_processor(folder.object(processor), folder.file(processor));
  if (c.processor.patch_size != c.model.vision.patch_size ||
      c.processor.temporal_patch_size != c.model.vision.temporal_patch_size ||
      c.processor.merge_size != c.model.vision.spatial_merge_size ||
      c.model.vision.in_channels != 3)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: patch_size, temporal_patch_size and merge_size must equal those of config.json's "
         "vision_config, with 3 channels",
         folder.file(processor));
  // Without the file, transformers takes these keys from config.json.
  c.generation = folder.has("generation_config.json")
                     ? read_generation(folder.object("generation_config.json"),
                                       folder.file("generation_config.json"))
                     : read_generation(config, folder.file("config.json"));
  c.chat = read_chat(folder);
  c.digest = folder.digest();
  return c;
}

}  // namespace bestreel::videoscore2
