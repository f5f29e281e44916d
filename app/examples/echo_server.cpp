// An echo server. Try it: echo_server --port net_tap0 --addr 10.0.0.1/24@p0, and in Linux
// `ip addr add 10.0.0.2/24 dev dtap0` and `ncat 10.0.0.1 7`.
#include <pantala/program.hpp>
#include <pantala/stream.hpp>

using namespace pantala;

task echo(stream peer) {
    for (auto bytes = co_await peer.read(); !bytes.empty(); bytes = co_await peer.read()) {
        co_await peer.write(bytes);
    }
}

int main(int argc, char** argv) {
    return run_host(argc, argv, [](sockets& here) {
        return stream::listen(here, *parse_endpoint("[::]:7"), echo);
    });
}
