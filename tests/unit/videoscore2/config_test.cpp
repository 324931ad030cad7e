#include "reward/videoscore2/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace bestreel::videoscore2 {
namespace {

using nlohmann::json;

const char* const kChat =
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% for content in message['content'] %}"
    "{% if content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    write("config.json", config_);
    write("preprocessor_config.json", json::object());
    write("generation_config.json", json::object());
    write("chat_template.json", {{"chat_template", kChat}});
  }

  void write(const std::string& name, const json& content) {
    std::ofstream(folder_ / name) << content.dump();
  }
  CheckpointConfig read() { return read_checkpoint_config(folder_.string()); }
  std::string error_code() {
    try {
      read();
    } catch (const Error& error) {
      sentence_ = error.what();
      return error.code();
    }
    return "";
  }

  std::filesystem::path folder_;
  std::string sentence_;
  json config_ = {
      {"model_type", "qwen2_5_vl"},
      {"hidden_size", 64},
      {"num_attention_heads", 4},
      {"num_key_value_heads", 2},
      {"num_hidden_layers", 2},
      {"rope_scaling", {{"type", "mrope"}, {"mrope_section", {2, 3, 3}}}},
      {"vision_config", {{"hidden_size", 48}, {"num_heads", 3}, {"out_hidden_size", 64}}},
  };
};

// Verifies that a key which a file leaves out has the default of transformers' class, not that of
// a known checkpoint.
TEST_F(ConfigTest, SilentKeysAreClassDefaults) {
  const CheckpointConfig c = read();
  EXPECT_EQ(c.model.text.max_positions, 32768);
  EXPECT_EQ(c.model.text.rms_norm_eps, 1e-5);
  EXPECT_FALSE(c.model.text.tie_word_embeddings);
  EXPECT_EQ(c.model.vision.tokens_per_second, 4);
  EXPECT_EQ(c.model.vision.depth, 32);
  EXPECT_EQ(c.generation.top_k, 50);
  EXPECT_EQ(c.generation.repetition_penalty, 1.0);
  EXPECT_EQ(c.processor.min_pixels, 128 * 28 * 28);
}

// Verifies that a null is not an absent key: no top_k at all, and as many key heads as heads.
TEST_F(ConfigTest, NullIsNotAbsent) {
  config_["num_key_value_heads"] = nullptr;
  write("config.json", config_);
  write("generation_config.json", {{"top_k", nullptr}});
  const CheckpointConfig c = read();
  EXPECT_EQ(c.generation.top_k, 0);
  EXPECT_EQ(c.model.text.num_kv_heads, 4);
}

// Verifies that both layouts of config.json say the same.
TEST_F(ConfigTest, NestedAndFlatLayout) {
  const CheckpointConfig flat = read();
  json nested = {{"model_type", "qwen2_5_vl"}, {"vision_config", config_["vision_config"]}};
  json text = config_;
  text.erase("vision_config");
  nested["text_config"] = text;
  write("config.json", nested);
  const CheckpointConfig c = read();
  EXPECT_EQ(c.model.text.hidden_size, flat.model.text.hidden_size);
  EXPECT_EQ(c.model.text.mrope_section, flat.model.text.mrope_section);
}

// Verifies that settings are read and that one end token or several are.
TEST_F(ConfigTest, ReadsGenerationAndProcessor) {
  write("generation_config.json",
        {{"repetition_penalty", 1.05}, {"top_k", 1}, {"top_p", 0.5}, {"eos_token_id", 7}});
  write("video_preprocessor_config.json", {{"min_pixels", 3136}});
  CheckpointConfig c = read();
  EXPECT_EQ(c.generation.repetition_penalty, 1.05);
  EXPECT_EQ(c.generation.top_k, 1);
  EXPECT_EQ(c.generation.top_p, 0.5);
  EXPECT_EQ(c.generation.eos_token_ids, std::vector<std::int64_t>{7});
  EXPECT_EQ(c.processor.min_pixels, 3136);
  write("generation_config.json", {{"eos_token_id", {7, 8}}});
  EXPECT_EQ(read().generation.eos_token_ids, (std::vector<std::int64_t>{7, 8}));
}

// Verifies that a folder of another family is refused by name.
TEST_F(ConfigTest, RefusesAnotherFamily) {
  config_["model_type"] = "llama";
  write("config.json", config_);
  EXPECT_EQ(error_code(), "checkpoint_foreign");
  EXPECT_NE(sentence_.find("\"llama\""), std::string::npos) << sentence_;
}

