// An echo server as anybody would write it: blocking sockets, a thread a connection. Try it as
// echo_server.cpp says, on port 7.
#include <pantala/bsd.hpp>
#include <pantala/program.hpp>

#include <cstdio>
#include <thread>

#include <netinet/in.h>

using namespace pantala;

static void echo(int peer) {
    char room[16'384];
    ssize_t got = 0;
    while ((got = bsd::recv(peer, room, sizeof room, 0)) > 0) {
        if (bsd::send(peer, room, static_cast<std::size_t>(got), 0) != got) {
            break;
        }
    }
    bsd::close(peer);
}

static void serve() {
    const int listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = __builtin_bswap16(7);
    if (bsd::bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 ||
        bsd::listen(listener, 128) != 0) {
        std::perror("listen");
        return;
    }
    for (;;) {
        const int peer = bsd::accept(listener, nullptr, nullptr);
        if (peer < 0) {
            return; // the host stops
        }
        std::thread(echo, peer).detach();
    }
}

int main(int argc, char** argv) {
    static std::thread server;
    const int status = run_host(argc, argv, [](sockets& here) {
        if (here.worker() + 1 == here.workers()) { // all others are there
            server = std::thread(serve);
        }
        return 0;
    });
    if (server.joinable()) {
        server.join();
    }
    return status;
}
