#include "core/nn/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "safetensors_file.h"

namespace bestreel {
namespace {

namespace fs = std::filesystem;

std::string f32(const std::string& name, const std::string& header_tail = "") {
  return "{\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}" +
         header_tail;
}

std::string floats(float a, float b) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &a, 4);
  std::memcpy(bytes.data() + 4, &b, 4);
  return bytes;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest()
      : folder_(fs::path(testing::TempDir()) /
                (std::string("bestreel_checkpoint_") +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  /// The error of opening the folder: "code: what".
  std::string error() const {
    try {
      Checkpoint::open(folder_.string());
    } catch (const Error& error) {
      return error.code() + ": " + error.what();
    }
    return "no error";
  }
  void expect_error(const std::string& code, const std::string& part) const {
    const std::string message = error();
    EXPECT_EQ(message.substr(0, message.find(':')), code) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }

  fs::path folder_;
};

// One file: the three dtypes as they are, by name, with their values, and in the file's own pages.
TEST_F(CheckpointTest, MapsTensorsOfEveryDtype) {
  const std::string header = R"({"f":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
                             R"("h":{"dtype":"F16","shape":[],"data_offsets":[12,14]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  write("model.safetensors",
        safetensors_bytes(padded, floats(1.5f, -2.f) + std::string("\x80\x3f\x00\xc0\x00\x3c", 6)));
  const Checkpoint checkpoint = Checkpoint::open(folder_.string());
  EXPECT_EQ(checkpoint.folder(), folder_.string());
  EXPECT_EQ(checkpoint.parameters(), 5u);
  EXPECT_EQ(checkpoint.bytes(), 14u);
  EXPECT_TRUE(checkpoint.has("f"));
  EXPECT_FALSE(checkpoint.has("lm_head.weight"));
  EXPECT_EQ(checkpoint.entries().front().name, "b");

  const at::Tensor f = checkpoint.tensor("f", {1, 2});
  EXPECT_EQ(f.scalar_type(), c10::kFloat);
  EXPECT_EQ(f.data_ptr<float>()[0], 1.5f);
  EXPECT_EQ(f.data_ptr<float>()[1], -2.f);
  const at::Tensor b = checkpoint.tensor("b");
  EXPECT_EQ(b.scalar_type(), c10::kBFloat16);
  EXPECT_EQ(static_cast<float>(b.data_ptr<c10::BFloat16>()[1]), -2.f);
  const at::Tensor h = checkpoint.tensor("h");
  EXPECT_EQ(h.dim(), 0);
  EXPECT_EQ(static_cast<float>(h.data_ptr<c10::Half>()[0]), 1.f);
  EXPECT_EQ(f.data_ptr(), checkpoint.tensor("f").data_ptr());  // mapped, not copied
}

// A tensor keeps the pages alive when the checkpoint and the file's name are gone.
TEST_F(CheckpointTest, TensorsOutliveTheCheckpoint) {
  write("model.safetensors", safetensors_bytes(f32("t"), floats(3.f, 4.f)));
  at::Tensor tensor;
  {
    const Checkpoint checkpoint = Checkpoint::open(folder_.string());
    tensor = checkpoint.tensor("t");
  }
  fs::remove(folder_ / "model.safetensors");
  EXPECT_EQ(tensor.data_ptr<float>()[1], 4.f);
}

// Data that the header leaves unaligned is still read right.
TEST_F(CheckpointTest, CopiesUnalignedTensors) {
  for (int pad = 0; pad < 8; ++pad) {
    write("model.safetensors",
          safetensors_bytes(f32("t", std::string(static_cast<std::size_t>(pad), ' ')),
                            floats(3.f, 4.f)));
    const at::Tensor tensor = Checkpoint::open(folder_.string()).tensor("t");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data_ptr()) % 4, 0u);
    EXPECT_EQ(tensor.data_ptr<float>()[0], 3.f) << pad;
  }
}

// The fingerprint follows names and values, both ends of a large tensor included, and nothing else.
TEST_F(CheckpointTest, FingerprintFollowsTheContents) {
  std::string data(1 << 20, '\1');
  const auto fingerprint = [&](const std::string& name) {
    write("model.safetensors", safetensors_bytes("{\"" + name +
                                                     "\":{\"dtype\":\"F32\",\"shape\":[262144],"
                                                     "\"data_offsets\":[0,1048576]}}",
                                                 data));
    return Checkpoint::open(folder_.string()).fingerprint();
  };
  const std::string first = fingerprint("t");
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(fingerprint("t"), first);
  EXPECT_NE(fingerprint("u"), first);
  for (const std::size_t at : {std::size_t{0}, data.size() - 1}) {
    data[at] = '\2';
    EXPECT_NE(fingerprint("t"), first) << at;
    data[at] = '\1';
  }
}

