#include "reward/videoscore2/config.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

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
  in.read_positive("num_hidden_layers", c.depth);  // the class's other names of the two
  in.read_positive("num_attention_heads", c.num_heads);
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
  if (in.has("rope_parameters")) {  // transformers 5 writes down what 4 has in its code
    const Reader rope(in.at("rope_parameters"), in.file() + ": rope_parameters");
    rope.require("rope_theta", 10000.0);
    std::string type = "axial";
    rope.read("rope_type", type);
    if (type != "axial" && type != "default") rope.require("rope_type", "axial");
  }
  if (c.hidden_size % (4 * c.num_heads) != 0)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision hidden_size must be a multiple of 4 x num_heads but got {} and {}", in.file(),
         c.hidden_size, c.num_heads);
  if (c.window_size < c.patch_size * c.spatial_merge_size)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision window_size {} is smaller than one merged patch", in.file(), c.window_size);
  return c;
}

/// transformers 4 writes `rope_scaling` beside `rope_theta`, 5 writes both as `rope_parameters`.
void read_rope(const Reader& in, TextConfig& c) {
  const char* name = in.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (!in.has(name) || !in.at(name).contains("mrope_section"))
    fail("checkpoint_unsupported", "checkpoint",
         "{}: {} must hold the mrope_section, without which the positions of video tokens are "
         "unknown, but does not: take config.json from the checkpoint again",
         in.file(), in.has("rope_scaling") ? "rope_scaling" : "rope_scaling or rope_parameters");
  const Reader rope(in.at(name), fmt::format("{}: {}", in.file(), name));
  for (const char* key : {"type", "rope_type"}) {
    std::string type = "default";
    rope.read(key, type);
    if (type != "default" && type != "mrope") rope.require(key, "default");
  }
  rope.require("partial_rotary_factor", 1.0);
  in.require("partial_rotary_factor", 1.0);
  in.read("rope_theta", c.rope_theta);
  rope.read("rope_theta", c.rope_theta);  // of the two, transformers takes this one
  if (!(c.rope_theta > 0))
    fail("checkpoint_unsupported", "checkpoint", "{}: rope_theta must be above 0 but is {}",
         in.file(), c.rope_theta);
  rope.read("mrope_section", c.mrope_section);
  const auto half = c.mrope_section[0] + c.mrope_section[1] + c.mrope_section[2];
  if (half * 2 != c.head_dim())
    fail("checkpoint_unsupported", "checkpoint",
         "{}: {}.mrope_section must add up to half the head size {} but adds up to {}", in.file(),
         name, c.head_dim(), half);
}

void check_full_attention(const Reader& in, std::int64_t layers) {
  bool sliding = false;
  in.read("use_sliding_window", sliding);
  if (!sliding) return;  // then no layer slides, whatever else the file says
  std::int64_t first = 80;
  in.read("max_window_layers", first);
  if (in.has("layer_types")) {
    std::vector<std::string> types;
    in.read("layer_types", types);
    first = std::find(types.begin(), types.end(), "sliding_attention") - types.begin();
  }
  if (first < layers)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: use_sliding_window is on from layer {}, but this engine attends to everything",
         in.file(), first);
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
  in.read("tie_word_embeddings", c.tie_word_embeddings);
  in.require("hidden_act", "silu");
  if (c.hidden_size % c.num_heads != 0 || c.num_heads % c.num_kv_heads != 0)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: hidden_size {} must be a multiple of num_attention_heads {}, and that of "
         "num_key_value_heads {}",
         in.file(), c.hidden_size, c.num_heads, c.num_kv_heads);

  check_full_attention(in, c.num_layers);
  read_rope(in, c);
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
  in.require("quantization_config", nullptr);
  c.vision = read_vision(
      Reader(in.has("vision_config") ? in.at("vision_config") : none, file + ": vision_config"));
  // Checkpoints saved before transformers 4.52 keep the text model's keys at the top level.
  c.text = in.has("text_config") ? read_text(Reader(in.at("text_config"), file + ": text_config"))
                                 : read_text(in);
  // Where the flag stands at the top alone, it is meant for the text model.
  bool tied = false;
  in.read("tie_word_embeddings", tied);
  c.text.tie_word_embeddings = c.text.tie_word_embeddings || tied;
  for (const auto& [key, id] : {std::pair{"vision_start_token_id", &c.vision_start_token_id},
                                std::pair{"vision_end_token_id", &c.vision_end_token_id}})
    if (in.has(key)) in.read(key, id->emplace());
  if (c.vision.out_hidden_size != c.text.hidden_size)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: vision out_hidden_size must equal the text hidden_size {} but is {}", file,
         c.text.hidden_size, c.vision.out_hidden_size);
  return c;
}

/// `min_pixels` and `max_pixels` or, where they are absent or null, `size` (transformers 5 writes
/// nothing else).
void read_pixel_limits(const Reader& in, ProcessorConfig& c) {
  if (in.has("size")) {
    const Reader size(in.at("size"), in.file() + ": size");
    if (!in.at("size").is_object() || (!size.has("shortest_edge") && !size.has("longest_edge") &&
                                       !(in.has("min_pixels") && in.has("max_pixels"))))
      fail("checkpoint_unsupported", "checkpoint",
           "{} must hold shortest_edge and longest_edge, the pixels of a frame at least and at "
           "most, but is {}: take the file from the base model",
           size.file(), in.at("size").dump());
    size.read_positive("shortest_edge", c.min_pixels);
    size.read_positive("longest_edge", c.max_pixels);
  }
  in.read_positive("min_pixels", c.min_pixels);
  in.read_positive("max_pixels", c.max_pixels);
  if (c.min_pixels > c.max_pixels)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: the least pixels of a frame must be at most the most, but are {} and {}", in.file(),
         c.min_pixels, c.max_pixels);
}

