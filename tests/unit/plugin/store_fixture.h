// A folder for runs that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>

#include "core/base/error.h"
#include "plugin/runs/run_store.h"

namespace bestreel::testing {

class StoreFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "bestreel-store-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    run_ = (folder_ / "run").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string code_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("run"), std::string::npos);
      return error.code();
    }
    return "";
  }

  /// The exit status of `work` in a process of its own; 100 if it throws.
  static int in_child(const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) {
      int status = 100;
      try {
        status = work();
      } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
      }
      _exit(status);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
  }

  static Event event(const std::string& kind, const std::string& candidate = "") {
    return {.wave = 1, .step = 2, .candidate = candidate, .kind = kind, .body = "{\"a\":1}"};
  }

  std::filesystem::path folder_;
  std::string run_;
};

}  // namespace bestreel::testing
