# The gRPC server of the interop tests: grpc.testing.TestService on net/, its messages generated from Debian's grpc-proto for it alone.
function(grid_interop_server)
    if(NOT BUILD_TESTING OR GRID_FUZZ OR NOT EXISTS ${GRPC_PROTO_DIR}/grpc/testing/messages.proto)
        return()
    endif()
    set(out ${CMAKE_BINARY_DIR}/interop)
    file(MAKE_DIRECTORY ${out}/bytes)
    set(protos grpc/testing/empty.proto grpc/testing/messages.proto)
    foreach(proto ${protos})
        string(REGEX REPLACE "\\.proto$" "" stem ${proto})
        list(APPEND copies ${out}/bytes/${proto})
        list(APPEND sources ${out}/${stem}.pb-c.c)
        add_custom_command(OUTPUT ${out}/bytes/${proto}
            COMMAND ${CMAKE_COMMAND} -DINPUT=${GRPC_PROTO_DIR}/${proto} -DOUTPUT=${out}/bytes/${proto} -P ${CMAKE_SOURCE_DIR}/cmake/BytesProto.cmake
            DEPENDS ${GRPC_PROTO_DIR}/${proto} ${CMAKE_SOURCE_DIR}/cmake/BytesProto.cmake VERBATIM)
    endforeach()
    add_custom_command(OUTPUT ${sources}
        COMMAND ${PROTOC_C} -I ${out}/bytes --c_out=${out} ${protos}
        DEPENDS ${copies} VERBATIM)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-w")
    add_executable(grpc_interop_server ${CMAKE_SOURCE_DIR}/tests/interop/grpc_interop_server.c ${sources})
    target_include_directories(grpc_interop_server PRIVATE ${CMAKE_SOURCE_DIR})
    target_include_directories(grpc_interop_server SYSTEM PRIVATE ${out})
    target_link_libraries(grpc_interop_server PRIVATE grid_net PkgConfig::libprotobuf-c grid_warnings)
endfunction()

# What base/toml.h reads, as JSON: tests/e2e/test_gridfile.py compares it with another reader.
function(grid_toml_dump)
    if(NOT BUILD_TESTING OR GRID_FUZZ)
        return()
    endif()
    add_executable(toml_dump ${CMAKE_SOURCE_DIR}/tests/e2e/toml_dump.c)
    target_include_directories(toml_dump PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(toml_dump PRIVATE grid_base grid_warnings)
endfunction()
