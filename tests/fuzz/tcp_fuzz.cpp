// Whatever a peer may send to a listening and connected TCP host. The input is a list of steps: a
// length byte, a pause, flags and small offsets from the right sequence numbers, then the bytes of
// options and payload. Only aborts, sanitizer reports and leaked mbufs count as findings.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_eal.h>

namespace {

using pantala::sim::scripted_peer;

// The next `count` bytes, fewer at the end.
std::span<const std::uint8_t> take(std::span<const std::uint8_t>& input, std::size_t count) {
    const auto part = input.first(std::min(count, input.size()));
    input = input.subspan(part.size());
    return part;
}

void step(scripted_peer& peer, std::span<const std::uint8_t> bytes) {
    if (bytes.size() < 6) {
        peer.wait_ms(bytes.size() * 100);
        return;
    }
    pantala::sim::wire_segment segment = peer.segment(bytes[0]);
    segment.seq += static_cast<std::uint32_t>(static_cast<std::int8_t>(bytes[1]) * 97);
    segment.ack += static_cast<std::uint32_t>(static_cast<std::int8_t>(bytes[2]) * 61);
    segment.window = static_cast<std::uint16_t>(bytes[3] << 8);
    peer.wait_ms(bytes[4]);
    const std::size_t options = std::min<std::size_t>(bytes[5] % 41, bytes.size() - 6);
    segment.options.assign(bytes.begin() + 6, bytes.begin() + 6 + static_cast<long>(options));
    segment.payload.assign(bytes.begin() + 6 + static_cast<long>(options), bytes.end());
    peer.give(segment);
    while (peer.next()) {
    }
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char*** argv) {
    const char* eal[] = {
        (*argv)[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",     "--iova-mode=va",
        "-m",       "192",       "--lcores", "0@0-1",       "--log-level=*:error"};
    return rte_eal_init(sizeof eal / sizeof *eal, const_cast<char**>(eal)) < 0 ? 1 : 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    {
        std::span<const std::uint8_t> input(data, size);
        scripted_peer peer;
        const auto handle = peer.establish(
            {pantala::wire::tcp_option_sack_permitted, 2, pantala::wire::tcp_option_nop,
             pantala::wire::tcp_option_nop});
        peer.send(handle, 3'000);
        while (!input.empty()) {
            const std::size_t length = input[0];
            input = input.subspan(1);
            step(peer, take(input, length));
            const std::size_t readable = pantala::tcp::readable_bytes(peer.host(), handle);
            pantala::tcp::consume(peer.host(), handle, readable / 2);
        }
        pantala::tcp::abort(peer.host(), handle);
        peer.turn();
        PANTALA_ASSERT(peer.host().conns.used() <= 1); // perhaps one that came by the listener
    }
    PANTALA_ASSERT(pantala::sim::packets_out() == 0);
    return 0;
}
