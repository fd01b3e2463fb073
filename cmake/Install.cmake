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
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN "*.md")
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
# The unit names programs and documents by the prefix, which is known when it is installed.
install(CODE "
    file(READ \"${CMAKE_SOURCE_DIR}/deploy/systemd/gridd.service\" unit)
    string(REPLACE /usr/local/ \"\${CMAKE_INSTALL_PREFIX}/\" unit \"\${unit}\")
    file(WRITE \"${CMAKE_BINARY_DIR}/gridd.service\" \"\${unit}\")
    file(INSTALL \"${CMAKE_BINARY_DIR}/gridd.service\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")")
