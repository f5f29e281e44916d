// The vector variants of ip4_plain against plain arithmetic on one header at a time.
#include "stack/wire/checksum.hpp"
#include "stack/wire/ip4_plain.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::wire {
namespace {

struct packet {
    ipv4_header header;
    std::uint32_t bytes = 0;
};

void set_checksum(ipv4_header& header) {
    header.checksum = be16{};
    header.checksum = checksum_of(sum_bytes(&header, sizeof header));
}

packet sound(std::mt19937& random) {
    packet p;
    p.header.version_ihl = 0x45;
    p.header.type_of_service = static_cast<std::uint8_t>(random());
    p.header.total_length = be16::from(static_cast<std::uint16_t>(20 + random() % 1481));
    p.header.identification = be16::from_raw(static_cast<std::uint16_t>(random()));
    p.header.flags_offset = be16::from_raw(static_cast<std::uint16_t>(random()));
    p.header.time_to_live = static_cast<std::uint8_t>(2 + random() % 254);
    p.header.protocol = static_cast<std::uint8_t>(random());
    const auto address = [&] { return (1 + random() % 126) << 24 | (random() & 0xffffff); };
    p.header.source = ipv4_address::from(static_cast<std::uint32_t>(address()));
    p.header.destination = ipv4_address::from(static_cast<std::uint32_t>(address()));
    p.bytes = p.header.total_length.host() + random() % 3;
    set_checksum(p.header);
    return p;
}

bool routed(ipv4_address address) {
    const std::uint32_t net = address.host() >> 24;
    return net != 0 && net != 127 && net < 224;
}

// What the header file promises, written down without any cleverness.
bool expected(const packet& p) {
    return p.header.version() == 4 && p.header.header_bytes() == 20 &&
           p.header.total_length.host() >= 20 && p.header.total_length.host() <= p.bytes &&
           p.header.time_to_live > 1 && checksum_valid(sum_bytes(&p.header, sizeof p.header)) &&
           routed(p.header.source) && routed(p.header.destination);
}

struct variant {
    const char* name;
    ip4_plain_function function;
};

std::vector<variant> variants() {
    std::vector<variant> all = {{"scalar", ip4_plain_scalar}};
    if (__builtin_cpu_supports("avx2")) {
        all.push_back({"avx2", ip4_plain_avx2});
    }
    return all;
}

void check_lengths(const std::vector<packet>& packets, const ip4_plain& out) {
    std::uint32_t longest = 0;
    std::uint32_t sum = 0;
    bool padded = false;
    for (const packet& p : packets) {
        const std::uint32_t total = p.header.total_length.host();
        longest = std::max(longest, total);
        sum += total;
        padded |= total != p.bytes;
    }
    EXPECT_EQ(out.longest, longest);
    EXPECT_EQ(out.total_sum, sum);
    EXPECT_EQ(out.padded, padded);
}

// All of a burst, in calls of 24, 24 and the rest, as the header file allows.
std::uint64_t look_in_turns(
    const variant& v, const std::vector<const std::uint8_t*>& headers,
    const std::vector<std::uint32_t>& bytes, ip4_plain& out) {
    const auto count = static_cast<unsigned>(headers.size());
    std::uint64_t mask = 0;
    unsigned first = 0;
    do {
        const unsigned end = std::min(first + 24, count);
        mask |= v.function(headers.data(), bytes.data(), first, end, out);
        first = end;
    } while (first < count);
    return mask;
}

void check(const std::vector<packet>& packets) {
    const auto count = static_cast<unsigned>(packets.size());
    std::vector<const std::uint8_t*> headers(count);
    std::vector<std::uint32_t> bytes(count);
    // Exactly 20 bytes each, so that a sanitizer sees a read beyond them.
    std::vector<std::unique_ptr<std::uint8_t[]>> memory(count);
    for (unsigned i = 0; i < count; ++i) {
        memory[i] = std::make_unique<std::uint8_t[]>(sizeof(ipv4_header));
        std::memcpy(memory[i].get(), &packets[i].header, sizeof(ipv4_header));
        headers[i] = memory[i].get();
        bytes[i] = packets[i].bytes;
    }
    for (const variant& v : variants()) {
        SCOPED_TRACE(v.name);
        ip4_plain out{};
        const std::uint64_t mask = look_in_turns(v, headers, bytes, out);
        if (count < 64) {
            EXPECT_EQ(mask >> count, 0U);
        }
        for (unsigned i = 0; i < count; ++i) {
            ipv4_header aged = packets[i].header;
            const bool is = expected(packets[i]);
            ASSERT_EQ((mask >> i & 1) != 0, is) << "packet " << i << " of " << count;
            if (!is) {
                continue;
            }
            EXPECT_EQ(out.destination[i], aged.destination.host());
            EXPECT_EQ(out.total[i], aged.total_length.host());
            --aged.time_to_live;
            set_checksum(aged);
            std::uint32_t word = 0;
            std::memcpy(&word, reinterpret_cast<const char*>(&aged) + 8, 4);
            ASSERT_EQ(out.aged[i], word) << "packet " << i << " of " << count;
        }
        check_lengths(packets, out);
    }
}

TEST(ip4_plain, sound_headers_in_bursts_of_every_size) {
    std::mt19937 random(1);
    for (unsigned count = 0; count <= ip4_plain_max; ++count) {
        std::vector<packet> packets(count);
        for (packet& p : packets) {
            p = sound(random);
        }
        check(packets);
    }
}

TEST(ip4_plain, one_bit_wrong_anywhere) {
    std::mt19937 random(2);
    for (unsigned bit = 0; bit < 160; ++bit) {
        std::vector<packet> packets(ip4_plain_max);
        for (packet& p : packets) {
            p = sound(random);
        }
        packet& p = packets[bit % ip4_plain_max];
        reinterpret_cast<std::uint8_t*>(&p.header)[bit / 8] ^=
            static_cast<std::uint8_t>(1 << bit % 8);
        EXPECT_FALSE(expected(p)) << "a single wrong bit breaks the checksum";
        check(packets);
    }
}

TEST(ip4_plain, each_rule_at_its_borders) {
    std::mt19937 random(3);
    std::vector<packet> packets;
    const auto add = [&](auto change) {
        packet p = sound(random);
        change(p);
        set_checksum(p.header);
        packets.push_back(p);
        if (packets.size() == ip4_plain_max) {
            check(packets);
            packets.clear();
        }
    };
    for (unsigned first = 0; first < 256; ++first) {
        add([&](packet& p) { p.header.version_ihl = static_cast<std::uint8_t>(first); });
        add([&](packet& p) { p.header.time_to_live = static_cast<std::uint8_t>(first); });
        const auto address = ipv4_address::from(first << 24 | 0x010203);
        add([&](packet& p) { p.header.source = address; });
        add([&](packet& p) { p.header.destination = address; });
        add([&](packet& p) { p.header.destination = ipv4_address::from(first << 24 | 0xffffff); });
    }
    for (const unsigned length : {0U, 19U, 20U, 21U, 255U, 256U, 1500U, 65535U}) {
        for (const unsigned room : {20U, 21U, 1500U, 65535U, 70000U}) {
            add([&](packet& p) {
                p.header.total_length = be16::from(static_cast<std::uint16_t>(length));
                p.bytes = room;
            });
        }
    }
    check(packets);
}

// Every value that the checksum can have, among them those around the end-around carry.
TEST(ip4_plain, aging_keeps_every_checksum_right) {
    std::mt19937 random(4);
    packet p = sound(random);
    p.header.time_to_live = 64;
    std::vector<packet> packets;
    for (unsigned id = 0; id < 65536; ++id) {
        p.header.identification = be16::from(static_cast<std::uint16_t>(id));
        set_checksum(p.header);
        packets.push_back(p);
        if (packets.size() == ip4_plain_max) {
            check(packets);
            packets.clear();
        }
    }
}

TEST(ip4_plain, checksum_all_ones_and_zero) {
    // A sender that writes 0xffff for zero is understood; what leaves is the proper form.
    std::mt19937 random(5);
    packet p = sound(random);
    p.header.time_to_live = 9;
    p.header.identification = be16{};
    set_checksum(p.header);
    p.header.identification = p.header.checksum; // the rest now sums to all ones
    set_checksum(p.header);
    ASSERT_EQ(p.header.checksum.raw(), 0);
    std::vector<packet> packets(3, p);
    packets[1].header.checksum = be16::from_raw(0xffff);
    check(packets);
}

} // namespace
} // namespace pantala::wire
