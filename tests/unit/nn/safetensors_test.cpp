#include "core/nn/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "safetensors_file.h"

namespace bestreel {
namespace {

std::vector<TensorEntry> parse(const std::string& bytes) {
  return parse_safetensors_header("x.safetensors",
                                  reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                  bytes.size());
}

std::string error_of(const std::string& bytes) {
  try {
    parse(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "safetensors_malformed");
    EXPECT_NE(std::string(error.what()).find("x.safetensors"), std::string::npos);
    return error.what();
  }
  return "no error";
}

constexpr const char* kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},)"
    R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}  )";

// A sound file gives its tensors in the order of their data, metadata and padding aside.
TEST(Safetensors, ReadsASoundHeader) {
  const std::string header = kTwo;
  const auto entries = parse(safetensors_bytes(header, "01234567"));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[0].shape.empty());
  EXPECT_EQ(entries[0].begin, 8 + header.size());
  EXPECT_EQ(entries[1].dtype, "BF16");
  EXPECT_EQ(entries[1].shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(entries[1].end, 8 + header.size() + 8);
}

// Empty tensors, small dtypes and a file without tensors are allowed by the format.
TEST(Safetensors, ReadsEdgesOfTheFormat) {
  EXPECT_TRUE(parse(safetensors_bytes("{}", "")).empty());
  EXPECT_EQ(parse(safetensors_bytes(R"({"e":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
                                    R"("f":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})",
                                    "01"))
                .size(),
            2u);
}

struct Broken {
  const char* name;
  std::string bytes;
  const char* says;
};

class BrokenFiles : public testing::TestWithParam<Broken> {};

// A file that lies is refused before anything is mapped to a tensor, in a sentence that says how.
TEST_P(BrokenFiles, AreRefusedBySentence) {
  const std::string message = error_of(GetParam().bytes);
  EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                const std::string& data) {
  return safetensors_bytes(
      "{\"t\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}",
      data);
}

std::string two(const std::string& a, const std::string& b, const std::string& data) {
  return safetensors_bytes("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + a +
                               "},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + b +
                               "}}",
                           data);
}