ProcessorConfig read_processor(const json& object, const std::string& file) {
  const Reader in(object, file);
  ProcessorConfig c;
  read_pixel_limits(in, c);
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

/// A template as the files hold it: a text, or a list of named ones, of which transformers takes
/// "default". Empty: none.
std::string template_of(const json& value, const std::string& file) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  std::vector<std::string> names;
  for (const auto& [key, item] : value.items()) {
    const json& named = value.is_object() ? json{{"name", key}, {"template", item}} : item;
    if (!named.is_object() || !named.contains("template") || !named.contains("name")) continue;
    const json &text = named["template"], &called = named["name"];
    const std::string name = called.is_string() ? called.get<std::string>() : called.dump();
    if (name == "default" && text.is_string()) return text.get<std::string>();
    names.push_back(name);
  }
  fail("chat_format_unsupported", "checkpoint",
       "{}: its chat_template must be a text or a list with one that is named \"default\" but has "
       "only [{}]: give the one that the model was trained with this name",
       file, fmt::join(names, ", "));
}

/// The special tokens that chat templates may name.
std::vector<std::pair<std::string, std::string>> special_tokens(const json& tokenizer) {
  std::vector<std::pair<std::string, std::string>> tokens;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const auto at = tokenizer.find(name);
    if (at == tokenizer.end()) continue;
    const json& content = at->is_object() ? at->value("content", json()) : *at;
    if (content.is_string()) tokens.emplace_back(name, content.get<std::string>());
  }
  return tokens;
}

ChatFormat read_chat(Folder& folder) {
  const auto held = [&](const char* name) {
    const json object = folder.has(name) ? folder.object(name) : json::object();
    return object.contains("chat_template")
               ? template_of(object["chat_template"], folder.file(name))
               : std::string();
  };
  // The order in which the processor of transformers looks.
  const char* source = "chat_template.json";
  std::string text = held(source);
  if (text.empty() && folder.has(source = "chat_template.jinja")) text = folder.text(source);
  for (const char* name : {"processor_config.json", "tokenizer_config.json"})
    if (text.empty()) text = held(source = name);
  if (text.empty())
    fail("chat_format_unsupported", "checkpoint",
         "{} must hold a chat template in chat_template.jinja, chat_template.json, "
         "processor_config.json or tokenizer_config.json but holds none: download these files too",
         folder.file(""));
  const json tokenizer =
      folder.has("tokenizer_config.json") ? folder.object("tokenizer_config.json") : json::object();
  ChatFormat format = chat_format(text, special_tokens(tokenizer), folder.file(source));
  format.source = source;
  return format;
}

/// transformers loads the base model and the adapter on top of it; what would be judged with here
/// is another model, or none.
void refuse_adapter(const Folder& folder) {
  for (const char* name :
       {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    if (!folder.has(name)) continue;
    fail("checkpoint_adapter", "checkpoint",
         "{} must be a whole model but holds a LoRA adapter ({}): merge it into its base model "
         "first, in Python: from peft import AutoPeftModel; "
         "AutoPeftModel.from_pretrained(\"{}\").merge_and_unload().save_pretrained(\"MERGED\"), "
         "copy the tokenizer's and the processor's files beside it, and pass MERGED; or, if the "
         "adapter is merged already, take its files out of the folder",
         folder.file(""), name, folder.file(""));
  }
}

/// The object that describes the video processor, and the file it stands in: transformers 5 keeps
/// all of a processor in processor_config.json, 4 has a file for each part.
std::pair<json, std::string> find_processor(Folder& folder) {
  if (folder.has("processor_config.json")) {
    const json whole = folder.object("processor_config.json");
    if (whole.contains("video_processor") && whole["video_processor"].is_object())
      return {whole["video_processor"], folder.file("processor_config.json") + ": video_processor"};
  }
  for (const char* name : {"video_preprocessor_config.json", "preprocessor_config.json"})
    if (folder.has(name)) return {folder.object(name), folder.file(name)};
  fail("checkpoint_missing", "checkpoint",
       "{} is missing, and processor_config.json has no video_processor, so how frames become "
       "patches is unknown: download it too",
       folder.file("preprocessor_config.json"));
}

}  // namespace

CheckpointConfig read_checkpoint_config(const std::string& path) {
  Folder folder(path);
  refuse_adapter(folder);
  if (!folder.has("config.json"))
    fail("checkpoint_missing", "checkpoint",
         "{} must be a folder with config.json, as the Hub publishes a checkpoint, but has none",
         path);
  CheckpointConfig c;
  c.folder = path;
  const json config = folder.object("config.json");
  c.model = read_model(config, folder.file("config.json"));
  const auto [processor, processor_file] = find_processor(folder);
  c.processor = read_processor(processor, processor_file);
  if (c.processor.patch_size != c.model.vision.patch_size ||
      c.processor.temporal_patch_size != c.model.vision.temporal_patch_size ||
      c.processor.merge_size != c.model.vision.spatial_merge_size ||
      c.model.vision.in_channels != 3)
    fail("checkpoint_unsupported", "checkpoint",
         "{}: patch_size, temporal_patch_size and merge_size must equal those of config.json's "
         "vision_config, with 3 channels",
         processor_file);
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
