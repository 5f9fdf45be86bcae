# Switches of a build and the flags that every target shares.
set(QL_MPI AUTO CACHE STRING "MPI between ranks: ON (required), OFF, AUTO (when found)")
set(QL_CUDA AUTO CACHE STRING "Engine cuda: ON (required), OFF, AUTO (when found)")
set(QL_XSMM AUTO CACHE STRING "libxsmm as an opponent in bench gemm: ON (required), OFF, AUTO (when found)")
option(QL_TESTS "Build the tests and `quadloom golden`" ON)
set(QL_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
foreach(switch QL_MPI QL_CUDA QL_XSMM)
    set_property(CACHE ${switch} PROPERTY STRINGS ON OFF AUTO)
    if(NOT ${switch} MATCHES "^(ON|OFF|AUTO)$")
        message(FATAL_ERROR "${switch}=${${switch}}: expected ON, OFF or AUTO")
    endif()
endforeach()
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(quadloom_flags INTERFACE)
target_compile_features(quadloom_flags INTERFACE c_std_11)
target_compile_definitions(quadloom_flags INTERFACE _GNU_SOURCE)
target_compile_options(quadloom_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wconversion -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-math-errno>)
if(QL_SANITIZE)
    target_compile_options(quadloom_flags INTERFACE -fsanitize=${QL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(quadloom_flags INTERFACE -fsanitize=${QL_SANITIZE})
    if(CMAKE_C_COMPILER_ID STREQUAL GNU) # its analysis of instrumented code warns of paths that are not there
        target_compile_options(quadloom_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized
            -Wno-stringop-overflow)
    endif()
endif()
