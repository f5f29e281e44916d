#include "engine/handoff/flow_hash.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

using frame = std::vector<std::uint8_t>;

class flow_hash_of : public testing::Test {
  protected:
    frame ip4(std::uint8_t protocol, std::uint16_t fragment = 0, unsigned words = 5) {
        frame f(14 + words * 4 + 8);
        f[12] = 0x08;
        f[14] = static_cast<std::uint8_t>(0x40 | words);
        f[20] = static_cast<std::uint8_t>(fragment >> 8);
        f[21] = static_cast<std::uint8_t>(fragment);
        f[23] = protocol;
        const std::uint8_t addresses[] = {66, 9, 149, 187, 161, 142, 100, 80};
        std::copy(std::begin(addresses), std::end(addresses), f.begin() + 26);
        const std::uint8_t ports[] = {2794 >> 8, 2794 & 0xff, 1766 >> 8, 1766 & 0xff};
        std::copy(std::begin(ports), std::end(ports), f.begin() + 14 + words * 4);
        return f;
    }
    static frame tagged(frame f, std::uint16_t type) {
        f.insert(
            f.begin() + 12,
            {static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type), 0, 42});
        return f;
    }

    static constexpr std::uint32_t with_ports = 0x51ccc178; // Microsoft's vectors
    static constexpr std::uint32_t addresses_only = 0x323e8fc2;
    std::unique_ptr<toeplitz> sum = std::make_unique<toeplitz>(rss_key_microsoft);
};

TEST_F(flow_hash_of, whole_packets_with_ports) {
    for (const std::uint8_t protocol : {6, 17, 132}) {
        EXPECT_EQ(flow_hash(*sum, ip4(protocol)), with_ports);
    }
    EXPECT_EQ(flow_hash(*sum, ip4(6, 0x4000)), with_ports) << "DF is no fragment";
    EXPECT_EQ(flow_hash(*sum, ip4(6, 0, 8)), with_ports) << "behind options";
}

TEST_F(flow_hash_of, fragments_and_protocols_without_ports) {
    EXPECT_EQ(flow_hash(*sum, ip4(17, 0x2000)), addresses_only) << "first fragment";
    EXPECT_EQ(flow_hash(*sum, ip4(17, 0x0001)), addresses_only) << "last fragment";
    EXPECT_EQ(flow_hash(*sum, ip4(1)), addresses_only);
}

TEST_F(flow_hash_of, vlan_tags_are_looked_behind) {
    EXPECT_EQ(flow_hash(*sum, tagged(ip4(6), 0x8100)), with_ports);
    EXPECT_EQ(flow_hash(*sum, tagged(tagged(ip4(6), 0x8100), 0x88a8)), with_ports);
    EXPECT_EQ(flow_hash(*sum, tagged(tagged(tagged(ip4(6), 0x8100), 0x8100), 0x8100)), 0u);
}

TEST_F(flow_hash_of, ip6) {
    frame f(14 + 40 + 4);
    f[12] = 0x86;
    f[13] = 0xdd;
    f[20] = 6;
    // 3ffe:2501:200:1fff::7 -> 3ffe:2501:200:3::1, ports 2794 -> 1766: Microsoft's vector.
    const std::uint8_t from[] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0, 0x1f, 0xff,
                                 0,    0,    0,    0,    0,    0, 0,    7};
    const std::uint8_t to[] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1};
    std::copy(std::begin(from), std::end(from), f.begin() + 22);
    std::copy(std::begin(to), std::end(to), f.begin() + 38);
    f[54] = 2794 >> 8;
    f[55] = 2794 & 0xff;
    f[56] = 1766 >> 8;
    f[57] = 1766 & 0xff;
    EXPECT_EQ(flow_hash(*sum, f), 0x40207d3du);
    f[20] = 58;
    EXPECT_EQ(flow_hash(*sum, f), 0x2cc18cd5u);
}

TEST_F(flow_hash_of, any_bytes_of_any_length_are_safe) {
    random_source random(3);
    const frame good = tagged(ip4(6), 0x8100);
    for (std::size_t length = 0; length <= good.size(); ++length) {
        const std::vector<std::uint8_t> cut(good.begin(), good.begin() + static_cast<long>(length));
        flow_hash(*sum, cut); // ASan watches the end
    }
    EXPECT_EQ(flow_hash(*sum, {}), 0u);
    for (int i = 0; i < 20'000; ++i) {
        frame f(random.below(80));
        for (auto& byte : f) {
            byte = static_cast<std::uint8_t>(random.next());
        }
        if (f.size() > 14) {
            f[12] = random.one_in(2) ? 0x08 : 0x86;
            f[13] = f[12] == 0x08 ? 0x00 : 0xdd;
        }
        flow_hash(*sum, f);
    }
}

} // namespace
} // namespace pantala
