# cmake --install: the program, the libraries with their public headers, and a package for
# find_package(Bestreel): targets Bestreel::core, Bestreel::plugin, Bestreel::pixels, ...
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY BESTREEL_LIBRARIES)
# What the libraries link by name; found again by the package's config.
set(helpers bestreel_opencv)
if(BESTREEL_TORCH)
  list(APPEND helpers bestreel_torch)
  set_target_properties(bestreel_torch PROPERTIES EXPORT_NAME torch)
endif()
set_target_properties(bestreel_opencv PROPERTIES EXPORT_NAME opencv)
install(TARGETS ${libraries} ${helpers} EXPORT BestreelTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

# Public headers: those that export something or that such a header includes. fail.h needs fmt and
# *_detail.h are private.
foreach(room core/base core/media core/nn plugin plugin/runs plugin/strategies reward/pixels reward/videoscore2
        sampler sampler/schedulers sampler/wan)
  file(GLOB headers ${PROJECT_SOURCE_DIR}/${room}/*.h)
  foreach(header ${headers})
    file(STRINGS ${header} public REGEX "BESTREEL_API|Public header")
    if(public)
      install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bestreel/${room})
    endif()
  endforeach()
endforeach()

install(EXPORT BestreelTargets NAMESPACE Bestreel::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Bestreel)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/BestreelConfig.cmake.in
  ${PROJECT_BINARY_DIR}/BestreelConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Bestreel)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/BestreelConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/BestreelConfig.cmake
              ${PROJECT_BINARY_DIR}/BestreelConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Bestreel)
