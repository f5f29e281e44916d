#include "app/gen/arp_station.hpp"

#include <algorithm>
#include <cstring>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace pantala::app {

namespace {

constexpr unsigned asks_a_second = 4;
constexpr wire::mac_address everybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

arp_frame make_arp(
    wire::arp_operation operation, const arp_station::owned& sender,
    const wire::mac_address& target, wire::ipv4_address target_address) {
    arp_frame frame{};
    frame.ethernet.destination = operation == wire::arp_operation::request ? everybody : target;
    frame.ethernet.source = sender.mac;
    frame.ethernet.type = be16::from(static_cast<std::uint16_t>(wire::ether_type::arp));
    frame.arp.hardware = be16::from(wire::arp_hardware_ethernet);
    frame.arp.protocol = be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4));
    frame.arp.hardware_length = 6;
    frame.arp.protocol_length = 4;
    frame.arp.operation = be16::from(static_cast<std::uint16_t>(operation));
    frame.arp.sender_hardware = sender.mac;
    frame.arp.sender_protocol = wire::ipv4_address::from(sender.address);
    frame.arp.target_hardware = target;
    frame.arp.target_protocol = target_address;
    return frame;
}

bool is(const wire::arp_packet& arp, wire::arp_operation operation) {
    return arp.operation.host() == static_cast<std::uint16_t>(operation);
}

} // namespace

std::optional<arp_frame> arp_of(const rte_mbuf& packet) {
    arp_frame frame;
    if (packet.data_len < sizeof frame) {
        return std::nullopt;
    }
    std::memcpy(&frame, rte_pktmbuf_mtod(&packet, const void*), sizeof frame);
    const bool good =
        frame.ethernet.ether() == wire::ether_type::arp &&
        frame.arp.hardware.host() == wire::arp_hardware_ethernet &&
        frame.arp.protocol.host() == static_cast<std::uint16_t>(wire::ether_type::ipv4) &&
        frame.arp.hardware_length == 6 && frame.arp.protocol_length == 4;
    return good ? std::optional(frame) : std::nullopt;
}

void arp_inbox::put(const arp_frame& frame) {
    place& at = places_[next_put_ % places];
    if (!at.full.load(std::memory_order_acquire)) { // take's release
        at.frame = frame;
        at.full.store(true, std::memory_order_release); // take's acquire
        ++next_put_;
    }
}

bool arp_inbox::take(arp_frame& frame) {
    place& at = places_[next_take_ % places];
    if (!at.full.load(std::memory_order_acquire)) { // put's release
        return false;
    }
    frame = at.frame;
    at.full.store(false, std::memory_order_release); // put's acquire
    ++next_take_;
    return true;
}

void arp_station::ask(std::uint32_t address) {
    answer_.store(0, std::memory_order_relaxed);
    wanted_.store(address, std::memory_order_relaxed);
}

std::optional<wire::mac_address> arp_station::answer() const {
    const std::uint64_t answer = answer_.load(std::memory_order_relaxed);
    if ((answer & found) == 0) {
        return std::nullopt;
    }
    wire::mac_address mac;
    std::memcpy(mac.bytes.data(), &answer, mac.bytes.size());
    return mac;
}

// A station's address only: nobody is to be made to send to a group.
void arp_station::learn(const wire::arp_packet& arp) {
    const std::uint32_t wanted = wanted_.load(std::memory_order_relaxed);
    if (wanted == 0 || arp.sender_protocol.host() != wanted ||
        (arp.sender_hardware.bytes[0] & 1) != 0) {
        return;
    }
    std::uint64_t answer = 0;
    std::memcpy(&answer, arp.sender_hardware.bytes.data(), arp.sender_hardware.bytes.size());
    answer_.store(answer | found, std::memory_order_relaxed);
    wanted_.store(0, std::memory_order_relaxed);
}

void arp_station::input(const arp_frame& frame) {
    learn(frame.arp);
    const std::uint32_t target = frame.arp.target_protocol.host();
    const auto mine =
        std::find_if(how_.answers.begin(), how_.answers.end(), [target](const owned& one) {
            return one.address == target;
        });
    if (mine != how_.answers.end() && is(frame.arp, wire::arp_operation::request)) {
        send(make_arp(
            wire::arp_operation::reply, *mine, frame.arp.sender_hardware,
            frame.arp.sender_protocol));
    }
}

void arp_station::tick(std::uint64_t now_tsc) {
    const std::uint32_t wanted = wanted_.load(std::memory_order_relaxed);
    if (wanted == 0 || now_tsc < ask_again_tsc_ || how_.answers.empty()) {
        return;
    }
    ask_again_tsc_ = now_tsc + rte_get_tsc_hz() / asks_a_second;
    send(make_arp(
        wire::arp_operation::request, how_.answers.front(), {}, wire::ipv4_address::from(wanted)));
}

// What finds no buffer or no room is lost, as on any wire.
void arp_station::send(const arp_frame& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(how_.pool);
    if (packet == nullptr) {
        return;
    }
    auto* at = rte_pktmbuf_mtod(packet, std::uint8_t*);
    std::memset(at, 0, wire::ethernet_minimum_bytes);
    std::memcpy(at, &frame, sizeof frame);
    packet->data_len = wire::ethernet_minimum_bytes;
    packet->pkt_len = wire::ethernet_minimum_bytes;
    if (rte_eth_tx_burst(how_.port, how_.queue, &packet, 1) == 0) {
        rte_pktmbuf_free(packet);
    }
}

} // namespace pantala::app