INSTANTIATE_TEST_SUITE_P(
    Safetensors, BrokenFiles,
    testing::Values(
        Broken{"empty", "", "only 0 bytes"}, Broken{"short", "\1\0\0", "only"},
        Broken{"lfs_pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
               "git lfs pull"},
        Broken{"length_past_end", safetensors_bytes(kTwo, "", 5000), "cut off"},
        Broken{"length_absurd", safetensors_bytes(kTwo, "", std::int64_t{1} << 62), "allows"},
        Broken{"no_json", safetensors_bytes("{\"a\":", ""), "no JSON"},
        Broken{"no_object", safetensors_bytes("[1]", ""), "no JSON object"},
        Broken{"number_too_big", safetensors_bytes("{\"a\":1e999}", ""), "out of range"},
        Broken{"not_utf8", safetensors_bytes("{\"\xff\":1}", ""), "no JSON"},
        Broken{"name_twice",
               safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                                 "0"),
               "twice"},
        Broken{"key_twice",
               safetensors_bytes(
                   R"({"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}})", "0"),
               "twice"},
        Broken{"not_a_tensor", safetensors_bytes("{\"a\":7}", ""), "lacks a dtype"},
        Broken{"list_for_a_tensor", safetensors_bytes("{\"a\":[1]}", ""), "lacks a dtype"},
        Broken{"shape_no_list", one("\"F32\"", "1", "[0,4]", "0123"), "lacks a dtype"},
        Broken{"list_in_shape", one("\"F32\"", "[[1]]", "[0,4]", "0123"), "no list of whole"},
        Broken{"object_in_offsets", one("\"F32\"", "[1]", "[0,{}]", "0123"), "whole numbers"},
        Broken{
            "nested_metadata",
            safetensors_bytes("{\"__metadata__\":{\"x\":" + std::string(100'000, '[') + "}}", ""),
            "nested deeper"},
        Broken{"nested_tensor", one("\"F32\"", std::string(100'000, '['), "[0,4]", ""),
               "nested deeper"},
        Broken{"many_dimensions",
               one(
                   "\"U8\"",
                   "[1" +
                       [] {
                         std::string more;
                         for (int i = 0; i < 100; ++i) more += ",1";
                         return more;
                       }() +
                       "]",
                   "[0,1]", "0"),
               "dimensions"},
        Broken{"unknown_dtype", one("\"F33\"", "[1]", "[0,4]", "0123"), "unknown dtype"},
        Broken{"dtype_no_text", one("3", "[1]", "[0,4]", "0123"), "lacks a dtype"},
        Broken{"negative_dim", one("\"F32\"", "[-1]", "[0,4]", "0123"), "no list of whole"},
        Broken{"float_dim", one("\"F32\"", "[1.0]", "[0,4]", "0123"), "no list of whole"},
        Broken{"huge_dim", one("\"F32\"", "[18446744073709551615]", "[0,4]", "0123"), "whole"},
        Broken{"overflow", one("\"F32\"", "[4294967296,4294967296]", "[0,0]", ""), "any memory"},
        Broken{"overflow_behind_zero", one("\"U8\"", "[0,4294967296,4294967296]", "[0,0]", ""),
               "any memory"},
        Broken{"part_of_a_byte", one("\"F4\"", "[3]", "[0,2]", "01"), "whole bytes"},
        Broken{"wrong_size", one("\"F32\"", "[2]", "[0,4]", "0123"), "needs 8 bytes"},
        Broken{"wrong_dtype_size", one("\"BF16\"", "[1]", "[0,4]", "0123"), "needs 2 bytes"},
        Broken{"offset_past_end", one("\"F32\"", "[2]", "[0,8]", "0123"), "cut off"},
        Broken{"offset_negative", one("\"F32\"", "[1]", "[-4,0]", "0123"), "whole numbers"},
        Broken{"offset_backwards", one("\"F32\"", "[1]", "[4,0]", "0123"), "cut off"},
        Broken{"three_offsets", one("\"F32\"", "[1]", "[0,4,8]", "0123"), "two data_offsets"},
        Broken{"overlap", two("[0,2]", "[1,3]", "012"), "overlaps"},
        Broken{"same_bytes", two("[0,2]", "[0,2]", "01"), "overlaps"},
        Broken{"hole", two("[0,2]", "[3,5]", "01234"), "hole"},
        Broken{"hole_at_start", one("\"U8\"", "[1]", "[1,2]", "01"), "hole"},
        Broken{"trailing_bytes", one("\"U8\"", "[1]", "[0,1]", "0123"), "3 bytes follow"}),
    [](const auto& info) { return info.param.name; });

// Time grows with the number of tensors and not with its square: twenty times as many take about
// twenty times as long, where a quadratic reader takes four hundred.
TEST(Safetensors, IsLinearInTheNumberOfTensors) {
  const auto seconds = [](int count) {
    std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
    for (int i = 0; i < count; ++i)
      header += ",\"layer." + std::to_string(i) +
                ".weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
    const std::string bytes = safetensors_bytes(header + "}", "");
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(parse(bytes).size(), count);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double few = std::max(seconds(5'000), 1e-3);
  EXPECT_LT(seconds(100'000), 120 * few);
}

// Cutting a sound file at any byte is noticed.
TEST(Safetensors, NoticesEveryTruncation) {
  const std::string whole = safetensors_bytes(kTwo, "01234567");
  ASSERT_NO_THROW(parse(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(parse(whole.substr(0, size)), Error) << size;
  }
}

// Names of a file cannot write to the terminal through an error.
TEST(Safetensors, EscapesNamesInErrors) {
  const std::string message = error_of(safetensors_bytes("{\"\\u001b[31m\":7}", ""));
  EXPECT_EQ(message.find('\x1b'), std::string::npos) << message;
}

}  // namespace
}  // namespace bestreel
