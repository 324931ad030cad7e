# bestreel_register(NAME LIBRARY): LIBRARY holds `void bestreel::register_NAME(Registry&)`, see
# plugin/registration.h. The order of the calls is that of the help.
function(bestreel_register name library)
  set_property(GLOBAL APPEND PROPERTY BESTREEL_REGISTERED ${name})
  set_property(GLOBAL APPEND PROPERTY BESTREEL_REGISTERED_LIBRARIES ${library})
endfunction()

# bestreel_registrations(TARGET): all of them in one source file of TARGET, and their libraries.
function(bestreel_registrations target)
  get_property(names GLOBAL PROPERTY BESTREEL_REGISTERED)
  get_property(libraries GLOBAL PROPERTY BESTREEL_REGISTERED_LIBRARIES)
  list(REMOVE_DUPLICATES libraries)
  set(declarations "")
  set(calls "")
  foreach(name ${names})
    string(APPEND declarations "void register_${name}(Registry& registry);\n")
    string(APPEND calls "  register_${name}(all);\n")
  endforeach()
  set(file ${PROJECT_BINARY_DIR}/generated/${target}/registrations.cpp)
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT "// Made by CMake from the bestreel_register() lines.
#include \"plugin/registration.h\"

namespace bestreel {
${declarations}
namespace app {
namespace {

Registry registered() {
  Registry all;
${calls}  return all;
}

}  // namespace

const Registry& registry() {
  static const Registry all = registered();
  return all;
}

}  // namespace app
}  // namespace bestreel
")
  target_sources(${target} PRIVATE ${file})
  target_link_libraries(${target} PUBLIC ${libraries})
endfunction()
