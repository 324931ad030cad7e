#include "core/base/error.h"

#include <gtest/gtest.h>

#include "core/base/fail.h"

namespace bestreel {
namespace {

// An error reads `[op] sentence` and keeps its parts for programs.
TEST(Error, IsASentenceWithACode) {
  try {
    fail("video_corrupt", "video", "{} holds no frame: {}", "a.mp4", "record it again");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[video] a.mp4 holds no frame: record it again");
    EXPECT_EQ(error.code(), "video_corrupt");
    EXPECT_EQ(error.op(), "video");
    EXPECT_EQ(error.sentence(), "a.mp4 holds no frame: record it again");
  }
}

// A usage error is told apart by its type, and is an Error all the same.
TEST(Error, UsageIsAnError) {
  EXPECT_THROW(fail_usage("score", "prompt must not be empty"), UsageError);
  EXPECT_THROW(fail_usage("score", "prompt must not be empty"), Error);
  EXPECT_EQ(Cancelled("rank").code(), "cancelled");
}

}  // namespace
}  // namespace bestreel
