// Starts EAL by eal_session itself, with two workers that share CPUs where there are only two: the
// program behind the tests of a running engine.
#include "engine/setup/launch.hpp"

#include <cstdio>

#include <gtest/gtest.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const auto session = pantala::eal_session::start(
        {.program = argv[0],
         .workers = 2,
         .memory_mb = 192,
         .eal = {
             "--no-huge", "--vdev=net_ring0", "--vdev=net_ring1", "--vdev=net_ring2",
             "--vdev=net_null0,no-rx=1", "--vdev=net_null1,no-rx=1"}});
    if (!session) {
        std::fprintf(stderr, "%s\n", session.failure().text.c_str());
        return 1;
    }
    return RUN_ALL_TESTS();
}
