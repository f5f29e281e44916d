// The virtual wires that bus_bench compares: each a pair of ethdev ports joined back to back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <rte_mempool.h>

namespace pantala::bench {

struct wire {
    std::string name;            // as it appears in benchmark names
    std::uint16_t near = 0;      // port of the measuring lcore
    std::uint16_t far = 0;       // port of the other one
    rte_mempool* pool = nullptr; // of the sender
};

// Makes every wire that this machine can carry; says on stderr why another is missing.
std::vector<wire> make_wires(const std::string& directory);

} // namespace pantala::bench
