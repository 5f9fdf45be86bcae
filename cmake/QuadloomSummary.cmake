# What was configured, at the end where people see it.
message(STATUS "quadloom ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
message(STATUS "  MPI       ${QL_HAVE_MPI} ${MPI_C_VERSION}")
message(STATUS "  CUDA      ${QL_HAVE_CUDA}")
message(STATUS "  libxsmm   ${QL_HAVE_XSMM}")
message(STATUS "  HDF5      ${HDF5_VERSION} (parallel: ${HDF5_IS_PARALLEL})")
message(STATUS "  sanitizer ${QL_SANITIZE}")
message(STATUS "  tests     ${QL_TESTS}")
