// The IPv6 parts of stack/wire: addresses, plain headers, header chains, options of discovery.
#include "stack/route/prefix6.hpp"
#include "stack/wire/ip6/ip6_chain.hpp"
#include "stack/wire/ip6/ip6_plain.hpp"
#include "stack/wire/ip6/nd_options.hpp"
#include "tests/harness/packets6.hpp"

#include <random>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_parameter;
using wire::ip6_fault;
using wire::ip_protocol;
using wire::ipv6_address;

const ipv6_address from = ip6_host(1, 0, 1);
const ipv6_address to = ip6_host(2, 0, 2);

TEST(ipv6_address, derived_forms) {
    const auto address = ipv6_address::of(0x2001, 0xdb8, 0, 0, 0, 0, 0x12ab, 0xcdef);
    EXPECT_EQ(
        wire::solicited_node(address), ipv6_address::of(0xff02, 0, 0, 0, 0, 1, 0xffab, 0xcdef));
    EXPECT_EQ(
        wire::multicast_mac(wire::solicited_node(address)),
        (wire::mac_address{{0x33, 0x33, 0xff, 0xab, 0xcd, 0xef}}));
    // RFC 4291, appendix A: 34-56-78-9A-BC-DE.
    EXPECT_EQ(
        wire::eui64_identifier({{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}}), 0x365678fffe9abcdeull);
    EXPECT_EQ(ipv6_address::from_halves(address.high(), address.low()), address);
    EXPECT_EQ(wire::scope_of(address), wire::ipv6_scope::global);
    EXPECT_EQ(wire::scope_of(wire::ipv6_all_nodes), wire::ipv6_scope::link);
    EXPECT_EQ(wire::scope_of(link_local(mac(1))), wire::ipv6_scope::link);
    EXPECT_TRUE(ipv6_address::of(0, 0, 0, 0, 0, 0xffff, 0x0a00, 1).is_v4_mapped());
}

bool plain(const bytes& packet, std::uint32_t count) {
    const std::uint8_t* headers[] = {packet.data()};
    address6 out;
    return wire::ip6_look(headers, &count, 1, &out) == 1;
}
bool plain(const bytes& packet) {
    return plain(packet, static_cast<std::uint32_t>(packet.size()));
}

TEST(ip6_plain, says_what_is_plain) {
    const bytes good = ip6({from, to}, payload(100));
    EXPECT_TRUE(plain(good));
    EXPECT_TRUE(plain(good + payload(6)));
    EXPECT_FALSE(plain(good, 139));
    EXPECT_TRUE(plain(ip6({ipv6_address::of(0xfd00, 0, 0, 0, 0, 0, 0, 1), to}, {})));
    for (const ipv6_address& odd :
         {ipv6_address{}, ipv6_address::of(0, 0, 0, 0, 0, 0, 0, 1), wire::ipv6_all_nodes,
          link_local(mac(1)), ipv6_address::of(0, 0, 0, 0, 0, 0xffff, 0x0a00, 1)}) {
        EXPECT_FALSE(plain(ip6({odd, to}, {})));
        EXPECT_FALSE(plain(ip6({from, odd}, {})));
    }
    bytes version = good;
    version[0] = 0x40;
    EXPECT_FALSE(plain(version));
    EXPECT_FALSE(plain(ip6({from, to, ip_protocol::hop_by_hop}, payload(8))));
}

TEST(ip6_plain, gives_the_destination) {
    const bytes packet = ip6({from, to}, {});
    const std::uint8_t* headers[64];
    std::uint32_t counts[64];
    std::fill_n(headers, 64, packet.data());
    std::fill_n(counts, 64, 40u);
    address6 out[64];
    EXPECT_EQ(wire::ip6_look(headers, counts, 64, out), ~0ull);
    EXPECT_EQ(out[63].high, to.high());
    EXPECT_EQ(out[63].low, to.low());
}

