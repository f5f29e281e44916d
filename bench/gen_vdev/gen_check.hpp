// Looks at a frame that a forwarder sends and finds the first thing wrong with it. The serial
// number in the payload leads to the key it was made from, and so to the one right outcome.
#pragma once

#include "bench/gen_vdev/gen_control.hpp"
#include "bench/gen_vdev/gen_files.hpp"
#include "bench/gen_vdev/gen_frame.hpp"

#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::gen {

enum class mac_rule : std::uint8_t {
    nexthop, // destination address is nexthop_mac() of the key's next hop
    port,    // destination address is 02:00:00:00:00:pp, as l3fwd writes (pp: port number)
};

class frame_checker {
  public:
    frame_checker(const keys_file& keys, unsigned side, mac_rule rule, const std::uint8_t* mac)
        : keys_(keys), side_(side), rule_(rule), mac_(mac) {}

    // Adds 1 to `checked` and to one of the outcomes.
    void count(const rte_mbuf& packet, control_counters& counters) const {
        bump(counters.checked);
        bump(outcome(packet, counters));
    }

  private:
    static void bump(std::atomic<std::uint64_t>& counter) {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t>& outcome(const rte_mbuf& packet, control_counters& counters) const {
        const auto* bytes = static_cast<const std::uint8_t*>(packet.buf_addr) + packet.data_off;
        if (packet.pkt_len != frame_bytes || packet.data_len != frame_bytes) {
            return counters.bad_frame;
        }
        if (load_u32(bytes + tag_offset) == tag_of(side_)) {
            return counters.bad_port;
        }
        const unsigned origin = 1 - side_;
        const std::uint32_t serial = load_u32(bytes + serial_offset);
        if (load_u32(bytes + tag_offset) != tag_of(origin) ||
            serial >= keys_.destinations(origin).size()) {
            return counters.bad_frame;
        }
        if (!unchanged(bytes, origin, serial)) {
            return counters.bad_frame;
        }
        if (bytes[ip_offset + 8] != ttl_sent - 1) {
            return counters.bad_ttl;
        }
        if (header_sum(bytes + ip_offset) != 0xffff) {
            return counters.bad_checksum;
        }
        return right_macs(bytes, keys_.expected(origin)[serial]) ? counters.good : counters.bad_mac;
    }

    // Everything that a router may not touch: all but the Ethernet addresses, TTL and checksum.
    bool unchanged(const std::uint8_t* bytes, unsigned origin, std::uint32_t serial) const {
        frame sent = frame_template(origin, side_mac(origin));
        const std::uint32_t destination = keys_.destinations(origin)[serial];
        std::memcpy(&sent[destination_offset], &destination, 4);
        std::memcpy(&sent[serial_offset], &serial, 4);
        return std::memcmp(bytes + 12, &sent[12], 10) == 0 && bytes[23] == sent[23] &&
               std::memcmp(bytes + 26, &sent[26], frame_bytes - 26) == 0;
    }

    bool right_macs(const std::uint8_t* bytes, std::uint16_t nexthop) const {
        std::array<std::uint8_t, 6> to = nexthop_mac(nexthop);
        if (rule_ == mac_rule::port) {
            to = {0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(side_)};
        }
        return std::memcmp(bytes, to.data(), 6) == 0 && std::memcmp(bytes + 6, mac_, 6) == 0;
    }

    const keys_file& keys_;
    unsigned side_;
    mac_rule rule_;
    const std::uint8_t* mac_;
};

} // namespace pantala::gen
