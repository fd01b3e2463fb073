# cmake --install BUILD --prefix P: programs, client library and header, runtimes.
install(TARGETS ${GRID_PROGRAMS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY runtimes/ DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gridcontrol/runtimes USE_SOURCE_PERMISSIONS
    PATTERN "__pycache__" EXCLUDE PATTERN "test*" EXCLUDE)
if(EXISTS ${CMAKE_SOURCE_DIR}/client/gridcontrol)
    install(DIRECTORY client/gridcontrol DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/docs/man)
    install(DIRECTORY docs/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
