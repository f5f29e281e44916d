#include "engine/setup/launch.hpp"

#include "engine/base/check.hpp"
#include "engine/idle/doorbell.hpp"
#include "engine/ids.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string_view>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_pdump.h>
#include <sched.h>
#include <unistd.h>

namespace pantala {

namespace {

bool given(const std::vector<std::string>& eal, std::initializer_list<std::string_view> options) {
    return std::any_of(eal.begin(), eal.end(), [&](const std::string& argument) {
        return std::any_of(options.begin(), options.end(), [&](std::string_view option) {
            const bool is_long = option.substr(0, 2) == "--";
            return argument == option ||
                   (is_long && argument.starts_with(std::string(option) + "=")) ||
                   (!is_long && argument.size() > 2 && argument.starts_with(option));
        });
    });
}

std::vector<unsigned> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<unsigned> cpus;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        const long present = sysconf(_SC_NPROCESSORS_CONF); // the mask may name more
        for (unsigned cpu = 0; cpu < static_cast<unsigned>(std::max(present, 1l)); ++cpu) {
            if (CPU_ISSET(cpu, &set)) {
                cpus.push_back(cpu);
            }
        }
    }
    return cpus.empty() ? std::vector<unsigned>{0} : cpus;
}

std::string lcores_option(unsigned workers) {
    const std::vector<unsigned> cpus = allowed_cpus();
    const auto count = static_cast<unsigned>(cpus.size());
    if (workers == 0) {
        workers = std::max(1u, count - 1);
    }
    std::string option = "--lcores=0@(";
    for (unsigned i = 0; i < count; ++i) {
        option += (i == 0 ? "" : ",") + std::to_string(cpus[i]);
    }
    option += ")";
    // The first CPU, which has most of the interrupts, comes last.
    for (unsigned i = 0; i < workers; ++i) {
        option += "," + std::to_string(i + 1) + "@" + std::to_string(cpus[(i + 1) % count]);
    }
    return option;
}

unsigned long read_number(const std::filesystem::path& file) {
    std::ifstream stream(file);
    unsigned long value = 0;
    stream >> value;
    return stream ? value : 0;
}

// Free hugepages of any size. (memfd gives them to any user, so no mount is asked for.)
bool has_hugepages() {
    std::error_code ignored;
    for (const auto& size :
         std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
        if (read_number(size.path() / "free_hugepages") != 0) {
            return true;
        }
    }
    return false;
}

std::string start_advice(int code) {
    switch (code) {
    case EACCES:
    case EPERM:
        return "it was not permitted something; run as root, or leave out PCI devices (-a) and "
               "hugepages (--no-huge)";
    case ENOMEM:
        return "there is not enough memory; lower -m, or free hugepages";
    case EALREADY:
        return "it was started before in this process, which it allows once";
    case EINVAL:
        return "it refuses one of its options; it names it above, and --help lists them";
    case ENODEV:
        return "a device named by --vdev or -a does not exist or its driver is not linked; "
               "shared drivers are loaded with -d";
    default:
        return "its own lines above say more";
    }
}

} // namespace

std::vector<std::string> eal_arguments(const launch_settings& settings) {
    const std::vector<std::string>& eal = settings.eal;
    std::vector<std::string> arguments = {settings.program};
    if (!given(eal, {"-l", "-c", "--lcores", "-s", "-S"})) {
        arguments.push_back(lcores_option(settings.workers));
    }
    const bool memory_chosen = given(
        eal, {"--no-huge", "--huge-dir", "--socket-mem", "--numa-mem", "--single-file-segments",
              "--in-memory", "--huge-unlink"});
    const bool small_pages = given(eal, {"--no-huge"}) || (!memory_chosen && !has_hugepages());
    if (small_pages && !memory_chosen) {
        arguments.emplace_back("--no-huge");
    }
    if (small_pages && !given(eal, {"-m", "--memory-size"})) {
        arguments.push_back("-m" + std::to_string(settings.memory_mb));
    }
    // EAL refuses --in-memory beside --no-huge; without hugepages the shared files are all there
    // is.
    if (!given(
            eal, {"--in-memory", "--file-prefix", "--proc-type", "--huge-unlink", "--huge-dir",
                  "--no-shconf"})) {
        arguments.emplace_back(small_pages ? "--no-shconf" : "--in-memory");
    }
    if (!given(eal, {"-a", "--allow", "-b", "--block", "--no-pci"})) {
        arguments.emplace_back("--no-pci");
        if (small_pages && !given(eal, {"--iova-mode"})) {
            arguments.emplace_back("--iova-mode=va");
        }
    }
    if (!given(eal, {"--telemetry", "--no-telemetry"})) {
        arguments.emplace_back("--no-telemetry");
    }
    if (!given(eal, {"--log-level"})) {
        arguments.emplace_back("--log-level=*:warning");
    }
    arguments.insert(arguments.end(), eal.begin(), eal.end());
    return arguments;
}

