// ARP (RFC 826) at one port of the generator: finds the Ethernet address to send to, and answers
// for the addresses that the generator stands for, so that a router needs no neighbours set by
// hand. What is not ARP for it is not its business. Hot enough to be called between bursts.
#pragma once

#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

struct rte_mbuf;
struct rte_mempool;

namespace pantala::app {

struct arp_frame {
    wire::ethernet_header ethernet;
    wire::arp_packet arp;
};
static_assert(sizeof(arp_frame) == 42 && alignof(arp_frame) == 1);

// The frame's ARP packet if it is one of IPv4 over Ethernet.
std::optional<arp_frame> arp_of(const rte_mbuf& packet);

// ARP packets from the lcore that receives on a port to the one that sends there. One of each. What
// finds no room is dropped: ARP asks again.
class arp_inbox {
  public:
    void put(const arp_frame& frame); // receiver
    bool take(arp_frame& frame);      // sender

  private:
    struct place {
        std::atomic<bool> full{false}; // the receiver fills, the sender empties
        arp_frame frame;
    };
    static constexpr unsigned places = 16;
    std::array<place, places> places_{};
    unsigned next_put_ = 0;
    unsigned next_take_ = 0;
};

class arp_station {
  public:
    struct owned {
        std::uint32_t address; // host byte order
        wire::mac_address mac;
    };
    struct settings {
        std::uint16_t port = 0;
        std::uint16_t queue = 0; // to transmit on
        rte_mempool* pool = nullptr;
        std::vector<owned> answers; // what it answers for; the first is what it asks as
    };

    explicit arp_station(settings how) : how_(std::move(how)) {}

    // Control: asks who has `address` (host byte order) from now on, until there is an answer.
    void ask(std::uint32_t address);
    // Any thread: whom the answer named.
    std::optional<wire::mac_address> answer() const;

    // The lcore that owns the queue: an ARP packet that arrived, and the time.
    void input(const arp_frame& frame);
    void tick(std::uint64_t now_tsc);

  private:
    static constexpr std::uint64_t found = std::uint64_t{1} << 48; // beside the address's 48 bits

    void learn(const wire::arp_packet& arp);
    void send(const arp_frame& frame);

    const settings how_;
    std::uint64_t ask_again_tsc_ = 0;
    std::atomic<std::uint32_t> wanted_{0}; // 0: nothing
    std::atomic<std::uint64_t> answer_{0};
};

} // namespace pantala::app
