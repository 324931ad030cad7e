// The videos of the page: links, copies, data: URIs, and files that are gone.
#include "core/media/video.h"
#include "report_fixture.h"

namespace bestreel {
namespace {

/// Uncompressed frames in a container that no browser plays.
std::string y4m(int frames, int fps) {
  std::string bytes = "YUV4MPEG2 W32 H16 F" + std::to_string(fps) + ":1 Ip A1:1 C420jpeg\n";
  for (int i = 0; i < frames; ++i) {
    bytes += "FRAME\n" + std::string(32 * 16, static_cast<char>(16 + i * 3)) +
             std::string(2 * 16 * 8, static_cast<char>(128));
  }
  return bytes;
}

class VideoTest : public ReportTest {
 protected:
  Candidate& add_y4m(const std::string& id, int frames, int fps) {
    Candidate& candidate = add(id, judgement({{"motion", 4}}));
    candidate.path = file("videos/" + id, y4m(frames, fps));
    candidate.sha256 = sha256_file(candidate.path);
    candidate.video = open_video(candidate.path)->info();
    return candidate;
  }

  std::string only_src(const std::string& html) {
    const std::vector<std::string> values = attributes(html, "src");
    EXPECT_EQ(values.size(), 1u);
    return values.empty() ? std::string() : values[0];
  }
};

/// Links are relative to the page and survive every byte that a name may hold.
TEST_F(VideoTest, LinksAreRelativeAndEncoded) {
  add("odd", judgement({{"motion", 4}})).path = file("videos/a b#c?d%e&f\"g'h:i\xC3\xA9\xFF+.mp4");
  EXPECT_EQ(only_src(page()),
            "../videos/a%20b%23c%3Fd%25e%26f%22g%27h%3Ai%C3%A9%FF%2B.mp4#t=0.001");
}

/// Folders behind symbolic links are resolved as the file system does, the file keeps its name.
TEST_F(VideoTest, LinksThroughSymbolicLinks) {
  file("deep/er/videos/a.mp4");
  std::filesystem::create_directories(root_ / "real/place/out");
  std::filesystem::create_directory_symlink(root_ / "real/place/out", root_ / "out");
  std::filesystem::create_directory_symlink(root_ / "deep/er/videos", root_ / "videos");
  add("a.mp4", judgement({{"motion", 4}}));
  EXPECT_EQ(only_src(page()), "../../../deep/er/videos/a.mp4#t=0.001");
}

/// What browsers play is decided by container, codec, pixel format and, for WebM, the name.
TEST_F(VideoTest, KnowsWhatBrowsersPlay) {
  struct Case {
    const char *name, *container, *codec, *pixels;
    bool plays;
  };
  const std::string mp4 = "mov,mp4,m4a,3gp,3g2,mj2", webm = "matroska,webm";
  const std::vector<Case> cases{
      {"a.mp4", mp4.c_str(), "h264", "yuv420p", true},
      {"a.mov", mp4.c_str(), "h264", "yuvj420p", true},
      {"a.mp4", mp4.c_str(), "h264", "yuv420p10le", false},
      {"a.mp4", mp4.c_str(), "h264", "yuv444p", false},
      {"a.mp4", mp4.c_str(), "hevc", "yuv420p", false},
      {"a.mov", mp4.c_str(), "prores", "yuv422p10le", false},
      {"a.webm", webm.c_str(), "vp9", "yuv420p", true},
      {"a.WEBM", webm.c_str(), "vp8", "yuva420p", true},
      {"a.webm", webm.c_str(), "av1", "yuv420p", true},
      {"a.mkv", webm.c_str(), "vp9", "yuv420p", false},
      {"a.mkv", webm.c_str(), "h264", "yuv420p", false},
      {"a.avi", "avi", "h264", "yuv420p", false},
      {"a.gif", "gif", "gif", "bgra", false},
  };
  for (const Case& each : cases) {
    view_.candidates.clear();
    Candidate& candidate = add(each.name, judgement({{"motion", 4}}));
    candidate.path = file(std::string("videos/") + each.name);
    candidate.video.container = each.container;
    candidate.video.codec = each.codec;
    candidate.video.pixel_format = each.pixels;
    // No file here is a video, so what needs a copy cannot have one, and says so.
    const std::string html = page();
    EXPECT_EQ(!attributes(html, "src").empty(), each.plays) << each.name << ' ' << each.codec;
    EXPECT_EQ(html.find("This video cannot be shown") == std::string::npos, each.plays);
  }
}

/// Other videos get an H.264 copy, the page says so and links to what was judged.
TEST_F(VideoTest, CopiesWhatBrowsersDoNotPlay) {
  add_y4m("odd name.y4m", 8, 4);
  const std::string html = page();
  const std::string src = only_src(html);
  ASSERT_EQ(src.rfind("report_files/odd_name.y4m-", 0), 0u) << src;
  const std::string copy = out() + "/" + src.substr(0, src.find('#'));
  const VideoInfo info = open_video(copy)->info();
  EXPECT_EQ(info.codec, "h264");
  EXPECT_EQ(info.pixel_format, "yuv420p");
  EXPECT_EQ(info.frame_count, 8);
  EXPECT_NE(text_of(html).find("this is an H.264 copy. The judge saw the original file."),
            std::string::npos);
  EXPECT_EQ(count_of(html, "href=\"../videos/odd%20name.y4m\""), 1u);
}

/// A copy that is there is used again: the report of a long run is written many times.
TEST_F(VideoTest, CopiesOnce) {
  add_y4m("a.y4m", 4, 4);
  const std::string src = only_src(page());
  const std::string copy = out() + "/" + src.substr(0, src.find('#'));
  std::ofstream(copy, std::ios::binary) << "kept";
  EXPECT_EQ(only_src(page()), src);
  EXPECT_EQ(read_file(copy), "kept");
  std::ofstream(copy, std::ios::binary | std::ios::trunc);  // an empty file is no copy
  page();
  EXPECT_EQ(open_video(copy)->info().frame_count, 4);
}

/// A long video is copied for its first minute only, which the page says.
TEST_F(VideoTest, CopiesOneMinute) {
  add_y4m("long.y4m", 70, 1);
  const std::string html = page(), src = only_src(html);
  const VideoInfo info = open_video(out() + "/" + src.substr(0, src.find('#')))->info();
  EXPECT_EQ(info.frame_count, 60);
  EXPECT_NE(html.find("an H.264 copy of its first 60 seconds"), std::string::npos);
}

/// A single file holds its videos, links to no file and leaves nothing beside it.
TEST_F(VideoTest, SingleFile) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  add("a.mp4", judgement({{"motion", 4}})).path = file("videos/a.mp4", bytes);
  add_y4m("b.y4m", 4, 4);
  const std::string html = page({.single_file = true});
  const std::vector<std::string> sources = attributes(html, "src");
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_EQ(
      sources[0].rfind("data:video/mp4;base64,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", 0),
      0u);
  EXPECT_TRUE(sources[0].ends_with("+fr7/P3+/w==")) << sources[0];
  EXPECT_EQ(sources[1].rfind("data:video/mp4;base64,", 0), 0u);
  for (const std::string& link : attributes(html, "href")) {
    EXPECT_TRUE(link[0] == '#' || link == "data:,") << link;
  }
  EXPECT_FALSE(std::filesystem::exists(out() + "/report_files"));
}

/// A single file leaves the copies alone that the page with links uses.
TEST_F(VideoTest, SingleFileKeepsCopiesThatWereThere) {
  add_y4m("b.y4m", 4, 4);
  const std::string src = only_src(page());
  page({.single_file = true});
  EXPECT_TRUE(std::filesystem::exists(out() + "/" + src.substr(0, src.find('#'))));
}

/// A file that has gone is said to be gone; its scores stay.
TEST_F(VideoTest, MissingFile) {
  add("a.mp4", judgement({{"motion", 4}}));
  for (const bool single : {false, true}) {
    const std::string card = between(page({.single_file = single}), "id=\"v1\"", "</article>");
    EXPECT_NE(card.find("The file is no longer at " + view_.candidates[0].path), std::string::npos);
    EXPECT_EQ(card.find("<video"), std::string::npos);
    EXPECT_NE(card.find("motion"), std::string::npos);
  }
}

}  // namespace
}  // namespace bestreel
