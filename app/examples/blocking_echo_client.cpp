// Sends what it reads from its standard input to an echo server and prints what comes back:
// blocking_echo_client 10.0.0.1:7 --port ... --addr ... (as for `pantala run`), behind what the
// host says of itself.
#include <pantala/bsd.hpp>
#include <pantala/program.hpp>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include <netinet/in.h>
#include <unistd.h>

using namespace pantala;

static sockaddr_in server_address;

static bool send_input(int peer) {
    char room[16'384];
    ssize_t got = 0;
    while ((got = ::read(STDIN_FILENO, room, sizeof room)) > 0) {
        if (bsd::send(peer, room, static_cast<std::size_t>(got), 0) != got) {
            return false;
        }
    }
    return bsd::shutdown(peer, SHUT_WR) == 0;
}

static void talk() {
    const int peer = bsd::socket(AF_INET, SOCK_STREAM, 0);
    if (bsd::connect(peer, reinterpret_cast<sockaddr*>(&server_address), sizeof server_address) !=
        0) {
        std::perror("connect");
    } else {
        std::thread writer([peer] {
            if (!send_input(peer)) {
                std::perror("send");
            }
        });
        char room[16'384];
        ssize_t got = 0;
        while ((got = bsd::recv(peer, room, sizeof room, 0)) > 0) {
            std::fwrite(room, 1, static_cast<std::size_t>(got), stdout);
        }
        writer.join();
    }
    bsd::close(peer);
    std::raise(SIGTERM); // that is how the host ends
}

int main(int argc, char** argv) {
    const auto peer = argc > 1 ? parse_endpoint(argv[1]) : std::nullopt;
    if (!peer || !peer->is_ip4()) {
        std::fputs(
            "usage: blocking_echo_client ADDRESS:PORT [OPTION OF pantala run ...]\n", stderr);
        return 2;
    }
    server_address.sin_family = AF_INET;
    server_address.sin_port = __builtin_bswap16(peer->port);
    std::memcpy(&server_address.sin_addr, peer->address.data() + 12, 4);
    argv[1] = argv[0];
    static std::thread client;
    const int status = run_host(argc - 1, argv + 1, [](sockets& here) {
        if (here.worker() + 1 == here.workers()) { // all others are there
            client = std::thread(talk);
        }
        return 0;
    });
    if (client.joinable()) {
        client.join();
    }
    return status;
}
