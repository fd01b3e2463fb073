# libgridcontrol.so: the client library as C programs link it, and as `grid` loads it when a verb needs a node.
function(grid_client_shared)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/client/*.c)
    set_target_properties(grid_base grid_api PROPERTIES POSITION_INDEPENDENT_CODE ON)
    add_library(gridcontrol SHARED ${sources})
    target_include_directories(gridcontrol PRIVATE ${CMAKE_SOURCE_DIR} INTERFACE ${CMAKE_SOURCE_DIR}/client)
    target_link_libraries(gridcontrol PRIVATE grid_base grid_api PkgConfig::grpc_unsecure grid_warnings)
    target_link_options(gridcontrol PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/client/libgridcontrol.map -Wl,--exclude-libs,ALL -Wl,--as-needed)
    set_target_properties(gridcontrol PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${CMAKE_SOURCE_DIR}/client/libgridcontrol.map
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

    file(RELATIVE_PATH GRID_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
    configure_file(${CMAKE_SOURCE_DIR}/client/gridcontrol.pc.in ${CMAKE_BINARY_DIR}/gridcontrol.pc @ONLY)
endfunction()

# The sample project inside `grid`.
function(grid_embed_sample)
    file(GLOB_RECURSE sample CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/examples/sample ${CMAKE_SOURCE_DIR}/examples/sample/*)
    list(REMOVE_ITEM sample tasks/primes)
    list(FILTER sample EXCLUDE REGEX "(^|/)(node_modules|__pycache__)/")
    list(TRANSFORM sample PREPEND ${CMAKE_SOURCE_DIR}/examples/sample/ OUTPUT_VARIABLE sample_paths)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/sample_files.c
        COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR}/examples/sample "-DFILES=${sample}" -DOUTPUT=${CMAKE_BINARY_DIR}/generated/sample_files.c
            -P ${CMAKE_SOURCE_DIR}/cmake/EmbedTree.cmake
        DEPENDS ${sample_paths} ${CMAKE_SOURCE_DIR}/cmake/EmbedTree.cmake VERBATIM)
    set_property(GLOBAL PROPERTY GRID_GENERATED_grid_cli ${CMAKE_BINARY_DIR}/generated/sample_files.c)
endfunction()

# A program that loads libgridcontrol.so itself, from the folder beside its own.
function(grid_loads_client program)
    if(TARGET ${program})
        add_dependencies(${program} gridcontrol)
        # RPATH, not RUNPATH: a sanitizer calls dlopen from its own library, for which the program's RUNPATH does not count.
        target_link_options(${program} PRIVATE -Wl,--as-needed -Wl,--disable-new-dtags)
        set_target_properties(${program} PROPERTIES BUILD_RPATH "$ORIGIN/../lib" INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    endif()
endfunction()
