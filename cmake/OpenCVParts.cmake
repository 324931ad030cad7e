# OpenCV's core, imgproc and video modules as Bestreel::opencv. Debian ships OpenCVConfig.cmake only
# in libopencv-dev, which pulls in GTK and 400 MB more; the three -dev packages are enough.
find_path(OPENCV_INCLUDE opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(bestreel_opencv INTERFACE)
add_library(Bestreel::opencv ALIAS bestreel_opencv)
target_include_directories(bestreel_opencv SYSTEM INTERFACE $<BUILD_INTERFACE:${OPENCV_INCLUDE}>)
foreach(module video imgproc core)
  find_library(OPENCV_${module} opencv_${module} REQUIRED)
  target_link_libraries(bestreel_opencv INTERFACE $<BUILD_INTERFACE:${OPENCV_${module}}>
                        $<INSTALL_INTERFACE:opencv_${module}>)
endforeach()
