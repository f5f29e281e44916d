// A load on a TCP server from one worker: connections that ask, wait for the answer and ask again
// (closed loop), and are opened anew when they are done. Owner: its worker; `counts` may be read by
// any thread, and is complete when `finished` says so.
#pragma once

#include "app/gen/histogram.hpp"
#include "app/host/socket_pool.hpp"
#include "app/run/worker_program.hpp"
#include "engine/base/clock.hpp"
#include "engine/counters.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pantala::app {

inline constexpr unsigned load_pipeline_max = 64;

enum class load_kind : std::uint8_t {
    http, // the request is a web request, the answer is read as one
    echo, // what was sent comes back
};

struct load_settings {
    load_kind kind = load_kind::http;
    endpoint target;
    unsigned connections = 100;        // on this worker
    unsigned pipeline = 1;             // requests under way on a connection
    std::uint64_t requests_a_conn = 0; // then it is closed and another one opened; 0: for ever
    std::string request;               // of echo: the message
    std::string last_request;          // the same, asking the server to close
    std::uint64_t warmup_ns = ns_per_s;
    std::uint64_t duration_ns = 10 * ns_per_s;
};

// While measuring only.
struct tcp_load_counts {
    counter requests; // answered
    counter bytes;    // received
    counter opened;   // connections established
    counter failed;   // connections that ended otherwise than they should
    counter bad;      // answers that are none, or say that something is wrong
    histogram latency_ns;
    histogram connect_ns;
};

class tcp_load : public worker_program {
  public:
    tcp_load(load_settings settings, sockets& here);
    ~tcp_load() override;

    const tcp_load_counts& counts() const { return counts_; }
    // All that was to be measured is; acquire, with the worker's release.
    bool finished() const { return finished_.load(std::memory_order_acquire); }

  private:
    struct conn;
    enum class phase : std::uint8_t { starting, warming, measuring, done };

    static void on_event(tcp_socket& socket, std::uint8_t events);
    static void each_round(void* self, sockets& here);
    void step(sockets& here);
    void open_some(sockets& here, unsigned wanted);
    void ask(conn& self);
    void read_http(conn& self);
    void read_echo(conn& self);
    void answered(conn& self);
    void end(conn& self, bool well);
    bool measuring() const { return phase_ == phase::measuring; }

    sockets& here_;
    load_settings settings_;
    tsc_scale scale_;
    tcp_load_counts counts_;
    phase phase_ = phase::starting;
    std::uint64_t until_ns_ = 0; // end of the phase
    std::uint64_t began_ns_ = 0; // 0: not yet
    bool heard_ = false;         // of any connection, well or not
    unsigned open_ = 0;
    std::unique_ptr<class http_head_memory> known_;
    socket_pool<conn> conns_;
    std::vector<conn*> ended_; // to be given back behind the events
    std::atomic<bool> finished_{false};
};

} // namespace pantala::app