namespace {

// dpdk-dumpcap captures from a process whose memory and configuration it can attach to, and that
// answers it. (Takes 4 MB, so only where somebody could ask.)
void allow_captures(const std::vector<std::string>& arguments) {
    if (given(arguments, {"--no-huge", "--in-memory", "--no-shconf"}) ||
        rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return;
    }
    if (rte_pdump_init() != 0) {
        std::fprintf(stderr, "pantala: no captures by dpdk-dumpcap: %s\n", rte_strerror(rte_errno));
    }
}

} // namespace

result<std::unique_ptr<eal_session>> eal_session::start(const launch_settings& settings) {
    if (settings.workers > workers_max) {
        return error{
            EINVAL, std::to_string(settings.workers) + " workers are too many; at most " +
                        std::to_string(workers_max)};
    }
    std::unique_ptr<eal_session> session(new eal_session);
    session->arguments_ = eal_arguments(settings);
    for (std::string& argument : session->arguments_) {
        session->argv_.push_back(argument.data());
    }
    const auto count = static_cast<int>(session->argv_.size());
    session->argv_.push_back(nullptr);
    if (rte_eal_init(count, session->argv_.data()) < 0) {
        const int code = rte_errno;
        session->argv_.clear(); // not running
        return error{
            code,
            std::string("EAL does not start (") + std::strerror(code) + "): " + start_advice(code)};
    }
    allow_captures(session->arguments_);
    return session;
}

eal_session::~eal_session() {
    if (!argv_.empty()) {
        rte_eal_cleanup();
    }
}

std::vector<worker_place> worker_places() {
    std::vector<worker_place> places;
    unsigned lcore = 0;
    RTE_LCORE_FOREACH_WORKER(lcore) {
        worker_place place{.lcore = lcore, .shared_cpu = false};
        const rte_cpuset_t own = rte_lcore_cpuset(lcore);
        unsigned other = 0;
        RTE_LCORE_FOREACH_WORKER(other) {
            rte_cpuset_t both = rte_lcore_cpuset(other);
            CPU_AND(&both, &both, &own);
            place.shared_cpu |= other != lcore && CPU_COUNT(&both) != 0;
        }
        places.push_back(place);
    }
    // Control's lcore may float over all CPUs, but only one allowed CPU is shared with it for sure.
    const rte_cpuset_t main = rte_lcore_cpuset(rte_get_main_lcore());
    for (worker_place& place : places) {
        rte_cpuset_t both = rte_lcore_cpuset(place.lcore);
        CPU_AND(&both, &both, &main);
        place.shared_cpu |= CPU_EQUAL(&both, &main) != 0;
    }
    return places;
}

namespace {

// A signal handler has no other way to its object.
std::atomic<doorbell*> stop_bell{nullptr};
std::atomic<bool> stop_requested{false};
static_assert(std::atomic<doorbell*>::is_always_lock_free);

constexpr std::array<int, 2> stop_signal_numbers = {SIGINT, SIGTERM};
std::array<struct sigaction, stop_signal_numbers.size()> previous_actions;

void on_stop_signal(int) {
    stop_requested.store(true, std::memory_order_relaxed);
    if (doorbell* bell = stop_bell.load(std::memory_order_acquire)) { // with the constructor
        bell->ring();
    }
}

} // namespace

stop_signals::stop_signals() {
    PANTALA_ASSERT(stop_bell.load(std::memory_order_relaxed) == nullptr);
    static doorbell bell; // a handler may still hold it when this object is gone
    bell.disarm();        // what was asked of an earlier one is forgotten
    stop_requested.store(false, std::memory_order_relaxed);
    stop_bell.store(&bell, std::memory_order_release); // with on_stop_signal
    struct sigaction action {};
    action.sa_handler = on_stop_signal;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < stop_signal_numbers.size(); ++i) {
        sigaction(stop_signal_numbers[i], &action, &previous_actions[i]);
    }
}

stop_signals::~stop_signals() {
    for (std::size_t i = 0; i < stop_signal_numbers.size(); ++i) {
        sigaction(stop_signal_numbers[i], &previous_actions[i], nullptr);
    }
    stop_bell.store(nullptr, std::memory_order_relaxed);
}

int stop_signals::fd() const {
    return stop_bell.load(std::memory_order_relaxed)->fd();
}

bool stop_signals::requested() const {
    return stop_requested.load(std::memory_order_relaxed);
}

void stop_signals::request() {
    on_stop_signal(0);
}

} // namespace pantala
