// Starts EAL once for a test program: no root, no hugepages, no PCI, nothing left on disk.
#include <cstdio>
#include <vector>

#include <gtest/gtest.h>
#include <rte_eal.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    std::vector<const char*> eal = {
        argv[0], "--no-huge", "--no-pci", "--in-memory", "--no-telemetry", "--iova-mode=va",
        "-m",    "192",       "--lcores", "0@0-127",     "--log-level=*:4"};
    if (rte_eal_init(static_cast<int>(eal.size()), const_cast<char**>(eal.data())) < 0) {
        std::fprintf(stderr, "EAL does not start\n");
        return 1;
    }
    return RUN_ALL_TESTS();
}
