/* grpc.reflection.v1 and v1alpha: the same messages under two names, so one implementation over the v1 types. */
#include <stdlib.h>

#include "api/descriptor.h"
#include "api/pb.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "server/ingress/ingress_internal.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

static void send_response(struct grpc_call *call, const reflection_request *request, reflection_response *response)
{
    struct buf packed;
    buf_init(&packed, 0);
    response->valid_host = request->host;
    response->original_request = (reflection_request *) (uintptr_t) request;
    if (pb_append(&packed, &response->base) == 0)
        grpc_call_send(call, buf_slice(&packed));
    buf_dispose(&packed);
}

static void send_error(struct grpc_call *call, const reflection_request *request, int code, const char *message)
{
    reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.error_code = code;
    error.error_message = pb_str(message);
    response.message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response.error_response = &error;
    send_response(call, request, &response);
}

static void send_file(struct grpc_call *call, const reflection_request *request, struct slice file)
{
    reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__FileDescriptorResponse files = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    struct slice closure[DESCRIPTOR_FILES_MAX];
    ProtobufCBinaryData list[DESCRIPTOR_FILES_MAX];
    if (file.size == 0) {
        send_error(call, request, GRPC_NOT_FOUND, "not declared by any proto of this server");
        return;
    }
    files.n_file_descriptor_proto = descriptor_closure(file, closure);
    for (size_t i = 0; i < files.n_file_descriptor_proto; i++)
        list[i] = pb_bytes(closure[i]);
    files.file_descriptor_proto = list;
    response.message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response.file_descriptor_response = &files;
    send_response(call, request, &response);
}

static void send_services(struct grpc_call *call, const struct ingress *i, struct arena *a, const reflection_request *request)
{
    reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ListServiceResponse list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    size_t count = grpc_server_service_count(i->api_grpc);
    list.service = arena_calloc(a, count, sizeof *list.service);
    for (size_t n = 0; list.service && n < count; n++) {
        Grpc__Reflection__V1__ServiceResponse *service = arena_alloc(a, sizeof *service);
        if (!service)
            break;
        grpc__reflection__v1__service_response__init(service);
        service->name = pb_str(grpc_server_service(i->api_grpc, n)->name);
        list.service[list.n_service++] = service;
    }
    response.message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    response.list_services_response = &list;
    send_response(call, request, &response);
}

static void answer(struct ingress *i, struct grpc_call *call, struct arena *a, const reflection_request *request)
{
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        send_file(call, request, descriptor_file(pb_slice(request->file_by_filename)));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        send_file(call, request, descriptor_file_of_symbol(pb_slice(request->file_containing_symbol)));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(call, i, a, request);
        break;
    default:
        send_error(call, request, GRPC_NOT_FOUND, "these protos declare no extensions");
    }
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct ingress *i = ctx;
    struct arena *a = arena_create(1024, 256 * 1024);
    const reflection_request *request =
        a ? pb_unpack(&grpc__reflection__v1__server_reflection_request__descriptor, a, message) : NULL;
    if (request)
        answer(i, call, a, request);
    else
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the message is not a ServerReflectionRequest");
    arena_destroy(a);
}

static void on_half_close(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    (void) ctx;
    (void) call;
    (void) err;
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};

static void on_call(void *ctx, struct grpc_call *call)
{
    grpc_call_bind(call, &CALL_EVENTS, ctx);
}

static const struct grpc_method METHODS_V1[] = {
    {.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
     .client_streams = true,
     .server_streams = true,
     .on_call = on_call,
     .max_message = 65536},
};
static const struct grpc_method METHODS_V1ALPHA[] = {
    {.path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     .client_streams = true,
     .server_streams = true,
     .on_call = on_call,
     .max_message = 65536},
};

const struct grpc_service RPC_REFLECTION_V1 = {
    .name = "grpc.reflection.v1.ServerReflection", .methods = METHODS_V1, .method_count = 1};
const struct grpc_service RPC_REFLECTION_V1ALPHA = {
    .name = "grpc.reflection.v1alpha.ServerReflection", .methods = METHODS_V1ALPHA, .method_count = 1};
