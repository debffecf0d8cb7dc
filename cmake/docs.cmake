# The target `docs`: the public headers as pages, where doxygen is installed. A warning of doxygen's is an error.
find_program(DOXYGEN_PROGRAM doxygen)
if(DOXYGEN_PROGRAM)
  add_custom_target(docs
    COMMAND ${CMAKE_COMMAND} -E env DOXYGEN_OUTPUT=${PROJECT_BINARY_DIR}/doxygen ${DOXYGEN_PROGRAM} docs/doxygen/Doxyfile
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} COMMENT "build/*/doxygen/html/index.html" VERBATIM)
endif()
