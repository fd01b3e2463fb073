# grid_protobuf(FOLDER): generates protobuf-c code and one embedded descriptor set from FOLDER/proto/**.proto and from the
# standard health and reflection protos of Debian's grpc-proto, into the build tree.

find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)
find_path(GRPC_PROTO_DIR grpc/health/v1/health.proto PATHS /usr/share/grpc-proto REQUIRED)

function(grid_protobuf folder)
    set(out ${CMAKE_BINARY_DIR}/generated)
    set(dir ${CMAKE_SOURCE_DIR}/${folder}/proto)
    file(GLOB_RECURSE ours CONFIGURE_DEPENDS RELATIVE ${dir} ${dir}/*.proto)
    set(foreign grpc/health/v1/health.proto grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto)
    file(MAKE_DIRECTORY ${out})
    set(sources)
    set(all)
    foreach(proto ${ours} ${foreign})
        set(root ${dir})
        if(proto IN_LIST foreign)
            set(root ${GRPC_PROTO_DIR})
        endif()
        string(REGEX REPLACE "\\.proto$" "" stem ${proto})
        list(APPEND copies ${out}/bytes/${proto})
        add_custom_command(OUTPUT ${out}/bytes/${proto}
            COMMAND ${CMAKE_COMMAND} -DINPUT=${root}/${proto} -DOUTPUT=${out}/bytes/${proto} -P ${CMAKE_SOURCE_DIR}/cmake/BytesProto.cmake
            DEPENDS ${root}/${proto} ${CMAKE_SOURCE_DIR}/cmake/BytesProto.cmake VERBATIM)
        list(APPEND sources ${out}/${stem}.pb-c.c)
        list(APPEND headers ${out}/${stem}.pb-c.h)
        list(APPEND all ${root}/${proto})
    endforeach()
    set(protos ${ours} ${foreign})
    add_custom_command(OUTPUT ${sources} ${headers}
        COMMAND ${PROTOC_C} -I ${out}/bytes --c_out=${out} ${protos}
        DEPENDS ${copies} VERBATIM)
    add_custom_command(OUTPUT ${out}/descriptor_set.c
        COMMAND ${PROTOC} -I ${dir} -I ${GRPC_PROTO_DIR} --include_imports --include_source_info --descriptor_set_out=${out}/descriptor_set.bin ${all}
        COMMAND ${CMAKE_COMMAND} -DINPUT=${out}/descriptor_set.bin -DOUTPUT=${out}/descriptor_set.c -DSYMBOL=grid_descriptor_set
            -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
        DEPENDS ${all} ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake VERBATIM)
    set_property(GLOBAL PROPERTY GRID_GENERATED_grid_${folder} ${sources} ${out}/descriptor_set.c)
endfunction()
