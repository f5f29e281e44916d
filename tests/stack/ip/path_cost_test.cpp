// What the forwarding path costs in instructions: a count that no other program on the machine can
// disturb, unlike a time. A child process forwards one burst while its parent steps it through
// every instruction.
#include "tests/stack/ip/small_net.hpp"
#include "tests/stack/ip6/small_net6.hpp"

#include <csignal>
#include <cstdio>
#include <functional>

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pantala::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr bool counts_mean_something = false;
#elif defined(__has_feature)
constexpr bool counts_mean_something =
    !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool counts_mean_something = true;
#endif

constexpr long not_permitted = -1;

// Instructions of `work`, which runs in a child process, and of two raise().
long count_with_markers(const std::function<void()>& work) {
    const pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
            _exit(1);
        }
        std::raise(SIGSTOP);
        work();
        std::raise(SIGSTOP);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) {
        return not_permitted;
    }
    long count = 0;
    do {
        ++count;
        ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
        waitpid(child, &status, 0);
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    const bool whole = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    EXPECT_TRUE(whole) << "the path ended otherwise than at its end";
    return count;
}

long count_instructions(const std::function<void()>& work) {
    const long with = count_with_markers(work);
    return with == not_permitted ? with : with - count_with_markers([] {});
}

// A packet's share of the instructions of stack::input for a burst of them: everything between the
// receive and the transmit function of the ports.
long cost_of(mbuf_pool& pool, router& net, const bytes& frame) {
    // One less than a burst: it is gathered for the port, and the port is not yet called.
    constexpr unsigned packets = burst_max - 1;
    mbuf_burst burst;
    for (unsigned i = 0; i < packets; ++i) {
        burst.push(pool.packet(frame));
    }
    const long count = count_instructions([&] {
        mbuf_burst arrived = burst;
        net.worker_stack().input(port_id{0}, arrived, net.now());
    });
    for (rte_mbuf* packet : burst) {
        rte_pktmbuf_free(packet);
    }
    return count == not_permitted ? count : count / packets;
}

struct path_cost : testing::Test, small_net {
    long of(const bytes& frame) { return cost_of(pool, net, frame); }
};
struct path_cost6 : testing::Test, small_net6 {
    long of(const bytes& frame) { return cost_of(pool, net, frame); }
};

// Bounds are a fifth above what gcc 12 makes of it (90 and 105 on Zen 4; 142 for IPv6).
TEST_F(path_cost, of_a_forwarded_packet_is_bounded) {
    const long cost = of(udp_frame(to_router, ip4_fields{host, far_away}));
    if (cost == not_permitted || !counts_mean_something) {
        GTEST_SKIP() << "no process may be traced here, or this build is not optimized";
    }
    std::printf("%ld instructions a packet\n", cost);
    EXPECT_GT(cost, 40) << "nothing was forwarded";
    EXPECT_LE(cost, 106);
}

TEST_F(path_cost, of_a_padded_packet_is_bounded) {
    const long cost = of(udp_frame(to_router, ip4_fields{host, far_away}, 1));
    if (cost == not_permitted || !counts_mean_something) {
        GTEST_SKIP() << "no process may be traced here, or this build is not optimized";
    }
    std::printf("%ld instructions a packet\n", cost);
    EXPECT_GT(cost, 40) << "nothing was forwarded";
    EXPECT_LE(cost, 124);
}

TEST_F(path_cost6, of_a_forwarded_packet_is_bounded) {
    const long cost =
        of(ethernet(to_router, wire::ether_type::ipv6, datagram6({host, far_away}, 18)));
    if (cost == not_permitted || !counts_mean_something) {
        GTEST_SKIP() << "no process may be traced here, or this build is not optimized";
    }
    std::printf("%ld instructions a packet\n", cost);
    EXPECT_GT(cost, 50) << "nothing was forwarded";
    EXPECT_LE(cost, 171);
}

} // namespace
} // namespace pantala::test
