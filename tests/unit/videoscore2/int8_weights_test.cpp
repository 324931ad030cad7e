#include "reward/videoscore2/int8_weights.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/repeat_interleave.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/base/error.h"
#include "core/base/file.h"
#include "reward/videoscore2/linear.h"

namespace bestreel::videoscore2 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "bestreel-int8.safetensors";
constexpr const char* kProjection = "model.layers.0.mlp.down_proj.weight";

/// A checkpoint of one projection (40, 203) and what must stay as it is, with a cache folder
/// beside.
class Int8File : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("bestreel_int8_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "judge");
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
    weight_ = at::randn({40, 203}).to(at::kBFloat16);
    const std::string header =
        R"({"model.layers.0.mlp.down_proj.weight":{"dtype":"BF16","shape":[40,203],"data_offsets":[0,16240]},)"
        R"("visual.blocks.0.mlp.down_proj.weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[16240,16248]},)"
        R"("model.embed_tokens.weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[16248,16256]}})";
    std::string bytes(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(bytes.data(), &size, 8);
    bytes += header;
    bytes.append(static_cast<const char*>(weight_.const_data_ptr()), weight_.nbytes());
    bytes.append(16, '\0');
    std::ofstream(folder_ / "judge/model.safetensors", std::ios::binary) << bytes;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// The weights, and what was said on standard error.
  std::pair<Int8Weights, std::string> open(const std::string& digest = std::string(64, 'a')) {
    testing::internal::CaptureStderr();
    Int8Weights weights = int8_weights(Checkpoint::open(folder_ / "judge"), digest);
    return {weights, testing::internal::GetCapturedStderr()};
  }
  fs::path beside() const { return folder_ / "judge" / kFile; }
  fs::path cached() const { return folder_ / "cache/bestreel/aaaaaaaaaaaaaaaa" / kFile; }

  fs::path folder_;
  at::Tensor weight_;
};

// Verifies that int8 is at most half a step from the weight, that the step is the group's own, and
// that the vision tower and the embedding are left alone.
TEST_F(Int8File, IsWithinHalfAStep) {
  const Int8Weights weights = open().first;
  ASSERT_EQ(weights.size(), 1u);
  const Int8Matrix& m = weights.at(kProjection);
  ASSERT_EQ(m.scales.sizes(), (std::vector<std::int64_t>{40, 2}));
  const at::Tensor step = at::repeat_interleave(m.scales, kInt8Group, 1).narrow(1, 0, 203);
  const at::Tensor wide = weight_.to(at::kFloat);
  EXPECT_LE(m.values.to(at::kFloat).mul(step).sub(wide).abs().div(step).max().item<float>(),
            0.5001);
  EXPECT_FLOAT_EQ(m.scales[3][1].item<float>(),
                  wide[3].narrow(0, 128, 75).abs().max().item<float>() / 127);
}

// Verifies that the file is made once, said to be made, and then used in silence.
TEST_F(Int8File, IsMadeOnce) {
  EXPECT_NE(open().second.find("converting"), std::string::npos);
  const auto written = fs::last_write_time(beside());
  struct stat before {
  }, after{};
  ::stat(beside().c_str(), &before);
  EXPECT_EQ(open().second, "");
  ::stat(beside().c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(fs::last_write_time(beside()), written);
}

// Verifies that one wrong byte anywhere, a cut file, an empty file and a file of other weights are
// noticed, said, and made again.
TEST_F(Int8File, WrongFilesAreMadeAgain) {
  open();
  const std::string good = read_file(beside());
  std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "empty"},
      {good.substr(0, good.size() - 1), "corrupt"},
      {good.substr(0, 100), "corrupt"}};
  for (const std::size_t at : {std::size_t{3}, std::size_t{40}, good.size() / 2, good.size() - 1}) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    wrong.emplace_back(bytes, "");
  }
  for (const auto& [bytes, reason] : wrong) {
    write_file_atomically(beside(), bytes);
    const auto [weights, said] = open();
    EXPECT_NE(said.find("made again"), std::string::npos) << said;
    EXPECT_NE(said.find(reason), std::string::npos) << said;
    EXPECT_EQ(read_file(beside()), good);
  }
  const auto [weights, said] = open(std::string(64, 'b'));
  EXPECT_NE(said.find("made from other weights"), std::string::npos) << said;
}

// Verifies that a folder that cannot be written sends the file to the user's cache, where the next
// start finds it.
TEST_F(Int8File, ReadOnlyFolderFallsBackToTheCache) {
  fs::create_directories(beside());  // stands in the way, even of root
  EXPECT_NE(open().second.find(cached().string()), std::string::npos);
  EXPECT_TRUE(fs::is_regular_file(cached()));
  EXPECT_EQ(open().second.find("converting"), std::string::npos);
}

// Verifies that with no place to write the sentence names both, the reason and the remedy, and that
// nothing half-written stays.
TEST_F(Int8File, NoPlaceIsAClearError) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string code, said;
  testing::internal::CaptureStderr();
  try {
    int8_weights(Checkpoint::open(folder_ / "judge"), std::string(64, 'a'));
  } catch (const Error& error) {
    code = error.code();
    said = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, "write_failed");
  for (const std::string& part :
       {beside().string(), cached().string(), std::string("--quantize int8")})
    EXPECT_NE(said.find(part), std::string::npos) << said;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "judge"), {}), 1);
}

// Verifies that few rows, which have a kernel, and many, which are widened, see the same int8
// weights.
TEST(Int8Linear, FewAndManyRowsAgree) {
  at::manual_seed(5);
  const Int8Matrix m = quantise(at::randn({70, 300}));
  const Linear linear{m.values, at::randn({70}), m.scales, kInt8Group};
  const at::Tensor x = at::randn({40, 300});
  const at::Tensor few = at::cat({linear(x.narrow(0, 0, 20)), linear(x.narrow(0, 20, 20))});
  EXPECT_LE(linear(x).sub(few).abs().max().item<float>(), 1e-4f);
}

// Verifies that a weight that is not finite does not become a finite score.
TEST(Int8Linear, NanStaysNan) {
  at::Tensor w = at::randn({3, 130});
  w[1][129] = std::numeric_limits<float>::quiet_NaN();
  const Int8Matrix m = quantise(w);
  const Linear linear{m.values, {}, m.scales, kInt8Group};
  const at::Tensor y = linear(at::randn({1, 130}));
  EXPECT_FALSE(y[0][0].isnan().item<bool>());
  EXPECT_TRUE(y[0][1].isnan().item<bool>());
}

}  // namespace
}  // namespace bestreel::videoscore2