// Verifies that what this engine does not compute is refused, never ignored.
TEST_F(ConfigTest, RefusesWhatItCannotCompute) {
  const json good = config_;
  const auto refused = [&](const json& patch) {
    config_ = good;
    config_.merge_patch(patch);
    write("config.json", config_);
    return error_code() == "checkpoint_unsupported";
  };
  EXPECT_TRUE(refused({{"hidden_act", "gelu"}})) << sentence_;
  EXPECT_TRUE(refused({{"rope_scaling", {{"type", "yarn"}}}})) << sentence_;
  EXPECT_TRUE(refused({{"rope_scaling", {{"mrope_section", {1, 1, 1}}}}})) << sentence_;
  EXPECT_TRUE(refused({{"rope_scaling", nullptr}})) << sentence_;
  EXPECT_TRUE(refused({{"use_sliding_window", true}, {"max_window_layers", 1}})) << sentence_;
  EXPECT_TRUE(refused({{"num_attention_heads", 5}})) << sentence_;
  EXPECT_TRUE(refused({{"num_hidden_layers", 0}})) << sentence_;
  write("config.json", good);
  for (const json& generation : {json{{"no_repeat_ngram_size", 3}}, json{{"min_p", 0.1}},
                                 json{{"suppress_tokens", {1}}}, json{{"num_beams", 4}}}) {
    write("generation_config.json", generation);
    EXPECT_EQ(error_code(), "checkpoint_unsupported") << generation;
  }
}

// Verifies that missing and broken files are named.
TEST_F(ConfigTest, NamesMissingAndBrokenFiles) {
  std::ofstream(folder_ / "generation_config.json") << "{";
  EXPECT_EQ(error_code(), "json_malformed");
  EXPECT_NE(sentence_.find("generation_config.json"), std::string::npos) << sentence_;
  std::filesystem::remove(folder_ / "generation_config.json");
  EXPECT_EQ(error_code(), "");
  std::filesystem::remove(folder_ / "preprocessor_config.json");
  EXPECT_EQ(error_code(), "checkpoint_missing");
  std::filesystem::remove(folder_ / "config.json");
  EXPECT_EQ(error_code(), "checkpoint_missing");
  EXPECT_NE(sentence_.find("config.json"), std::string::npos) << sentence_;
}

// Verifies that the template is found where transformers finds it, in its order, in every form that
// it accepts, and that a folder without one is refused.
TEST_F(ConfigTest, FindsTheChatTemplate) {
  EXPECT_EQ(read().chat.system, "You are a helpful assistant.");
  EXPECT_EQ(read().chat.source, "chat_template.json");
  const auto with_system = [](const std::string& text) {
    std::string chat = kChat;
    return chat.replace(chat.find("You are a helpful assistant."), 28, text);
  };
  write("chat_template.json",
        {{"chat_template",
          json::array({{{"name", "other"}, {"template", "x"}},
                       {{"name", "default"}, {"template", with_system("List.")}}})}});
  EXPECT_EQ(read().chat.system, "List.");
  std::filesystem::remove(folder_ / "chat_template.json");
  EXPECT_EQ(error_code(), "chat_format_unsupported");
  write("tokenizer_config.json",
        {{"chat_template", {{{"name", "default"}, {"template", with_system("T.")}}}},
         {"eos_token", {{"content", "<|im_end|>"}}}});
  EXPECT_EQ(read().chat.system, "T.");
  EXPECT_EQ(read().chat.source, "tokenizer_config.json");
  write("processor_config.json", {{"chat_template", with_system("P.")}});
  EXPECT_EQ(read().chat.system, "P.");
  std::ofstream(folder_ / "chat_template.jinja") << with_system("J.");
  EXPECT_EQ(read().chat.system, "J.");
  EXPECT_EQ(read().chat.source, "chat_template.jinja");
  write("chat_template.json", {{"chat_template", {{{"name", "tool_use"}, {"template", kChat}}}}});
  EXPECT_EQ(error_code(), "chat_format_unsupported");
  EXPECT_NE(sentence_.find("tool_use"), std::string::npos) << sentence_;
}

