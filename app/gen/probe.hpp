// The packets of `gen`: UDP over IPv4 whose payload begins with a probe. Hot.
#pragma once

#include "stack/wire/checksum.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/udp.hpp"

#include <cstdint>
#include <cstring>

namespace pantala::app {

// Host byte order: both ends are Pantala's on little-endian machines.
struct [[gnu::packed]] probe {
    static constexpr std::uint8_t mark = 0xa7;

    std::uint8_t magic;
    std::uint8_t stream;    // which trial
    std::uint32_t flow;     // index of the destination
    std::uint64_t sequence; // 0, 1, 2, ... within the stream
    std::uint64_t sent_tsc; // the sender's rdtsc, which processes of one machine share
};

struct probe_frame {
    wire::ethernet_header ethernet;
    wire::ipv4_header ip;
    wire::udp_header udp;
    probe payload;
};

static_assert(sizeof(probe) == 22);
static_assert(sizeof(probe_frame) == 64, "the smallest frame of a test is exactly filled");

inline constexpr unsigned probe_bytes_min = sizeof(probe_frame);
inline constexpr unsigned probe_bytes_max = 65'000; // what one buffer holds
inline constexpr std::size_t pattern_max = 4096;    // sizes taken in turn
inline constexpr std::uint16_t probe_l4_port = 9;   // discard (RFC 863)
inline constexpr std::uint8_t probe_ttl = 64;

// The parts that all frames of a sender share; `bytes` and the destination are written per packet.
class probe_template {
  public:
    probe_template(
        const wire::mac_address& source, const wire::mac_address& next,
        std::uint32_t source_address);

    // Writes a whole frame header of `bytes` (without FCS) at `at`.
    void write(
        void* at, unsigned bytes, std::uint32_t destination, std::uint32_t flow,
        std::uint64_t sequence, std::uint8_t stream, std::uint64_t tsc) const {
        probe_frame frame = frame_;
        const auto length = static_cast<std::uint16_t>(bytes - wire::ethernet_header_bytes);
        frame.ip.total_length = be16::from(length);
        frame.ip.destination = wire::ipv4_address::from(destination);
        frame.ip.checksum = wire::checksum_of(
            sum_ + be16::from(length).raw() +
            be16::from(static_cast<std::uint16_t>(destination)).raw() +
            be16::from(static_cast<std::uint16_t>(destination >> 16)).raw());
        frame.udp.source_port = be16::from(static_cast<std::uint16_t>(1024 + (flow & 0x7fff)));
        frame.udp.length =
            be16::from(static_cast<std::uint16_t>(length - wire::ipv4_header_min_bytes));
        frame.payload.stream = stream;
        frame.payload.flow = flow;
        frame.payload.sequence = sequence;
        frame.payload.sent_tsc = tsc;
        std::memcpy(at, &frame, sizeof frame);
    }

  private:
    probe_frame frame_;
    wire::partial_sum sum_; // of the constant part of the IPv4 header
};

} // namespace pantala::app
