// Two hosts on one wire, each with any number of workers, in one thread and in virtual time.
#pragma once

#include "tests/harness/router.hpp"

#include <pantala/sockets.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pantala::test {

struct two_hosts {
    explicit two_hosts(unsigned workers = 1, const stack_settings& settings = {})
        : left(pool, {.workers = workers, .seed = 1, .stack = settings}),
          right(pool, {.workers = workers, .seed = 100, .stack = settings}) {
        left.add_address6(left.add_iface(0, {"10.0.0.1/24"}), "2001:db8::1/64");
        right.add_address6(right.add_iface(1, {"10.0.0.2/24"}), "2001:db8::2/64");
        carry();
    }
    ~two_hosts() {
        arrives = nullptr;                        // what it looks at went before us
        advance(200 * ns_per_s, 100 * ns_per_ms); // TIME-WAIT and what else is left
    }

    // Frames go to and fro until both rest. Frame n arrives on the queue of worker n modulo their
    // number: mostly not the owner of its flow.
    void carry() {
        for (unsigned i = 0; i < 10'000; ++i) {
            if (!step()) {
                return;
            }
        }
        ADD_FAILURE() << "the hosts never come to rest";
    }
    // One round of each, and what they sent to the other. False: nothing.
    bool step() {
        left.run();
        right.run();
        const bool to_right = move(left, 0, right, 1);
        const bool to_left = move(right, 1, left, 0);
        return to_right || to_left;
    }
    void advance(std::uint64_t ns, std::uint64_t step = ns_per_ms) {
        for (std::uint64_t gone = 0; gone < ns; gone += step) {
            left.advance(step);
            right.advance(step);
            carry();
        }
    }
    // For applications that never rest: a round each in `tick`, until it is enough.
    template <class Enough>
    void play(std::uint64_t ns, std::uint64_t tick, const Enough& enough) {
        for (std::uint64_t gone = 0; gone < ns && !enough(); gone += tick) {
            left.advance(tick);
            right.advance(tick);
            step();
        }
    }
    net_host& at_left(unsigned worker = 0) { return left.worker_stack(worker).host(); }
    net_host& at_right(unsigned worker = 0) { return right.worker_stack(worker).host(); }

    // Which frames arrive: nullptr: all. For losing some.
    std::function<bool(const bytes& frame)> arrives;

    mbuf_pool pool{16'383};
    router left;
    router right;

  private:
    bool move(router& from, unsigned out, router& to, unsigned in) {
        const auto sent = from.sent(out);
        for (const bytes& frame : sent) {
            if (!arrives || arrives(frame)) {
                to.receive(in, frame, count_++ % to.workers());
            }
        }
        return !sent.empty();
    }
    unsigned count_ = 0;
};

// A connection that keeps all it reads, or sends it back.
struct test_conn : tcp_socket {
    explicit test_conn(bool echoes = false) : tcp_socket(on_event), echo(echoes) {}

    static void on_event(tcp_socket& socket, std::uint8_t events) {
        auto& self = static_cast<test_conn&>(socket);
        self.seen |= events;
        self.read();
        self.write_more();
        if (self.echo && self.at_end()) {
            self.shutdown_write();
        }
    }
    void read() {
        for (auto piece = peek(); !piece.empty(); piece = peek()) {
            const std::size_t here = echo ? write(piece) : piece.size();
            if (here == 0) {
                return;
            }
            received.append(reinterpret_cast<const char*>(piece.data()), echo ? 0 : here);
            read_bytes += here;
            consume(here);
        }
    }
    void send(const std::string& text) {
        to_send += text;
        write_more();
    }
    void write_more() {
        const std::size_t sent = write(std::as_bytes(std::span(to_send)));
        to_send.erase(0, sent);
    }

    bool echo;
    std::uint8_t seen = 0;
    std::uint64_t read_bytes = 0;
    std::string received;
    std::string to_send;
};

// Accepts on every worker of a host.
struct test_server {
    test_server(router& host, std::uint16_t port, bool echoes) : echo(echoes) {
        for (unsigned w = 0; w < host.workers(); ++w) {
            EXPECT_EQ(
                0, host.worker_stack(w).host().native().listen(
                       *parse_endpoint("*:" + std::to_string(port)), 128, {make, this}));
        }
    }
    static tcp_socket* make(void* self, sockets& here) {
        auto& server = *static_cast<test_server*>(self);
        server.by_worker.resize(here.workers());
        ++server.by_worker[here.worker()];
        if (server.refuse) {
            return nullptr;
        }
        server.conns.push_back(std::make_unique<test_conn>(server.echo));
        return server.conns.back().get();
    }

    bool echo;
    bool refuse = false;
    std::vector<unsigned> by_worker;
    std::vector<std::unique_ptr<test_conn>> conns;
};

inline std::string text_of(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; text.size() < count; ++i) {
        text += std::to_string(i) + ' ';
    }
    text.resize(count);
    return text;
}

} // namespace pantala::test
