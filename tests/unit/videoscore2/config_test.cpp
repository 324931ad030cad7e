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
    "{% if loop.first %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>{% if x %}<|im_start|>assistant\n{% endif %}";

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

// Verifies that the default system text is recognised in a ChatML template, and that templates of
// other formats, or whose system text is computed, are not guessed at.
TEST_F(ConfigTest, RecognisesTheChatFormat) {
  EXPECT_EQ(default_system_text(kChat), "You are a helpful assistant.");
  EXPECT_EQ(default_system_text("[INST] {{ text }} [/INST]"), std::nullopt);
  std::string computed = kChat;
  computed.replace(computed.find("You are"), 7, "{{ name }}");
  EXPECT_EQ(default_system_text(computed), std::nullopt);
  write("chat_template.json", {{"chat_template", "[INST]"}});
  EXPECT_EQ(error_code(), "chat_format_unsupported");
  std::filesystem::remove(folder_ / "chat_template.json");
  EXPECT_EQ(error_code(), "chat_format_unsupported");
  write("tokenizer_config.json", {{"chat_template", kChat}});
  EXPECT_EQ(read().chat.source, "tokenizer_config.json");
  std::ofstream(folder_ / "chat_template.jinja") << kChat;
  EXPECT_EQ(read().chat.source, "chat_template.jinja");
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
