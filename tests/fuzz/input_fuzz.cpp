// libFuzzer: whatever arrives on a port. The input is a row of frames, each behind two bytes: its
// length (low 11 bits), the port (one bit), and whether time passes first (one bit). A fault is a
// crash, a sanitizer's report, a broken invariant, or an mbuf that did not come back.
#include "tests/harness/packets6.hpp"
#include "tests/harness/router.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include <rte_eal.h>
#include <sched.h>

namespace {

using namespace pantala;
using namespace pantala::test;

// One router for the whole run: state that earlier inputs left behind is part of the game.
struct bench {
    mbuf_pool pool;
    router net{pool};

    bench() {
        const iface_id inside = net.add_iface(0, {"10.0.0.1/24"});
        const iface_id outside = net.add_iface(1, {"10.0.1.1/24"});
        iface tagged;
        tagged.vlan = 5;
        tagged.mtu = 600;
        net.add_iface(1, {"10.0.5.1/24"}, tagged);
        net.add_route("192.0.2.0/24", {"10.0.1.2"});
        net.add_route("198.51.100.0/24", {"10.0.1.2", "10.0.1.3", "10.0.5.2"});
        net.learn(inside, ip(10, 0, 0, 2), mac(0x10));
        net.learn(outside, ip(10, 0, 1, 2), mac(0x20));
        net.add_address6(inside, "2001:db8:1::1/64");
        net.add_address6(outside, "2001:db8:2::1/64");
        net.add_route6("2001:db8:100::/40", {"2001:db8:2::2"});
        net.add_route6("2001:db8:200::/40", {"2001:db8:2::2", "2001:db8:2::3"});
        net.learn6(inside, ip6_host(1, 0, 2), mac(0x10));
        net.learn6(outside, ip6_host(2, 0, 2), mac(0x20));
    }
};

bench& the_bench() {
    static auto made = std::make_unique<bench>();
    return *made;
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char*** argv) {
    const std::string lcore = "0@(" + std::to_string(sched_getcpu()) + ")";
    const char* arguments[] = {(*argv)[0], "--no-huge",   "--no-pci",           "--no-shconf",
                               "-m",       "256",         "--no-telemetry",     "--iova-mode=va",
                               "--lcores", lcore.c_str(), "--log-level=*:error"};
    if (rte_eal_init(static_cast<int>(std::size(arguments)), const_cast<char**>(arguments)) < 0) {
        std::abort();
    }
    the_bench();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    router& net = the_bench().net;
    while (size >= 2) {
        const unsigned head = data[0] | data[1] << 8;
        const std::size_t length = std::min<std::size_t>(head & 0x7ff, size - 2);
        if ((head & 0x1000) != 0) {
            net.advance(ns_per_s);
        }
        if (length > 0) {
            net.receive((head >> 11) & 1, bytes(data + 2, data + 2 + length));
        }
        data += 2 + length;
        size -= 2 + length;
    }
    net.run();
    net.sent(0);
    net.sent(1);
    return 0;
}
