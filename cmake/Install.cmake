# cmake --install BUILD --prefix P: programs, client library and header, runtimes.
install(TARGETS gridd grid RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS grid-task-exec RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gridcontrol)
install(TARGETS gridcontrol LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_BINARY_DIR}/gridcontrol.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY runtimes/ DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gridcontrol/runtimes USE_SOURCE_PERMISSIONS
    PATTERN "__pycache__" EXCLUDE PATTERN "test*" EXCLUDE)
install(DIRECTORY client/gridcontrol DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES docs/man/grid.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/gridd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
