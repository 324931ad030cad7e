#include "plugin/noise.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"

namespace bestreel {
namespace {

// Lineage is text: what is written is read back, to the last bit of every number.
TEST(Noise, TextReadsBack) {
  const Noise noise =
      Noise::mix(Noise::neighbour(Noise::seed(std::numeric_limits<std::uint64_t>::max()), -0.1, 3),
                 1.0 / 3, 12);
  EXPECT_EQ(noise.text(),
            "mix(neighbour(seed(18446744073709551615),-0.1,3),0.3333333333333333,12)");
  EXPECT_EQ(Noise::parse(noise.text()), noise);
  EXPECT_EQ(std::get<Noise::Mix>(Noise::parse(noise.text()).form()).beta, 1.0 / 3);
  EXPECT_EQ(Noise::parse("seed(7)"), Noise::seed(7));
  EXPECT_FALSE(Noise::seed(7) == Noise::seed(8));
}

// Whatever is not an expression is refused, and nothing overflows the stack.
TEST(Noise, MalformedTextIsRefused) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "mix(";
  for (const std::string& text :
       {std::string(), std::string("seed"), std::string("seed()"), std::string("seed(-1)"),
        std::string("seed(1) "), std::string("seed(99999999999999999999)"),
        std::string("mix(seed(1),0.5)"), std::string("mix(seed(1),1.5,2)"),
        std::string("mix(seed(1),-0.5,2)"), std::string("neighbour(seed(1),nan,2)"),
        std::string("neighbour(seed(1),2,2)"), std::string("mix(seed(1),,2)"), deep}) {
    try {
      Noise::parse(text);
      FAIL() << text.substr(0, 40);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "noise_malformed") << text.substr(0, 40);
    }
  }
}

// Numbers outside their range are a usage error, and so is a lineage too deep to be read back.
TEST(Noise, RangesAreChecked) {
  EXPECT_THROW(Noise::neighbour(Noise::seed(1), 1.01, 0), UsageError);
  EXPECT_THROW(Noise::mix(Noise::seed(1), -0.01, 0), UsageError);
  Noise noise = Noise::seed(1);
  for (int i = 1; i < Noise::kMaxDepth; ++i) noise = Noise::mix(noise, 0.5, 1);
  EXPECT_EQ(Noise::parse(noise.text()), noise);
  EXPECT_THROW(Noise::mix(noise, 0.5, 1), UsageError);
}

}  // namespace
}  // namespace bestreel
