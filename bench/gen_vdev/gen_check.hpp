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

    // Adds 1 to `checked` and to one of the outcomes, or to `own`.
    void count(const rte_mbuf& packet, control_counters& counters) const {
        const auto* bytes = static_cast<const std::uint8_t*>(packet.buf_addr) + packet.data_off;
        if (is_own(bytes)) {
            return bump(counters.own);
        }
        bump(counters.checked);
        bump(outcome(packet, bytes, counters));
    }

  private:
    static void bump(std::atomic<std::uint64_t>& counter) {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    // ARP, or ICMPv6 to a group: nothing that a generated frame could become, which has other
    // types.
    static bool is_own(const std::uint8_t* bytes) {
        const bool group = (bytes[0] & 1) != 0;
        const bool arp = bytes[12] == 0x08 && bytes[13] == 0x06;
        const bool icmp6 = bytes[12] == 0x86 && bytes[13] == 0xdd && bytes[20] != 59;
        return arp || (group && icmp6);
    }

    std::atomic<std::uint64_t>&
    outcome(const rte_mbuf& packet, const std::uint8_t* bytes, control_counters& counters) const {
        const bool ip6 = keys_.is_ip6();
        if (packet.pkt_len != frame_bytes || packet.data_len != frame_bytes) {
            return counters.bad_frame;
        }
        const std::uint32_t tag = load_u32(bytes + (ip6 ? tag6_offset : tag_offset));
        if (tag == tag_of(side_)) {
            return counters.bad_port;
        }
        const unsigned origin = 1 - side_;
        const std::uint32_t serial = load_u32(bytes + (ip6 ? serial6_offset : serial_offset));
        if (tag != tag_of(origin) || serial >= keys_.count(origin)) {
            return counters.bad_frame;
        }
        if (!(ip6 ? unchanged6(bytes, origin, serial) : unchanged(bytes, origin, serial))) {
            return counters.bad_frame;
        }
        if (!(ip6 ? right_hop_limit(bytes[ip_offset + 7]) : bytes[ip_offset + 8] == ttl_sent - 1)) {
            return counters.bad_ttl;
        }
        if (!ip6 && header_sum(bytes + ip_offset) != 0xffff) {
            return counters.bad_checksum;
        }
        return right_macs(bytes, keys_.expected(origin)[serial]) ? counters.good : counters.bad_mac;
    }

    // One less; l3fwd leaves IPv6's as it is.
    bool right_hop_limit(std::uint8_t found) const {
        return found == ttl_sent - 1 || (rule_ == mac_rule::port && found == ttl_sent);
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
    bool unchanged6(const std::uint8_t* bytes, unsigned origin, std::uint32_t serial) const {
        frame sent = frame_template6(origin, side_mac(origin));
        const key6& destination = keys_.destinations6(origin)[serial];
        std::memcpy(&sent[destination6_offset], destination.data(), destination.size());
        std::memcpy(&sent[serial6_offset], &serial, 4);
        return std::memcmp(bytes + 12, &sent[12], 9) == 0 &&
               std::memcmp(bytes + 22, &sent[22], frame_bytes - 22) == 0;
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
