// The device of a test that also runs elsewhere than on the fake accelerator.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/nn/device.h"
#include "tests/fake_accelerator/fake_accelerator.h"
#include "tests/test_device.h"

namespace bestreel {

inline std::string tested_name() { return test_device("fake"); }
inline at::Device tested() { return nn::parse_device(tested_name()); }

}  // namespace bestreel

#define NEEDS_COUNTERS() \
  if (!fake::registered()) GTEST_SKIP() << "the fake accelerator alone counts transfers"
