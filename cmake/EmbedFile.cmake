# bestreel_embed(TARGET FILE NAME): makes the text of FILE available to TARGET as
# `extern const std::string_view NAME` in namespace bestreel::embedded. Rebuilt when FILE changes.
#
# Raw string literals: readable in the build folder, and no compiler of ours limits their length.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${INPUT}" text)
  # Written in pieces: a substitution could rewrite an @...@ or ${...} of the text.
  file(WRITE "${OUTPUT}" "#include <string_view>\n\nnamespace bestreel::embedded {\n"
    "extern const std::string_view ${NAME};\nconst std::string_view ${NAME} = R\"embedded(")
  file(APPEND "${OUTPUT}" "${text}")
  file(APPEND "${OUTPUT}" ")embedded\";\n}  // namespace bestreel::embedded\n")
  return()
endif()

set(BESTREEL_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE} CACHE INTERNAL "")

function(bestreel_embed target file name)
  set(input ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DNAME=${name}
            -P ${BESTREEL_EMBED_SCRIPT}
    DEPENDS ${input} ${BESTREEL_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
