// What recvmsg tells beside a datagram, and what sendmsg is told.
#include "tests/stack/socket/running_host.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include <netinet/ip.h>
#include <poll.h>
#include <rte_mbuf.h>

namespace pantala::test {
namespace {

struct bsd_ancillary : with_host<2> {
    static int open(int domain, std::uint16_t port) {
        const int made = bsd::socket(domain, SOCK_DGRAM, 0);
        sockaddr_in6 all{};
        all.sin6_family = AF_INET6;
        all.sin6_port = __builtin_bswap16(port);
        EXPECT_EQ(
            0, domain == AF_INET
                   ? bsd::bind(made, plain(at(port, "0.0.0.0")), sizeof(sockaddr_in))
                   : bsd::bind(made, reinterpret_cast<const sockaddr*>(&all), sizeof all));
        return made;
    }
    static void want(int socket, int level, int name) {
        const int on = 1;
        EXPECT_EQ(0, bsd::setsockopt(socket, level, name, &on, sizeof on)) << name;
        int got = 0;
        socklen_t length = sizeof got;
        EXPECT_EQ(0, bsd::getsockopt(socket, level, name, &got, &length));
        EXPECT_EQ(1, got);
    }
};

using came_with = std::map<std::pair<int, int>, std::string>; // by level and type

// Receives one datagram with so much room for what is told beside it.
came_with receive(int socket, std::size_t room, int& flags) {
    alignas(cmsghdr) std::array<char, 256> control;
    char bytes[100];
    iovec one{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = room;
    EXPECT_EQ(3, bsd::recvmsg(socket, &message, 0)) << errno;
    flags = message.msg_flags;
    came_with all;
    for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
        all[{at->cmsg_level, at->cmsg_type}].assign(
            reinterpret_cast<const char*>(CMSG_DATA(at)), at->cmsg_len - CMSG_LEN(0));
    }
    return all;
}

template <class T>
T as(const std::string& bytes) {
    T value{};
    EXPECT_EQ(sizeof value, bytes.size());
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
}

ssize_t send_abc(int from, std::uint16_t port, const char* address = "10.0.0.2") {
    return bsd::sendto(from, "abc", 3, 0, plain(at(port, address)), sizeof(sockaddr_in));
}

// With one piece of ancillary data.
template <class T>
ssize_t send_abc_with(int from, std::uint16_t port, int level, int type, const T& value) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(T))> control{};
    cmsghdr head{};
    head.cmsg_len = CMSG_LEN(sizeof value);
    head.cmsg_level = level;
    head.cmsg_type = type;
    std::memcpy(control.data(), &head, sizeof head);
    std::memcpy(control.data() + CMSG_LEN(0), &value, sizeof value);
    char bytes[] = "abc";
    iovec one{bytes, 3};
    sockaddr_in to = at(port);
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    return bsd::sendmsg(from, &message, 0);
}

