#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {

const Profile& videoscore2_profile() {
  static const Profile profile{
      .name = "videoscore2",
      .dimensions = {{"visual_quality", "visual quality"},
                     {"text_alignment", "text-to-video alignment"},
                     {"physical_consistency", "physical/common-sense consistency"}},
      .think_end = "</think>",
      .forced_prefix = {"\n\n(1) visual quality: ", "\n(2) text-to-video alignment: ",
                        "\n(3) physical/common-sense consistency: "},
      .fps = 2.0,
  };
  return profile;
}

}  // namespace bestreel::videoscore2
