# bestreel_library(NAME SOURCES ... PUBLIC libs PRIVATE libs): one room, or a part of one.
function(bestreel_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(bestreel_${name} ${ARG_SOURCES})
  add_library(Bestreel::${name} ALIAS bestreel_${name})
  set_target_properties(bestreel_${name} PROPERTIES
    EXPORT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  target_include_directories(bestreel_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/bestreel>)
  target_compile_features(bestreel_${name} PUBLIC cxx_std_20)
  target_compile_options(bestreel_${name} PRIVATE -Wall -Wextra -Wno-missing-field-initializers)
  target_link_libraries(bestreel_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  set_property(GLOBAL APPEND PROPERTY BESTREEL_LIBRARIES bestreel_${name})
endfunction()
