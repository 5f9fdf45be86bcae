# Target `bundle`: BUILD/bundle, a folder that runs where nothing is installed: bin/quadloom and lib/ with every shared
# library but those of glibc and of the NVIDIA driver. cuBLAS is taken along with -DQL_BUNDLE_CUBLAS=ON (600 MB); without it
# the machine's own is used.
option(QL_BUNDLE_CUBLAS "Put cuBLASLt into the bundle" OFF)
set(QL_BUNDLE_DIR ${CMAKE_BINARY_DIR}/bundle)

# DT_RPATH, not DT_RUNPATH: it also serves the libraries' own libraries.
function(ql_bundle_program name)
    add_executable(${name}_bundled EXCLUDE_FROM_ALL ${ARGN})
    set_target_properties(${name}_bundled PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${QL_BUNDLE_DIR}/bin
        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/../lib")
    target_link_options(${name}_bundled PRIVATE -Wl,--disable-new-dtags)
    set_property(GLOBAL APPEND PROPERTY QL_BUNDLED ${name}_bundled)
endfunction()

function(ql_bundle_finish)
    get_property(programs GLOBAL PROPERTY QL_BUNDLED)
    foreach(program ${programs})
        list(APPEND files $<TARGET_FILE:${program}>)
    endforeach()
    list(JOIN files "|" files)
    set(cublas "")
    if(QL_BUNDLE_CUBLAS AND QL_HAVE_CUDA)
        set(cublas ${CUDA_cublasLt_LIBRARY})
    endif()
    foreach(library ${HDF5_C_LIBRARIES} ${MPI_C_LIBRARIES} ${openblas_LINK_LIBRARIES}) # found by their programs' own paths
        if(IS_ABSOLUTE ${library})
            get_filename_component(folder ${library} REALPATH)
            get_filename_component(folder ${folder} DIRECTORY)
            list(APPEND search ${folder})
        endif()
    endforeach()
    list(REMOVE_DUPLICATES search)
    list(JOIN search "|" search)
    add_custom_target(bundle
        COMMAND ${CMAKE_COMMAND} -DPROGRAMS=${files} -DBUNDLE=${QL_BUNDLE_DIR} -DCUBLAS=${cublas} -DSEARCH=${search}
            -P ${PROJECT_SOURCE_DIR}/cmake/bundle_libraries.cmake
        DEPENDS ${programs} VERBATIM COMMENT "Collecting shared libraries in ${QL_BUNDLE_DIR}")
endfunction()
