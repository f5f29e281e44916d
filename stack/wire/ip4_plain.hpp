// Which IPv4 headers of a burst are *plain*: the checks of RFC 1812 5.2.2 and 5.3.7 for the common
// kind of packet, many headers at once. What is not plain is not wrong: it leaves the fast path and
// is judged one by one.
//
// Plain means: version 4, no options, total length at least 20 and no longer than the frame holds,
// header checksum right, time to live above 1 (so that it may be forwarded; packets for this host
// with less are not plain either), and source and destination in the space that is routed as
// unicast (not 0/8, 127/8, 224/4 or 240/4).
//
// A vector variant and its scalar twin give the same answers to the bit; tests compare them. The
// variant is chosen once, by what the CPU can do. Cost a header in the first-level cache, TSC
// cycles at 2.6 GHz on Zen 4: scalar 12.8, AVX2 2.4 (AVX-512, 16 at once, was no better: 2.7).
#pragma once

#include <cstdint>

namespace pantala::wire {

inline constexpr unsigned ip4_plain_max = 64; // headers of a burst

struct ip4_plain {
    std::uint32_t destination[ip4_plain_max]; // host order
    // Bytes 8 to 11 of the header as they leave this router (to be stored as they stand): time to
    // live one less, protocol, and the checksum updated for it (RFC 1624).
    std::uint32_t aged[ip4_plain_max];
    std::uint32_t total[ip4_plain_max]; // the header's total length
    // Of all headers looked at, plain or not:
    std::uint32_t longest;   // the greatest total length
    std::uint32_t total_sum; // all total lengths
    bool padded;             // some total length is not that of its frame

    // Before the headers from `first` on are looked at.
    void begin(unsigned first) {
        if (first == 0) {
            longest = 0;
            total_sum = 0;
            padded = false;
        }
    }
    // Packet `from` takes the place of packet `to`.
    void move(unsigned to, unsigned from) {
        destination[to] = destination[from];
        aged[to] = aged[from];
        total[to] = total[from];
    }
    // `longest` and `total_sum` of the first `count` elements.
    void sum_up(unsigned count) {
        longest = 0;
        total_sum = 0;
        for (unsigned i = 0; i < count; ++i) {
            longest = total[i] > longest ? total[i] : longest;
            total_sum += total[i];
        }
    }
};

// Looks at headers [first, end) of at most ip4_plain_max; a burst may be looked at in several
// calls, from the first header on, which all but the last take a multiple of 8. 20 bytes of each
// are readable, and `bytes` says how many from there belong to the frame. Bit i of the result:
// header i is plain. Where it is clear, element i of `out` has no meaning; elements up to the next
// multiple of 8 may be written.
using ip4_plain_function = std::uint64_t (*)(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned first, unsigned end,
    ip4_plain& out);

std::uint64_t ip4_plain_scalar(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned first, unsigned end,
    ip4_plain& out);
// Needs AVX2: 8 headers at once.
std::uint64_t ip4_plain_avx2(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned first, unsigned end,
    ip4_plain& out);
// The fastest of them that this CPU can run. Control code.
ip4_plain_function choose_ip4_plain();
// Its name, for people: "avx2" or "scalar".
const char* name_of(ip4_plain_function function);

} // namespace pantala::wire