// Four at once say what one at a time says, of headers that are wrong in every field.
TEST(ip6_plain, many_at_once_are_as_one_by_one) {
    constexpr unsigned many = 63;
    std::mt19937_64 random(7);
    const std::uint8_t first_bytes[] = {0x20, 0x3f, 0x40, 0xfc, 0xfd, 0xfe, 0xff, 0x00};
    unsigned plain_ones = 0;
    for (unsigned round = 0; round < 2000; ++round) {
        bytes packets[many];
        const std::uint8_t* headers[many];
        std::uint32_t counts[many];
        for (unsigned i = 0; i < many; ++i) {
            packets[i] = ip6({from, to}, payload(random() % 300));
            counts[i] = static_cast<std::uint32_t>(packets[i].size() + random() % 4 - 1);
            if (random() % 4 == 0) {
                packets[i][random() % 40] = static_cast<std::uint8_t>(random());
            }
            if (random() % 4 == 0) {
                packets[i][random() % 2 == 0 ? 8 : 24] = first_bytes[random() % 8];
            }
            headers[i] = packets[i].data();
        }
        const auto count = static_cast<unsigned>(random() % (many + 1));
        address6 out[many];
        const std::uint64_t mask = wire::ip6_look(headers, counts, count, out);
        EXPECT_EQ(mask >> count, 0u);
        for (unsigned i = 0; i < count; ++i) {
            address6 one;
            ASSERT_EQ(mask >> i & 1, wire::ip6_look_one(headers[i], counts[i], one)) << i;
            ASSERT_EQ(out[i], one);
            plain_ones += mask >> i & 1;
        }
    }
    EXPECT_GT(plain_ones, 10'000u);
}

wire::ip6_chain walk(ip_protocol first, const bytes& content) {
    return wire::ip6_walk(ip6({from, to, first}, content));
}

TEST(ip6_chain, of_nothing_is_the_upper_layer) {
    const auto chain = walk(ip_protocol::udp, payload(8));
    EXPECT_EQ(chain.fault, ip6_fault::none);
    EXPECT_EQ(chain.upper, 17);
    EXPECT_EQ(chain.offset, 40);
    EXPECT_EQ(chain.named_at, 6);
}

TEST(ip6_chain, passes_known_headers) {
    const bytes content = options_header(ip_protocol::destination_options, {5, 2, 0, 0}) +
                          options_header(ip_protocol::routing, {4, 1, 4}) +
                          bytes{6, 0, 0, 0, 0, 0, 0, 0} + payload(20);
    const auto chain = walk(ip_protocol::hop_by_hop, content);
    EXPECT_EQ(chain.fault, ip6_fault::none);
    EXPECT_EQ(chain.upper, 6);
    EXPECT_EQ(chain.offset, 64);
    EXPECT_EQ(chain.named_at, 56);
    EXPECT_TRUE(chain.router_alert);
}

TEST(ip6_chain, judges_options_by_their_high_bits) {
    const auto with = [](std::uint8_t type) {
        return walk(
            ip_protocol::destination_options,
            options_header(ip_protocol::udp, {type, 2, 0, 0}) + payload(8));
    };
    EXPECT_EQ(with(0x3f).fault, ip6_fault::none);
    EXPECT_EQ(with(0x7f).fault, ip6_fault::discard);
    auto told = with(0xbf);
    EXPECT_EQ(told.fault, ip6_fault::problem);
    EXPECT_EQ(told.code, icmp6_parameter::option);
    EXPECT_EQ(told.pointer, 42);
    EXPECT_FALSE(told.unless_multicast);
    told = with(0xff);
    EXPECT_EQ(told.fault, ip6_fault::problem);
    EXPECT_TRUE(told.unless_multicast);
}

TEST(ip6_chain, refuses_what_rfc_8200_and_5095_refuse) {
    auto chain = walk( // hop-by-hop that is not first
        ip_protocol::destination_options,
        options_header(ip_protocol::hop_by_hop, {}) + options_header(ip_protocol::udp, {}));
    EXPECT_EQ(chain.fault, ip6_fault::problem);
    EXPECT_EQ(chain.code, icmp6_parameter::next_header);
    EXPECT_EQ(chain.pointer, 40);
    chain = walk(ip_protocol::routing, bytes{17, 0, 0, 1, 0, 0, 0, 0} + payload(8));
    EXPECT_EQ(chain.fault, ip6_fault::problem);
    EXPECT_EQ(chain.code, icmp6_parameter::header_field);
    EXPECT_EQ(chain.pointer, 42);
}

TEST(ip6_chain, stays_within_the_packet) {
    EXPECT_EQ(walk(ip_protocol::destination_options, payload(7)).fault, ip6_fault::truncated);
    EXPECT_EQ(
        walk(ip_protocol::destination_options, bytes{17, 1, 1, 4, 0, 0, 0, 0}).fault,
        ip6_fault::truncated);
    const auto chain = // an option that reaches beyond its header
        walk(ip_protocol::destination_options, bytes{17, 0, 5, 5, 0, 0, 0, 0} + payload(8));
    EXPECT_EQ(chain.fault, ip6_fault::problem);
    EXPECT_EQ(chain.code, icmp6_parameter::header_field);
    EXPECT_EQ(chain.pointer, 43);
}

TEST(ip6_chain, is_bounded) {
    bytes headers;
    for (int i = 0; i < 9; ++i) {
        headers = headers + options_header(ip_protocol::destination_options, {});
    }
    EXPECT_EQ(walk(ip_protocol::destination_options, headers).fault, ip6_fault::limit);
    EXPECT_EQ(
        wire::ip6_find_upper(ip6({from, to, ip_protocol::destination_options}, headers)).fault,
        ip6_fault::limit);
    bytes options;
    for (int i = 0; i < 9; ++i) {
        options = options + bytes{0x3f, 0};
    }
    EXPECT_EQ(
        walk(ip_protocol::destination_options, options_header(ip_protocol::udp, options)).fault,
        ip6_fault::limit);
    EXPECT_EQ(
        walk(ip_protocol::destination_options, options_header(ip_protocol::udp, bytes(14, 0)))
            .fault,
        ip6_fault::limit);
}

TEST(ip6_chain, ends_at_a_fragment_for_its_host_only) {
    const bytes first =
        ip6({from, to, ip_protocol::fragment},
            fragment_header(ip_protocol::udp, 0, true, 9) + payload(8));
    auto chain = wire::ip6_walk(first);
    EXPECT_EQ(chain.upper, 44);
    EXPECT_EQ(chain.fragment, 40);
    chain = wire::ip6_find_upper(first);
    EXPECT_EQ(chain.upper, 17);
    EXPECT_EQ(chain.offset, 48);
    EXPECT_EQ(chain.fragment, 40);
    chain = wire::ip6_find_upper(
        ip6({from, to, ip_protocol::fragment},
            fragment_header(ip_protocol::destination_options, 64, true, 9) + payload(8)));
    EXPECT_EQ(chain.fault, ip6_fault::none); // what follows is no header
    EXPECT_EQ(chain.offset, 48);
}

TEST(ip6_chain, a_router_reads_hop_by_hop_alone) {
    const auto look = [](const bytes& content) {
        return wire::ip6_walk_hop_by_hop(ip6({from, to, ip_protocol::hop_by_hop}, content));
    };
    const bytes bad = options_header(ip_protocol::udp, {0xff, 2, 0, 0}) + payload(8);
    EXPECT_EQ(
        look(options_header(ip_protocol::destination_options, {}) + bad).fault, ip6_fault::none);
    EXPECT_EQ(look(bad).fault, ip6_fault::problem);
    EXPECT_EQ(
        wire::ip6_walk_hop_by_hop(ip6({from, to, ip_protocol::destination_options}, bad)).fault,
        ip6_fault::none);
}

TEST(nd_options, reads_and_refuses) {
    using wire::nd_option_type;
    const bytes good = link_option(nd_option_type::source_link_address, mac(7)) +
                       bytes{5, 1, 0, 0, 0, 0, 5, 0xdc} + bytes{14, 1, 1, 2, 3, 4, 5, 6} +
                       bytes{99, 1, 0, 0, 0, 0, 0, 0};
    const auto options = wire::parse_nd_options(good);
    ASSERT_TRUE(options.has_value());
    EXPECT_EQ(options->source, mac(7));
    EXPECT_FALSE(options->target.has_value());
    EXPECT_EQ(options->mtu, 1500u);
    ASSERT_TRUE(options->nonce.has_value());
    EXPECT_EQ((*options->nonce)[5], 6);
    EXPECT_TRUE(wire::parse_nd_options({}).has_value());
    EXPECT_FALSE(wire::parse_nd_options(bytes{1, 0, 0, 0, 0, 0, 0, 0}).has_value());
    EXPECT_FALSE(wire::parse_nd_options(bytes{1, 2, 0, 0, 0, 0, 0, 0}).has_value());
    EXPECT_FALSE(wire::parse_nd_options(good + bytes{1}).has_value());
    EXPECT_FALSE(wire::parse_nd_options(
                     link_option(nd_option_type::source_link_address, wire::mac_broadcast))
                     .has_value());
}

TEST(nd_options, prefixes_are_bounded) {
    wire::nd_prefix_option prefix;
    prefix.prefix_length = 64;
    prefix.prefix = ip6_host(1, 2, 0);
    bytes one(sizeof prefix);
    std::memcpy(one.data(), &prefix, sizeof prefix);
    bytes many;
    for (unsigned i = 0; i < wire::nd_prefixes_max + 3; ++i) {
        many = many + one;
    }
    const auto options = wire::parse_nd_options(many);
    ASSERT_TRUE(options.has_value());
    EXPECT_EQ(options->prefix_count, wire::nd_prefixes_max);
    EXPECT_EQ(options->prefixes[0].prefix, ip6_host(1, 2, 0));
    bytes endless;
    for (unsigned i = 0; i <= wire::nd_options_max; ++i) {
        endless = endless + bytes{99, 1, 0, 0, 0, 0, 0, 0};
    }
    EXPECT_FALSE(wire::parse_nd_options(endless).has_value());
}

} // namespace
} // namespace pantala::test
