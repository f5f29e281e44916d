// Starts EAL with two workers and one shared CPU set; the tests make their ports themselves.
#include "engine/setup/launch.hpp"

#include <cstdio>

#include <gtest/gtest.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const auto session = pantala::eal_session::start(
        {.program = argv[0], .workers = 2, .memory_mb = 192, .eal = {"--no-huge"}});
    if (!session) {
        std::fprintf(stderr, "%s\n", session.failure().text.c_str());
        return 1;
    }
    return RUN_ALL_TESTS();
}
