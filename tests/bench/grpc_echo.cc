// The yardstick for gRPC: the reference C++ implementation's callback server, answering grid.v1.Invoke.Call with the request's payload.
#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "grid/v1/invoke.grpc.pb.h"

namespace {

class EchoService final : public grid::v1::Invoke::CallbackService {
    grpc::ServerUnaryReactor *Call(grpc::CallbackServerContext *context, const grid::v1::CallRequest *request, grid::v1::CallResponse *response) override
    {
        response->set_payload(request->payload());
        response->set_content_type(request->content_type());
        response->set_status(200);
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

}  // namespace

int main()
{
    EchoService service;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    auto server = builder.BuildAndStart();
    if (!server)
        return 1;
    std::printf("%d\n", port);
    std::fflush(stdout);
    server->Wait();
}