TEST_F(bsd_ancillary, TellsWhereItWasSentTo) {
    const int server = open(AF_INET, 53);
    const int client = open(AF_INET, 5'353);
    int flags = 0;
    EXPECT_EQ(3, send_abc(client, 53));
    EXPECT_TRUE(receive(server, 256, flags).empty()); // nobody has asked
    EXPECT_EQ(0, flags);
    want(server, IPPROTO_IP, IP_PKTINFO);
    want(server, IPPROTO_IP, IP_RECVTOS);
    want(server, IPPROTO_IP, IP_RECVTTL);
    for (const char* address : {"10.0.0.2", "10.0.0.3"}) {
        EXPECT_EQ(3, send_abc(client, 53, address));
        const came_with all = receive(server, 256, flags);
        ASSERT_EQ(3U, all.size());
        const auto info = as<in_pktinfo>(all.at({IPPROTO_IP, IP_PKTINFO}));
        EXPECT_EQ(at(1, address).sin_addr.s_addr, info.ipi_addr.s_addr);
        EXPECT_EQ(at(1, address).sin_addr.s_addr, info.ipi_spec_dst.s_addr);
        EXPECT_EQ(64, as<int>(all.at({IPPROTO_IP, IP_TTL})));
        EXPECT_EQ(0, as<std::uint8_t>(all.at({IPPROTO_IP, IP_TOS})));
        EXPECT_EQ(0, flags);
    }
    EXPECT_EQ(3, send_abc(client, 53));
    EXPECT_EQ(1U, receive(server, CMSG_SPACE(sizeof(in_pktinfo)), flags).size());
    EXPECT_EQ(MSG_CTRUNC, flags);
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

// "abc" from 10.0.0.7, as a neighbour would send it.
void arrives(net_host& host, const char* to, std::uint8_t tos, std::uint8_t ttl) {
    std::array<std::uint8_t, 31> bytes{0x45, tos, 0, 31, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 7};
    inet_pton(AF_INET, to, bytes.data() + 16);
    constexpr std::array<std::uint8_t, 11> udp{0x14, 0xe9, 0, 53, 0, 11, 0, 0, 'a', 'b', 'c'};
    std::copy(udp.begin(), udp.end(), bytes.begin() + 20); // no checksum
    rte_mbuf* packet = rte_pktmbuf_alloc(bsd_ancillary::host->pool.get());
    ASSERT_NE(nullptr, packet);
    packet->l3_len = 20;
    std::memcpy(rte_pktmbuf_append(packet, bytes.size()), bytes.data(), bytes.size());
    mbuf_burst one;
    one.push(packet);
    host.udp.input(one);
    ASSERT_TRUE(one.empty());
}

// An answer "from where it was sent to" must be possible: a group's address is none to send from.
TEST_F(bsd_ancillary, TellsWhatThePacketSays) {
    const int server = open(AF_INET, 53);
    want(server, IPPROTO_IP, IP_PKTINFO);
    want(server, IPPROTO_IP, IP_RECVTOS);
    want(server, IPPROTO_IP, IP_RECVTTL);
    const auto worker = bsd::doors().back();
    for (const char* address : {"10.0.0.3", "10.0.0.255", "255.255.255.255", "224.0.0.1"}) {
        EXPECT_EQ(0, bsd::on_worker(*worker, [&](net_host& of) {
                      arrives(of, address, 0xb9, 17);
                      return 0;
                  }));
        int flags = 0;
        const came_with all = receive(server, 256, flags);
        EXPECT_EQ(0xb9, as<std::uint8_t>(all.at({IPPROTO_IP, IP_TOS})));
        EXPECT_EQ(17, as<int>(all.at({IPPROTO_IP, IP_TTL})));
        const auto info = as<in_pktinfo>(all.at({IPPROTO_IP, IP_PKTINFO}));
        const bool ours = std::string_view(address) == "10.0.0.3";
        EXPECT_EQ(at(1, address).sin_addr.s_addr, info.ipi_addr.s_addr);
        EXPECT_EQ(ours ? info.ipi_addr.s_addr : 0, info.ipi_spec_dst.s_addr) << address;
        EXPECT_EQ(3, send_abc_with(server, 5'353, IPPROTO_IP, IP_PKTINFO, info)) << errno;
    }
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_ancillary, AnIPv6SocketHearsOfBothFamilies) {
    const int server = open(AF_INET6, 53);
    const int client = open(AF_INET, 5'353);
    want(server, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    want(server, IPPROTO_IPV6, IPV6_RECVTCLASS);
    want(server, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
    EXPECT_EQ(3, send_abc(client, 53));
    int flags = 0;
    const came_with all = receive(server, 256, flags);
    ASSERT_EQ(3U, all.size());
    const auto info = as<in6_pktinfo>(all.at({IPPROTO_IPV6, IPV6_PKTINFO}));
    EXPECT_TRUE(IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr));
    EXPECT_EQ(64, as<int>(all.at({IPPROTO_IPV6, IPV6_HOPLIMIT})));
    EXPECT_EQ(0, as<int>(all.at({IPPROTO_IPV6, IPV6_TCLASS})));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_ancillary, SaysWhereItShallComeFrom) {
    const int server = open(AF_INET, 53);
    const int client = open(AF_INET, 5'353);
    for (const char* address : {"10.0.0.3", "10.0.0.2", "0.0.0.0"}) {
        in_pktinfo info{};
        info.ipi_spec_dst = at(1, address).sin_addr;
        EXPECT_EQ(3, send_abc_with(client, 53, IPPROTO_IP, IP_PKTINFO, info)) << errno;
        sockaddr_in from{};
        socklen_t length = sizeof from;
        char bytes[10];
        EXPECT_EQ(
            3, bsd::recvfrom(
                   server, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length));
        if (info.ipi_spec_dst.s_addr != 0) {
            EXPECT_EQ(info.ipi_spec_dst.s_addr, from.sin_addr.s_addr);
        }
    }
    in_pktinfo strange{};
    strange.ipi_spec_dst = at(1, "10.0.0.9").sin_addr;
    EXPECT_EQ(3, send_abc_with(client, 53, IPPROTO_IP, IP_PKTINFO, strange));
    pollfd wait{client, POLLIN, 0}; // that it is not ours is told later
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    char byte = 0;
    expect_error(EADDRNOTAVAIL, bsd::recv(client, &byte, 1, 0));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

int set(int socket, int level, int name, int value) {
    return bsd::setsockopt(socket, level, name, &value, sizeof value);
}
int get(int socket, int level, int name) {
    int value = -7;
    socklen_t length = sizeof value;
    EXPECT_EQ(0, bsd::getsockopt(socket, level, name, &value, &length)) << errno;
    return value;
}

TEST_F(bsd_ancillary, TosAndTtlAreChosenForAllOrForOne) {
    const int server = open(AF_INET, 53);
    const int client = open(AF_INET, 5'353);
    want(server, IPPROTO_IP, IP_RECVTOS);
    want(server, IPPROTO_IP, IP_RECVTTL);
    const auto came = [&](std::uint8_t tos, int ttl) {
        int flags = 0;
        const came_with all = receive(server, 256, flags);
        EXPECT_EQ(tos, as<std::uint8_t>(all.at({IPPROTO_IP, IP_TOS})));
        EXPECT_EQ(ttl, as<int>(all.at({IPPROTO_IP, IP_TTL})));
    };
    EXPECT_EQ(0, get(client, IPPROTO_IP, IP_TOS));
    EXPECT_EQ(64, get(client, IPPROTO_IP, IP_TTL)); // the host's
    EXPECT_EQ(0, set(client, IPPROTO_IP, IP_TOS, 0xb8));
    EXPECT_EQ(0, set(client, IPPROTO_IP, IP_TTL, 3));
    EXPECT_EQ(0xb8, get(client, IPPROTO_IP, IP_TOS));
    EXPECT_EQ(3, get(client, IPPROTO_IP, IP_TTL));
    EXPECT_EQ(3, send_abc(client, 53));
    came(0xb8, 3);
    EXPECT_EQ(3, send_abc_with(client, 53, IPPROTO_IP, IP_TOS, 2)); // ECN, as QUIC does
    came(2, 3);
    EXPECT_EQ(3, send_abc_with(client, 53, IPPROTO_IP, IP_TOS, std::uint8_t{1}));
    came(1, 3);
    EXPECT_EQ(3, send_abc_with(client, 53, IPPROTO_IP, IP_TTL, 255));
    came(0xb8, 255);
    const std::uint8_t octet = 0x10; // ip(7): one byte will do
    EXPECT_EQ(0, bsd::setsockopt(client, IPPROTO_IP, IP_TOS, &octet, 1));
    EXPECT_EQ(0, set(client, IPPROTO_IP, IP_TTL, -1));
    EXPECT_EQ(3, send_abc(client, 53));
    came(0x10, 64);
    expect_error(EINVAL, set(client, IPPROTO_IP, IP_TTL, 0));
    expect_error(EINVAL, set(client, IPPROTO_IP, IP_TTL, 256));
    expect_error(EINVAL, set(client, IPPROTO_IP, IP_TOS, 256));
    expect_error(ENOPROTOOPT, set(client, IPPROTO_IPV6, IPV6_TCLASS, 1));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_ancillary, SoAreTrafficClassAndHopLimit) {
    const int server = open(AF_INET, 53);
    const int client = open(AF_INET6, 5'353);
    want(server, IPPROTO_IP, IP_RECVTOS);
    want(server, IPPROTO_IP, IP_RECVTTL);
    EXPECT_EQ(0, set(client, IPPROTO_IPV6, IPV6_TCLASS, 0x28));
    EXPECT_EQ(0, set(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9));
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = __builtin_bswap16(53);
    inet_pton(AF_INET6, "::ffff:10.0.0.2", &to.sin6_addr);
    EXPECT_EQ(
        3, bsd::sendto(client, "abc", 3, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to));
    int flags = 0;
    const came_with all = receive(server, 256, flags);
    EXPECT_EQ(0x28, as<std::uint8_t>(all.at({IPPROTO_IP, IP_TOS})));
    EXPECT_EQ(9, as<int>(all.at({IPPROTO_IP, IP_TTL})));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_ancillary, MisuseIsAnError) {
    const int client = open(AF_INET, 5'353);
    in_pktinfo info{};
    info.ipi_ifindex = 1;
    expect_error(ENODEV, send_abc_with(client, 53, IPPROTO_IP, IP_PKTINFO, info));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IP, IP_PKTINFO, 1));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IP, IP_TTL, 0));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IP, IP_TTL, std::uint8_t{9}));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IP, IP_TOS, 256));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IP, IP_RECVTTL, 1));
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_UDP, 103, std::uint16_t{1})); // GSO
    expect_error(EINVAL, send_abc_with(client, 53, IPPROTO_IPV6, IPV6_PKTINFO, in6_pktinfo{}));
    char bytes[] = "abc";
    iovec one{bytes, 3};
    sockaddr_in to = at(53);
    for (const std::size_t length : {std::size_t{8}, sizeof(cmsghdr) + 100}) {
        cmsghdr head{};
        head.cmsg_len = length;
        head.cmsg_level = IPPROTO_IP;
        head.cmsg_type = IP_PKTINFO;
        msghdr message{&to, sizeof to, &one, 1, &head, sizeof head, 0};
        expect_error(EINVAL, bsd::sendmsg(client, &message, 0));
    }
    msghdr nowhere{&to, sizeof to, &one, 1, nullptr, 100, 0};
    expect_error(EFAULT, bsd::sendmsg(client, &nowhere, 0));
    const int on = 1;
    const int stream = bsd::socket(AF_INET, SOCK_STREAM, 0);
    const int six = bsd::socket(AF_INET6, SOCK_DGRAM, 0);
    expect_error(ENOPROTOOPT, bsd::setsockopt(stream, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
    expect_error(ENOPROTOOPT, bsd::setsockopt(six, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
    expect_error(
        ENOPROTOOPT, bsd::setsockopt(client, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on));
    for (const int number : {client, stream, six}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

} // namespace
} // namespace pantala::test