// Shards are found through their index, and another stem is another checkpoint.
TEST_F(CheckpointTest, ReadsShards) {
  write("s-1.safetensors", safetensors_bytes(f32("a"), floats(1.f, 2.f)));
  write("s-2.safetensors", safetensors_bytes(f32("b"), floats(3.f, 4.f)));
  write("diffusion.safetensors.index.json",
        R"({"metadata":{},"weight_map":{"a":"s-1.safetensors","b":"s-2.safetensors"}})");
  const Checkpoint checkpoint = Checkpoint::open(folder_.string(), "diffusion");
  EXPECT_EQ(checkpoint.entries().size(), 2u);
  EXPECT_EQ(checkpoint.tensor("b").data_ptr<float>()[0], 3.f);
  expect_error("checkpoint_missing", "model.safetensors");
}

// A shard that is not there is named, with the remedy.
TEST_F(CheckpointTest, NamesAMissingShard) {
  write("s-1.safetensors", safetensors_bytes(f32("a"), floats(1.f, 2.f)));
  write("model.safetensors.index.json",
        R"({"weight_map":{"a":"s-1.safetensors","b":"s-2.safetensors"}})");
  expect_error("shard_missing", "s-2.safetensors is missing");
  expect_error("shard_missing", "download this file again");
}

// Index and shards must say the same of every tensor.
TEST_F(CheckpointTest, RefusesAnIndexThatContradictsItsShards) {
  write("s-1.safetensors", safetensors_bytes(f32("a"), floats(1.f, 2.f)));
  write("s-2.safetensors", safetensors_bytes(f32("b"), floats(3.f, 4.f)));
  write("model.safetensors.index.json",
        R"({"weight_map":{"a":"s-1.safetensors","c":"s-1.safetensors"}})");
  expect_error("safetensors_malformed", "must hold the tensor c");
  write("model.safetensors.index.json",
        R"({"weight_map":{"a":"s-2.safetensors","b":"s-2.safetensors"}})");
  expect_error("safetensors_malformed", "must hold the tensor a");
  write("s-2.safetensors", safetensors_bytes(f32("a"), floats(3.f, 4.f)));
  write("model.safetensors.index.json",
        R"({"weight_map":{"a":"s-1.safetensors","x":"s-2.safetensors"}})");
  expect_error("safetensors_malformed", "both hold the tensor a");
}

// A broken index is refused, and cannot reach outside its folder.
TEST_F(CheckpointTest, RefusesABrokenIndex) {
  for (const char* index :
       {"{", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
        R"({"weight_map":{"a":1}})", R"({"weight_map":{"a":"../x.safetensors"}})",
        R"({"weight_map":{"a":"/etc/passwd"}})", R"({"weight_map":{"a":".."}})",
        R"({"weight_map":{"a":""}})", R"({"weight_map":{"a":"a\u0000"}})",
        R"({"weight_map":1e999})"}) {
    write("model.safetensors.index.json", index);
    expect_error("json_malformed", "model.safetensors.index.json");
  }
}

// What is in the folder instead of weights gets its own sentence.
TEST_F(CheckpointTest, SaysWhatIsThereInstead) {
  expect_error("checkpoint_missing", "has neither");
  write("pytorch_model.bin", "x");
  expect_error("checkpoint_missing", "pytorch_model.bin");
  expect_error("checkpoint_missing", "as safetensors");
  write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  expect_error("safetensors_malformed", "git lfs pull");
  write("model.safetensors", "");
  expect_error("safetensors_malformed", "only 0 bytes");
  fs::remove(folder_ / "model.safetensors");
  fs::create_directory(folder_ / "model.safetensors");
  expect_error("file_unreadable", "folder or a device");
  fs::remove(folder_ / "model.safetensors");
  ASSERT_EQ(::mkfifo((folder_ / "model.safetensors").c_str(), 0600), 0);  // opening it would wait
  expect_error("file_unreadable", "folder or a device");
  EXPECT_THROW(Checkpoint::open((folder_ / "nowhere").string()), Error);
}

// A wrong shape names the file, the tensor and both shapes; a wrong name and a wrong dtype theirs.
TEST_F(CheckpointTest, NamesTheTensorThatDoesNotFit) {
  write("model.safetensors",
        safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                          R"("q":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[8,10]}})",
                          floats(1.f, 2.f) + "01"));
  const Checkpoint checkpoint = Checkpoint::open(folder_.string());
  const auto error_of = [&](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.code() + ": " + error.what();
    }
    return "no error";
  };
  const std::string shape = error_of([&] { checkpoint.tensor("t", {1, 2}); });
  EXPECT_EQ(shape.substr(0, 14), "shape_mismatch");
  for (const char* part : {"model.safetensors", "tensor t", "[1, 2]", "[2]"}) {
    EXPECT_NE(shape.find(part), std::string::npos) << shape;
  }
  EXPECT_EQ(error_of([&] { checkpoint.tensor("u"); }).substr(0, 14), "tensor_missing");
  EXPECT_EQ(error_of([&] { checkpoint.tensor("q"); }).substr(0, 17), "dtype_unsupported");
}

}  // namespace
}  // namespace bestreel
