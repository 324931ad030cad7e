#include "sampler/wan/tokenizer.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/base/fail.h"
#include "core/base/json_file.h"
#include "sampler/wan/unigram.h"

namespace bestreel::wan {
namespace {

namespace fs = std::filesystem;
constexpr const char* kModule = "libbestreel_unigram.so";

/// libsentencepiece, kept to itself.
///
/// design: Debian's libsentencepiece exports the old protobuf that it was built with, and OpenCV's
/// video module brings the current one into the same process; linked side by side the one calls
/// into the other and the program crashes before main(). So it lives behind a module that is opened
/// with its own symbols first and shows none of them to others.
struct Unigram {
  decltype(&bestreel_unigram_open) open = nullptr;
  decltype(&bestreel_unigram_close) close = nullptr;
  decltype(&bestreel_unigram_eos) eos = nullptr;
  decltype(&bestreel_unigram_encode) encode = nullptr;

  static const Unigram& get() {
    static const Unigram unigram = load();
    return unigram;
  }

 private:
  /// Beside the library or program that holds this code, in a build or in an installation.
  static std::vector<std::string> places() {
    std::vector<std::string> paths;
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(&Unigram::get), &info) != 0 && info.dli_fname != nullptr) {
      std::error_code ignored;
      const fs::path here = fs::canonical(info.dli_fname, ignored).parent_path();
      for (const char* below : {"", "bestreel", "../lib", "../lib/bestreel"}) {
        paths.push_back((here / below / kModule).string());
      }
    }
    paths.push_back(std::string(BESTREEL_UNIGRAM_BUILD) + "/" + kModule);
    return paths;
  }

  static Unigram load() {
    std::string why;
    for (const std::string& path : places()) {
      std::error_code ignored;
      if (!fs::exists(path, ignored)) continue;
      int flags = RTLD_NOW | RTLD_LOCAL;
#ifdef RTLD_DEEPBIND
      flags |= RTLD_DEEPBIND;
#endif
      void* module = dlopen(path.c_str(), flags);
      if (module == nullptr) {
        why = dlerror();
        continue;
      }
      Unigram unigram;
      const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(module, name));
        return function != nullptr;
      };
      if (find(unigram.open, "bestreel_unigram_open") &&
          find(unigram.close, "bestreel_unigram_close") &&
          find(unigram.eos, "bestreel_unigram_eos") &&
          find(unigram.encode, "bestreel_unigram_encode")) {
        return unigram;
      }
      why = path + " is of another version";
    }
    fail("tokenizer_missing", "tokenizer",
         "{} could not be loaded ({}): install Bestreel whole, with its lib "
         "folder, and Debian's libsentencepiece",
         kModule, why.empty() ? "it is nowhere" : why);
  }
};

}  // namespace

struct PromptTokenizer::Impl {
  explicit Impl(void* loaded) : model(loaded) {}
  ~Impl() { Unigram::get().close(model); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  void* model;
};

namespace {

// transformers prefers tokenizer.json, where the space before the text can be switched off.
void require_leading_space(const std::string& path) {
  const nlohmann::json file = read_json(path);
  const auto part = file.find("pre_tokenizer");
  if (part == file.end() || !part->is_object()) return;
  for (const nlohmann::json& one : part->value("pretokenizers", nlohmann::json::array({*part})))
    if (one.value("type", "") == "Metaspace" && one.value("prepend_scheme", "always") == "never")
      fail("tokenizer_unsupported", "tokenizer",
           "{}: \"prepend_scheme\" must be always, as in spiece.model, but is never: set it, and "
           "delete add_prefix_space from tokenizer_config.json",
           path);
}

}  // namespace

PromptTokenizer PromptTokenizer::open(const std::string& folder) {
  const std::string path = folder + "/spiece.model";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("checkpoint_missing", "checkpoint",
         "{} is missing: download the folder tokenizer again (tokenizer.json alone is not enough)",
         path);
  if (const std::string json = folder + "/tokenizer.json"; std::filesystem::exists(json, ignored))
    require_leading_space(json);
  const Unigram& unigram = Unigram::get();
  std::array<char, 400> error{};
  void* model = unigram.open(path.c_str(), error.data(), error.size());
  if (model == nullptr)
    fail("tokenizer_malformed", "tokenizer",
         "{} must be a sentencepiece model but is not ({}): download it again", path, error.data());
  auto impl = std::make_shared<Impl>(model);
  if (unigram.eos(model) < 0)
    fail("tokenizer_malformed", "tokenizer",
         "{} must define an end mark (</s>) but does not: use the tokenizer of this checkpoint",
         path);
  PromptTokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

std::vector<std::int64_t> PromptTokenizer::encode(std::string_view text, std::int64_t limit) const {
  const Unigram& unigram = Unigram::get();
  std::vector<std::int32_t> pieces(static_cast<std::size_t>(limit - 1));
  const std::int64_t count =
      unigram.encode(impl_->model, text.data(), text.size(), pieces.data(), pieces.size());
  if (count < 0)
    fail("tokenizer_malformed", "tokenizer",
         "the prompt could not be split into tokens: it must be UTF-8");
  pieces.resize(std::min(pieces.size(), static_cast<std::size_t>(count)));
  std::vector<std::int64_t> ids(pieces.begin(), pieces.end());
  ids.push_back(unigram.eos(impl_->model));
  return ids;
}

std::int64_t PromptTokenizer::length(std::string_view text) const {
  return std::max<std::int64_t>(
             0, Unigram::get().encode(impl_->model, text.data(), text.size(), nullptr, 0)) +
         1;
}

}  // namespace bestreel::wan
