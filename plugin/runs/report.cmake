# The HTML report: its page is written in C++, its style and script are files that are built in.
include(EmbedFile)
target_sources(bestreel_plugin PRIVATE
          runs/report.cpp runs/report_cards.cpp runs/report_cascade.cpp runs/report_charts.cpp runs/report_trajectories.cpp
          runs/report_media.cpp
          runs/report_page.cpp runs/report_text.cpp runs/report_verdict.cpp
          runs/report_verdict_section.cpp)
target_compile_definitions(bestreel_plugin PRIVATE BESTREEL_VERSION="${PROJECT_VERSION}")
bestreel_embed(bestreel_plugin runs/report.css report_css)
bestreel_embed(bestreel_plugin runs/report.js report_js)
