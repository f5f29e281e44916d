// tcp_soak FIRST COUNT: the seeds FIRST .. FIRST+COUNT-1. tcp_soak SEED: one seed with every packet
// printed. Ends with a count; exit status 1 if a seed failed.
#include "tests/stack/tcp/soak.hpp"

#include <cstdio>
#include <cstdlib>

#include <rte_eal.h>

int main(int argc, char** argv) {
    const char* eal[] = {
        argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",     "--iova-mode=va",
        "-m",    "192",       "--lcores", "0@0-1",       "--log-level=*:error"};
    if (argc < 2 || rte_eal_init(sizeof eal / sizeof *eal, const_cast<char**>(eal)) < 0) {
        std::fprintf(stderr, "usage: tcp_soak FIRST COUNT | tcp_soak SEED\n");
        return 2;
    }
    const std::uint64_t first = std::strtoull(argv[1], nullptr, 10);
    const std::uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    std::uint64_t failed = 0;
    std::uint64_t packets = 0;
    std::uint64_t virtual_ms = 0;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        const auto result = pantala::sim::soak(seed, argc > 2 ? nullptr : stdout);
        packets += result.packets;
        virtual_ms += result.virtual_ms;
        if (!result.failure.empty()) {
            ++failed;
            std::printf(
                "seed %llu: %s\n  world: %s\n", static_cast<unsigned long long>(seed),
                result.failure.c_str(), result.world.c_str());
        }
    }
    std::printf(
        "%llu seeds, %llu failed, %llu packets, %llu s of virtual time\n",
        static_cast<unsigned long long>(count), static_cast<unsigned long long>(failed),
        static_cast<unsigned long long>(packets),
        static_cast<unsigned long long>(virtual_ms / 1000));
    return failed == 0 ? 0 : 1;
}
