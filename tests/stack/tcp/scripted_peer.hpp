// One host and a peer made by hand: segments go in as the test writes them, and what the host sends
// is read back. Virtual time moves only when the test says so.
#pragma once

#include "stack/tcp/input/tcp_input.hpp"
#include "tests/sim/network.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace pantala::sim {

// A segment as the peer sees it; sequence numbers relative to neither side.
struct wire_segment {
    std::uint8_t flags = 0;
    std::uint32_t seq = 0;
    std::uint32_t ack = 0;
    std::uint16_t window = 65'535;
    std::vector<std::uint8_t> options;
    std::vector<std::uint8_t> payload;
    std::uint16_t peer_port = 4'000;
    std::uint16_t host_port = 80;
    std::uint8_t peer_last = 1; // last byte of the peer's address 10.0.0.x or fd00::x
    wire::tcp_options parsed;   // of what the host sent
};

inline std::vector<std::uint8_t> bytes(std::size_t count) {
    return std::vector<std::uint8_t>(count, 'x');
}

class scripted_peer {
  public:
    explicit scripted_peer(const tcp::settings& config = {}, const tcp::limits& sizes = small());
    ~scripted_peer();

    static tcp::limits small() {
        return {
            .conns = 64,
            .sent_segments = 4'096,
            .time_waits = 16,
            .syn_entries = 32,
            .syn_bucket = 8,
            .listeners = 4,
            .listeners_backlog_max = 64};
    }

    // The host gets it, and ends its round.
    void give(const wire_segment& segment);
    // The raw packet of a segment, for tests that spoil it.
    rte_mbuf* packet_of(const wire_segment& segment) const;
    void give_packet(rte_mbuf* packet);
    // Time passes, timers fire.
    void wait_ms(std::uint64_t ms);
    // The end of the round: what the application asked for leaves.
    void turn();
    // The oldest segment the host sent that was not looked at; nullopt: none.
    std::optional<wire_segment> next();
    bool silent() { return !next().has_value(); }

    tcp::host& host() { return one_.host; }
    const tcp::counters& stats() { return one_.host.stats; }
    std::uint32_t listen(std::uint16_t port = 80, std::uint32_t backlog = 8);
    // Passive open without options by default; the handle of the accepted connection. Afterwards
    // `seq` is the peer's next number and `ack` the host's.
    tcp::conn_handle establish(const std::vector<std::uint8_t>& options = {});
    // A segment of the established connection: ACK with the numbers as they stand.
    wire_segment segment(std::uint8_t flags, std::size_t payload = 0) const;
    std::size_t send(tcp::conn_handle handle, std::size_t count);

    // The address 10.0.0.x, or fd00::x where `v6` is set.
    ip_address address(std::uint8_t last) const;

    bool v6 = false; // the family of what is given and expected; set before anything is sent
    std::uint32_t seq = 1'000;
    std::uint32_t ack = 0;
    std::uint32_t listener = tcp::no_id;
    instant now{ns_per_s};

  private:
    void collect();

    node one_;
    std::deque<wire_segment> out_;
};

} // namespace pantala::sim
