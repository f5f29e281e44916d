// Unsolicited advertisements (RFC 4861 7.2.6): the link hears at once where our addresses are now.
#include "tests/stack/ip6/small_net6.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;

struct announcing : testing::Test, small_net6 {
    announcing() : small_net6({}, 2) {}

    struct announcement {
        ipv6_address target;
        wire::mac_address at;
        bool operator==(const announcement&) const = default;
    };
    // The unsolicited advertisements among what left by a port, each as it must be.
    std::vector<announcement> heard(unsigned port) {
        std::vector<announcement> all;
        for (const bytes& frame : net.sent(port)) {
            const auto packet = parse_ip6_frame(frame);
            const auto icmp = packet ? packet->icmp() : std::nullopt;
            if (!icmp || icmp->kind() != icmp6_type::neighbor_advertisement) {
                continue;
            }
            EXPECT_EQ(packet->header.destination, wire::ipv6_all_nodes);
            EXPECT_EQ(packet->header.hop_limit, 255);
            EXPECT_EQ(icmp->rest.host(), wire::nd_flag_router | wire::nd_flag_override);
            EXPECT_EQ(packet->content.size(), 32u);
            announcement one;
            std::copy_n(packet->content.begin() + 8, 16, one.target.bytes.begin());
            std::copy_n(packet->content.begin() + 26, 6, one.at.bytes.begin());
            EXPECT_EQ(packet->header.source, one.target);
            all.push_back(one);
        }
        return all;
    }
    using announcements = std::vector<announcement>;
    static constexpr std::uint64_t spacing_ns = 1 * ns_per_s; // RETRANS_TIMER
};

TEST_F(announcing, a_new_link_address_of_ours_three_times) {
    const wire::mac_address now = mac(0x99);
    ASSERT_TRUE(net.routes().set_mac(outside, now.bytes).ok());
    for (unsigned i = 0; i < 3; ++i) {
        net.run();
        const announcements all = heard(1);
        EXPECT_EQ(all.size(), 2u) << i; // the link-local one, too
        EXPECT_EQ(std::ranges::count(all, announcement{router_outside, now}), 1) << i;
        net.advance(spacing_ns - 1);
        EXPECT_TRUE(heard(1).empty()) << i;
        net.advance(1);
    }
    net.advance(100 * ns_per_s);
    EXPECT_TRUE(heard(1).empty());
    EXPECT_TRUE(heard(0).empty()); // the other link has nothing to hear
}

TEST_F(announcing, links_that_come_up) {
    ASSERT_TRUE(net.routes().set_up(outside, false).ok());
    net.advance(5 * ns_per_s);
    EXPECT_TRUE(heard(1).empty());
    ASSERT_TRUE(net.routes().set_up(outside, true).ok());
    net.advance(5 * ns_per_s);
    EXPECT_EQ(heard(1).size(), 6u);
}

TEST_F(announcing, a_new_address_alone) {
    const ipv6_address added = ip6_host(2, 0, 0x77);
    ASSERT_TRUE(net.routes().add_address(outside, halves_of(added), 64).ok());
    net.advance(5 * ns_per_s);
    EXPECT_EQ(heard(1), announcements(3, {added, router::mac_of(1)}));
    // What does not make it another place is no news.
    ASSERT_TRUE(net.routes().set_address_flags(outside, halves_of(added), address_deprecated).ok());
    net.advance(5 * ns_per_s);
    EXPECT_TRUE(heard(1).empty());
    // Gone before its turn: nothing more is said of it.
    ASSERT_TRUE(net.routes().del_address(outside, halves_of(added), 64).ok());
    ASSERT_TRUE(net.routes().add_address(outside, halves_of(added), 64).ok());
    net.run();
    ASSERT_TRUE(net.routes().del_address(outside, halves_of(added), 64).ok());
    net.advance(5 * ns_per_s);
    EXPECT_LE(heard(1).size(), 1u);
}

TEST_F(announcing, an_address_once_it_is_ours) {
    const ipv6_address asked = ip6_host(2, 0, 0x78);
    ASSERT_TRUE(net.routes()
                    .add_address(outside, halves_of(asked), 64, address_tentative | address_probed)
                    .ok());
    net.run();
    EXPECT_TRUE(heard(1).empty()); // not before somebody could have said no
    net.advance(10 * ns_per_s);
    EXPECT_EQ(heard(1), announcements(3, {asked, router::mac_of(1)}));
}

TEST_F(announcing, an_address_used_on_trust_does_not_override) {
    const ipv6_address asked = ip6_host(2, 0, 0x79);
    ASSERT_TRUE(net.routes()
                    .add_address(
                        outside, halves_of(asked), 64,
                        address_tentative | address_optimistic | address_probed)
                    .ok());
    net.run();
    EXPECT_TRUE(heard(1).empty()); // RFC 4429 3.3: nothing that overrides, and no need of another
    net.advance(10 * ns_per_s);
    EXPECT_EQ(heard(1).size(), 3u);
}

} // namespace
} // namespace pantala::test
