# What `cmake --install` puts in place. The man page comes from the program itself, so it is never out of date.
install(TARGETS quadloom RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES inputs/defaults.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/quadloom)
install(DIRECTORY slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/quadloom USE_SOURCE_PERMISSIONS) # they find ../../../bin/quadloom
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
if(NOT CMAKE_CROSSCOMPILING)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/quadloom.1
        COMMAND quadloom help --man > ${CMAKE_BINARY_DIR}/quadloom.1
        DEPENDS quadloom VERBATIM COMMENT "Writing the man page")
    add_custom_target(man ALL DEPENDS ${CMAKE_BINARY_DIR}/quadloom.1)
    install(FILES ${CMAKE_BINARY_DIR}/quadloom.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
