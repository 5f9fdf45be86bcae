# Generated files: quadloom_config.h (switches), build_info.c (texts for the provenance), quadloom_git.h (git id, at every build).
set(generated ${CMAKE_BINARY_DIR}/generated)
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(STRIP "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}}" QL_FLAGS_TEXT)
configure_file(cmake/quadloom_config.h.in ${generated}/quadloom_config.h @ONLY)
configure_file(cmake/build_info.c.in ${generated}/build_info.c @ONLY)
add_custom_target(quadloom_git ALL
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DHEADER=${generated}/quadloom_git.h
            -P ${CMAKE_SOURCE_DIR}/cmake/QuadloomGit.cmake
    BYPRODUCTS ${generated}/quadloom_git.h
    COMMENT "Looking up the git id")
add_dependencies(quadloom_core quadloom_git)
target_sources(quadloom_core PRIVATE ${generated}/build_info.c)
