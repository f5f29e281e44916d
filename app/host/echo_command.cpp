// `pantala echo`: sends back what it gets (RFC 862), over TCP and UDP.
#include "app/host/socket_pool.hpp"
#include "app/run/run_command.hpp"

#include <array>
#include <cstring>

#include <fmt/format.h>

namespace pantala::app {

namespace {

class echo_program : public worker_program {
  public:
    result<void> listen(sockets& here, const endpoint& local) {
        const acceptor by{accept, this};
        int code = here.listen(local, backlog, by);
        if (code == 0) {
            code = here.bind(datagrams_, local);
        }
        if (code != 0) {
            return error{
                code,
                fmt::format("cannot listen at {}: {}", to_string(local), std::strerror(code))};
        }
        return {};
    }

  private:
    static constexpr unsigned backlog = 1024;
    static constexpr std::size_t datagram_bytes_max = 65'535;

    struct conn : tcp_socket {
        explicit conn(echo_program& program) : tcp_socket(on_event), of(program) {}
        echo_program& of;
    };

    static tcp_socket* accept(void* self, sockets&) {
        auto& program = *static_cast<echo_program*>(self);
        return &program.conns_.take(program);
    }

    static void on_event(tcp_socket& socket, std::uint8_t events) {
        auto& self = static_cast<conn&>(socket);
        if ((events & socket_event::closed) != 0) {
            return end(self);
        }
        for (auto piece = self.peek(); !piece.empty(); piece = self.peek()) {
            const std::size_t sent = self.write(piece);
            self.consume(sent);
            if (sent < piece.size()) {
                return; // `writable` follows; meanwhile the peer's window closes
            }
        }
        if (self.at_end()) {
            end(self);
        }
    }

    static void end(conn& self) {
        self.close();
        self.of.conns_.give(self);
    }

    static void on_datagrams(udp_socket& socket, std::span<const datagram> came) {
        for (const datagram& one : came) {
            std::array<std::byte, datagram_bytes_max> room;
            const bool whole = one.first.size() == one.size;
            const auto bytes = whole ? one.first : std::span(room).first(one.copy(room));
            // Two such servers would keep each other busy for ever.
            if (one.remote.port == socket.local().port) {
                continue;
            }
            // What finds no room or no way back is lost, as datagrams are.
            static_cast<void>(socket.reply(one, bytes));
        }
    }

    socket_pool<conn> conns_;
    udp_socket datagrams_{on_datagrams};
};

} // namespace

void add_echo_command(cli_program program) {
    CLI::App* app = program.app.add_subcommand(
        "echo", "a router and host that sends back what comes to a port, TCP and UDP");
    auto options = add_run_options(program, app);
    auto listen = std::make_shared<std::string>("[::]:7");
    app->add_option("--listen", *listen, "ADDRESS:PORT, *:PORT or [ADDRESS]:PORT");
    app->callback([options, listen] {
        const auto local = parse_endpoint(*listen);
        if (!local) {
            options->status =
                report({EINVAL, fmt::format("--listen '{}': say ADDRESS:PORT", *listen)});
            return;
        }
        run_extras extras;
        extras.programs = [local =
                               *local](sockets& here) -> result<std::unique_ptr<worker_program>> {
            auto made = std::make_unique<echo_program>();
            if (auto done = made->listen(here, local); !done) {
                return done.failure();
            }
            return std::unique_ptr<worker_program>(std::move(made));
        };
        options->status = run_router(*options, extras);
    });
}

} // namespace pantala::app
