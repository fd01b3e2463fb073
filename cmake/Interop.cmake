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

# A program that tests or benchmarks ask; where tests are not built, only when it is asked for by name.
function(grid_test_tool name source)
    if(GRID_FUZZ)
        return()
    endif()
    add_executable(${name} ${CMAKE_SOURCE_DIR}/${source})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE ${ARGN} grid_warnings)
    if(NOT BUILD_TESTING)
        set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
endfunction()
