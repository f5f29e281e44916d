// Starts EAL once for a test program: no root, no hugepages, no PCI, nothing left on disk.
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

namespace {

// One lcore that floats over every CPU this process may use: tests never pin themselves.
std::string lcores_argument() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::string cpus;
    const int present = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)); // the mask may name more
    for (int cpu = 0; cpu < present; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
        }
    }
    return "0@(" + cpus + ")";
}

} // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const std::string lcores = lcores_argument();
    const std::vector<const char*> eal = {
        argv[0], "--no-huge", "--no-pci", "--no-shconf",  "--no-telemetry",     "--iova-mode=va",
        "-m",    "192",       "--lcores", lcores.c_str(), "--log-level=*:error"};
    if (rte_eal_init(static_cast<int>(eal.size()), const_cast<char**>(eal.data())) < 0) {
        std::fprintf(stderr, "EAL does not start\n");
        return 1;
    }
    return RUN_ALL_TESTS();
}