// Verifies that an adapter beside a model or instead of one is refused with the way to merge it.
TEST_F(ConfigTest, RefusesAdapters) {
  ASSERT_EQ(error_code(), "");
  for (const char* name :
       {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    write(name, json::object());
    EXPECT_EQ(error_code(), "checkpoint_adapter") << name;
    EXPECT_NE(sentence_.find("merge_and_unload"), std::string::npos) << sentence_;
    std::filesystem::rename(folder_ / "config.json", folder_ / "away");
    EXPECT_EQ(error_code(), "checkpoint_adapter") << name;
    std::filesystem::rename(folder_ / "away", folder_ / "config.json");
    std::filesystem::remove(folder_ / name);
  }
  EXPECT_EQ(error_code(), "");
}

// Verifies that what transformers 5 writes means the same: one rope object, theta inside.
TEST_F(ConfigTest, ReadsRopeParameters) {
  config_["rope_theta"] = 5e5;
  write("config.json", config_);
  EXPECT_EQ(read().model.text.rope_theta, 5e5);
  json rope = config_["rope_scaling"];
  config_.erase("rope_scaling");
  write("config.json", config_);
  EXPECT_EQ(error_code(), "checkpoint_unsupported");
  rope["rope_theta"] = 2e4;
  config_["rope_parameters"] = rope;
  write("config.json", config_);
  EXPECT_EQ(read().model.text.rope_theta, 2e4);  // of the two, that inside
  EXPECT_EQ(read().model.text.mrope_section[1], 3);
  rope.erase("rope_theta");
  config_["rope_parameters"] = rope;
  write("config.json", config_);
  EXPECT_EQ(read().model.text.rope_theta, 5e5);
  for (const json& wrong :
       {json{{"rope_type", "yarn"}}, json{{"rope_theta", -1}}, json{{"partial_rotary_factor", 0.5}},
        json{{"mrope_section", {1, 1, 1}}}}) {
    json broken = rope;
    broken.update(wrong);
    config_["rope_parameters"] = broken;
    write("config.json", config_);
    EXPECT_EQ(error_code(), "checkpoint_unsupported") << wrong;
  }
  config_["rope_parameters"] = rope;
  config_["vision_config"]["rope_parameters"] = {{"rope_type", "axial"}, {"rope_theta", 10000}};
  write("config.json", config_);
  EXPECT_EQ(error_code(), "");
  config_["vision_config"]["rope_parameters"]["rope_theta"] = 5000;
  write("config.json", config_);
  EXPECT_EQ(error_code(), "checkpoint_unsupported");
}

// Verifies that embeddings are tied where either level says so.
TEST_F(ConfigTest, TiesAtEitherLevel) {
  json text = config_;
  text.erase("vision_config");
  for (const bool top : {false, true}) {
    for (const bool nested : {false, true}) {
      text["tie_word_embeddings"] = nested;
      write("config.json", {{"model_type", "qwen2_5_vl"},
                            {"vision_config", config_["vision_config"]},
                            {"text_config", text},
                            {"tie_word_embeddings", top}});
      EXPECT_EQ(read().model.text.tie_word_embeddings, top || nested) << top << nested;
    }
  }
}

// Verifies that sliding layers are refused where they slide, by number or by name.
TEST_F(ConfigTest, RefusesSlidingLayers) {
  config_["layer_types"] = {"full_attention", "sliding_attention"};
  write("config.json", config_);
  EXPECT_EQ(error_code(), "");  // none slides while use_sliding_window is off
  config_["use_sliding_window"] = true;
  write("config.json", config_);
  EXPECT_EQ(error_code(), "checkpoint_unsupported");
  config_["layer_types"] = {"full_attention", "full_attention"};
  write("config.json", config_);
  EXPECT_EQ(error_code(), "");
  config_["quantization_config"] = {{"quant_method", "awq"}};
  write("config.json", config_);
  EXPECT_EQ(error_code(), "checkpoint_unsupported");
  EXPECT_NE(sentence_.find("quantization_config"), std::string::npos) << sentence_;
}

// Verifies where the pixel limits come from: their own keys, else `size`, else the class; a null is
// none.
TEST_F(ConfigTest, ReadsPixelLimits) {
  const auto limits = [&](const json& processor) {
    write("video_preprocessor_config.json", processor);
    const ProcessorConfig c = read().processor;
    return std::pair(c.min_pixels, c.max_pixels);
  };
  using P = std::pair<std::int64_t, std::int64_t>;
  const json size = {{"shortest_edge", 3136}, {"longest_edge", 50176}};
  EXPECT_EQ(limits({{"min_pixels", 784}, {"max_pixels", 7840}}), P(784, 7840));
  EXPECT_EQ(limits({{"size", size}}), P(3136, 50176));
  EXPECT_EQ(limits({{"size", size}, {"min_pixels", nullptr}, {"max_pixels", nullptr}}),
            P(3136, 50176));
  EXPECT_EQ(limits({{"size", size}, {"min_pixels", 784}, {"max_pixels", 7840}}), P(784, 7840));
  EXPECT_EQ(limits({{"size", size}, {"max_pixels", 7840}}), P(3136, 7840));
  EXPECT_EQ(limits({{"size", nullptr}, {"min_pixels", nullptr}}), P(128 * 784, 768 * 784));
  for (const json& wrong : {json{{"height", 28}, {"width", 28}}, json(224), json::object()}) {
    write("video_preprocessor_config.json", {{"size", wrong}});
    EXPECT_EQ(error_code(), "checkpoint_unsupported") << wrong;
  }
  write("video_preprocessor_config.json", {{"min_pixels", 7840}, {"max_pixels", 784}});
  EXPECT_EQ(error_code(), "checkpoint_unsupported");
  write("processor_config.json", {{"video_processor", {{"size", size}}}});
  EXPECT_EQ(read().processor.max_pixels, 50176);  // one file for all parts goes first
}

// Verifies that the digest follows every file that was read.
TEST_F(ConfigTest, DigestFollowsTheFiles) {
  const std::string before = read().digest;
  EXPECT_EQ(read().digest, before);
  write("generation_config.json", {{"top_k", 1}});
  EXPECT_NE(read().digest, before);
}

}  // namespace
}  // namespace bestreel::videoscore2
