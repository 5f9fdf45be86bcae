# cmake -DPROGRAMS=a|b -DBUNDLE=folder -DSEARCH=folder|folder [-DCUBLAS=file] -P bundle_libraries.cmake: copies what the programs load into lib/.
string(REPLACE "|" ";" PROGRAMS "${PROGRAMS}")
string(REPLACE "|" ";" SEARCH "${SEARCH}")
file(REMOVE_RECURSE ${BUNDLE}/lib) # or the programs find their libraries there
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${PROGRAMS}
    RESOLVED_DEPENDENCIES_VAR found UNRESOLVED_DEPENDENCIES_VAR missing
    DIRECTORIES ${SEARCH}
    PRE_EXCLUDE_REGEXES "^(libc|libm|libdl|librt|libpthread|libresolv|libutil|ld-linux[^.]*|libcuda|libnvidia-ml)[.-]")
if(missing)
    message(FATAL_ERROR "bundle: not found: ${missing}")
endif()
file(INSTALL ${found} ${CUBLAS} DESTINATION ${BUNDLE}/lib FOLLOW_SYMLINK_CHAIN)
# A library's own search path would hide the program's.
file(GLOB libraries ${BUNDLE}/lib/*)
foreach(library ${libraries})
    if(NOT IS_SYMLINK ${library})
        file(RPATH_REMOVE FILE ${library})
    endif()
endforeach()
