// Kills peers of a bus with SIGKILL at random moments, under traffic, and watches the survivors.
//
// usage: kill_soak [--kills N] [--victims N] [--seed N]
//
// The victims are processes of their own that join, send, read, arm, ring, stop and leave, all the
// time. The survivors are ports of this process: a lossy and a lossless sender and a receiver, on a
// bus whose logs are small, so that the lossless one always waits for somebody. Status 0 if
//
//   - no frame of a survivor was lost, and every frame that arrived was whole;
//   - nobody read a record that was none (a peer killed at any instruction leaves whole frames);
//   - no burst call of a survivor, and no wait of a sender between two frames it got rid of, took
//     longer than a scheduling quantum (100 ms, the kernel's sched_rr_timeslice_ms; it is what the
//     driver grants a reader that lives but is not running). Both count this thread's own CPU
//     time: that a busy machine ran somebody else meanwhile is no stall of the bus.
#include "tests/pmd/bus_rig.hpp"

#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"
#include "pmd/os/bus_bell.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

#include <csignal>
#include <rte_eal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace pantala::bus::test {
namespace {

constexpr std::uint8_t victims_mark = 0x5a; // last byte of a victim's source address
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr double slower = 10; // what a sanitizer's CPU time is worth
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr double slower = 10;
#else
constexpr double slower = 1;
#endif
#else
constexpr double slower = 1;
#endif
constexpr double quantum_ms = 100 * slower;
constexpr double slack_ms = 1; // between two calls
constexpr std::uint32_t burst_frames = 32;
constexpr std::uint32_t frame_bytes = 200;
constexpr int receive_turns = 1000;

// ---- the victim -------------------------------------------------------------------------------

// A frame that says of every byte what it should be.
void fill(std::uint8_t* to, std::uint32_t bytes, std::uint8_t seed) {
    std::memset(to, 0xff, 6);
    std::memset(to + 6, victims_mark, 6);
    for (std::uint32_t i = 12; i < bytes; ++i) {
        to[i] = static_cast<std::uint8_t>(seed + i);
    }
}
bool whole(const frame& bytes) {
    for (std::size_t i = 13; i < bytes.size(); ++i) {
        if (bytes[i] != static_cast<std::uint8_t>(bytes[12] + (i - 12))) {
            return false;
        }
    }
    return true;
}

struct victim {
    bus_node node;
    std::vector<log_writer> logs;
    std::vector<log_reader> peers;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> sources; // slot and log, as `peers`
    std::mt19937_64 random;

    void start() {
        const geometry& shape = node.map().shape;
        node_profile profile;
        profile.name = "victim";
        profile.tx_queues = static_cast<std::uint16_t>(1 + random() % 3);
        profile.rx_queues = static_cast<std::uint16_t>(1 + random() % 4);
        const std::uint32_t incarnation = node.begin_start(profile);
        const std::uint64_t log_bytes = shape.log_bytes(profile.tx_queues);
        logs.resize(profile.tx_queues * shape.lanes);
        for (std::uint32_t i = 0; i < logs.size(); ++i) {
            logs[i].start(
                node.map().control(node.slot(), i), node.map().data(node.slot()) + log_bytes * i,
                log_bytes, incarnation);
        }
        find_peers();
        node.announce();
    }
    void find_peers() {
        const bus_map& map = node.map();
        peers.clear();
        sources.clear();
        for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
            const std::uint32_t queues = map.node(slot).tx_queues.load();
            if (slot == node.slot() || queues == 0 || queues > map.shape.tx_queues_max() ||
                !node.file().admit(slot)) {
                continue;
            }
            const std::uint64_t log_bytes = map.shape.log_bytes(queues);
            for (std::uint32_t log = 0; log < queues * map.shape.lanes; ++log) {
                peers.emplace_back(
                    map.control(slot, log), map.data(slot) + log_bytes * log, log_bytes,
                    map.node(slot).incarnation.load());
                peers.back().skip_to_head();
                sources.emplace_back(slot, log);
                tell(peers.size() - 1);
            }
        }
    }
    void tell(std::size_t i) {
        node.map()
            .cursor(node.slot(), sources[i].first, sources[i].second)
            .value.store(cursor_word(peers[i].cursor(), peers[i].incarnation()));
    }
    void send() {
        log_writer& log = logs[random() % logs.size()];
        for (std::uint64_t count = random() % 40; count > 0; --count) {
            record_header header{};
            header.length = static_cast<std::uint32_t>(60 + random() % 1400);
            header.time_ns = wall_clock_ns();
            if (!log.fits(record_bytes(header.length))) {
                log.enter_chunk();
            }
            fill(log.append(header), header.length, static_cast<std::uint8_t>(random()));
        }
        log.publish();
        for (std::uint32_t slot = 0; slot < node.map().shape.nodes; ++slot) {
            if (node.map().node(slot).armed.load() != 0) {
                ring(node.map().node(slot), ~std::uint64_t{0});
            }
        }
    }
    void read() {
        record_header header;
        const std::uint8_t* bytes = nullptr;
        for (std::size_t i = 0; i < peers.size(); ++i) {
            log_reader& log = peers[i];
            if (!log.look()) {
                continue;
            }
            if (log.lost() || !log.same_incarnation()) {
                log.resume();
            }
            while (log.next(header, bytes) == next_record::frame) {
            }
            tell(i);
        }
    }
};

[[noreturn]] void live_as_victim(const std::string& path, std::uint64_t seed) {
    victim self;
    self.random.seed(seed);
    for (;;) {
        result<bus_file> file = open_bus(path, bus_access::peer);
        if (!file) {
            _exit(2);
        }
        result<bus_node> node = bus_node::join(*std::move(file), {});
        if (!node) {
            continue; // full: the dead are found by their locks sooner or later
        }
        self.node = *std::move(node);
        self.start();
        for (std::uint64_t turn = self.random() % 2000; turn > 0; --turn) {
            self.send();
            self.read();
            const std::uint64_t whim = self.random() % 64;
            if (whim == 0) {
                self.node.stop();
                self.start();
            } else if (whim == 1) {
                self.node.entry().armed.store(self.random());
                self.node.entry().arm_count.fetch_add(1);
            }
        }
        self.node.leave();
    }
}

// ---- the survivors ----------------------------------------------------------------------------

double cpu_ms() { // of this thread: a busy machine must not look like a stall
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// How often this thread gave its CPU away: slept in a call of the kernel, which CPU time cannot
// show.
std::uint64_t sleeps() {
    rusage used{};
    getrusage(RUSAGE_THREAD, &used);
    return static_cast<std::uint64_t>(used.ru_nvcsw);
}

// How long something took, of how many.
struct delays {
    double longest_ms = 0;
    std::uint64_t over_1_ms = 0;
    std::uint64_t over_10_ms = 0;

    void note(double ms) {
        longest_ms = std::max(longest_ms, ms);
        over_1_ms += ms > 1 ? 1 : 0;
        over_10_ms += ms > 10 ? 1 : 0;
    }
    bool bounded() const { return longest_ms <= quantum_ms + slack_ms; }
};

// All bursts of the survivors: the CPU they took, and whether they slept.
struct burst_calls {
    delays cpu;
    std::uint64_t count = 0;
    std::uint64_t slept = 0;

    template <class Burst>
    auto made(Burst&& burst) {
        const std::uint64_t slept_before = sleeps();
        const double before = cpu_ms();
        auto result = burst();
        cpu.note(cpu_ms() - before);
        slept += sleeps() - slept_before;
        ++count;
        return result;
    }
};

struct sender_check {
    const rig_port* port = nullptr;
    std::uint32_t flow = 0;
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    double waiting_since = -1;
    delays waits;

    void send(burst_calls& calls) {
        std::vector<frame> burst;
        for (std::uint32_t i = 0; i < burst_frames; ++i) {
            burst.push_back(udp_frame(flow, sent + i, frame_bytes));
        }
        const std::uint16_t taken = calls.made([&] { return port->send(burst); });
        const double after = cpu_ms();
        sent += taken;
        if (waiting_since >= 0) {
            waits.note(after - waiting_since);
        }
        if (taken == burst_frames) {
            waiting_since = -1;
        } else if (taken != 0 || waiting_since < 0) {
            waiting_since = after;
        }
    }
};

// Kills and replaces victims until told enough, in a thread of its own.
class killer {
  public:
    killer(std::string program, std::string path, unsigned victims, std::uint64_t seed)
        : program_(std::move(program)), path_(std::move(path)), random_(seed), pids_(victims) {}

    void run(std::uint64_t wanted) {
        for (pid_t& pid : pids_) {
            pid = spawn();
        }
        while (kills_.load(std::memory_order_relaxed) < wanted) {
            std::this_thread::sleep_for(std::chrono::microseconds(random_() % pause_max_us));
            pid_t& pid = pids_[random_() % pids_.size()];
            end(pid);
            kills_.fetch_add(1, std::memory_order_relaxed);
            pid = spawn();
        }
        for (const pid_t pid : pids_) {
            end(pid);
        }
        done_.store(true, std::memory_order_release);
    }
    std::uint64_t kills() const { return kills_.load(std::memory_order_relaxed); }
    bool done() const { return done_.load(std::memory_order_acquire); }

  private:
    static constexpr std::uint64_t pause_max_us = 20'000; // a victim starts within some 10 ms

    pid_t spawn() {
        const std::string number = std::to_string(random_());
        const std::array<const char*, 5> words = {
            program_.c_str(), "--victim", path_.c_str(), number.c_str(), nullptr};
        pid_t pid = -1;
        posix_spawn(
            &pid, program_.c_str(), nullptr, nullptr, const_cast<char* const*>(words.data()),
            environ);
        return pid;
    }
    static void end(pid_t pid) {
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
    }

    std::string program_;
    std::string path_;
    std::mt19937_64 random_;
    std::vector<pid_t> pids_;
    std::atomic<std::uint64_t> kills_{0};
    std::atomic<bool> done_{false};
};

struct soak {
    std::string path;
    std::string program;
    std::uint64_t kills_wanted = 200;
    unsigned victims = 4;
    std::uint64_t seed = 1;

    std::uint64_t foreign = 0; // frames of victims
    std::uint64_t torn = 0;
    std::uint64_t lost = 0;
    std::uint64_t expelled = 0;
    std::uint64_t garbled = 0;
    burst_calls calls;
    std::array<sender_check, 2> senders;

    void check(const frame& bytes) {
        if (bytes[11] == victims_mark) {
            ++foreign;
            torn += whole(bytes) ? 0 : 1;
            return;
        }
        for (sender_check& one : senders) {
            if (bytes[29] == one.flow) {
                const std::uint32_t number = number_of(bytes);
                lost += number - one.received;
                torn += bytes == udp_frame(one.flow, number, frame_bytes) ? 0 : 1;
                one.received = number + 1;
            }
        }
    }
    void receive(const rig_port& port, bool checked) {
        const auto packets = calls.made([&] { return port.receive_mbufs(); });
        for (rte_mbuf* const packet : packets) {
            if (checked) {
                check(bytes_of(packet));
            }
            rte_pktmbuf_free(packet);
        }
    }
    void traffic(killer& killing);
    int verdict(std::uint64_t kills) const;
    int run();
};

// The receiver reads until it has what the survivors sent: the victims could flood it else.
// The killing begins when they are there, however long their start takes.
void soak::traffic(killer& killing) {
    const rig_port lossy(path);
    const rig_port lossless(path, {.arguments = "flow=lossless"});
    const rig_port receiver(path);
    senders[0].port = &lossy;
    senders[0].flow = 1;
    senders[1].port = &lossless;
    senders[1].flow = 2;
    std::thread thread(&killer::run, &killing, kills_wanted);
    while (!killing.done()) {
        for (sender_check& one : senders) {
            one.send(calls);
        }
        const auto waits = [](const sender_check& one) { return one.received != one.sent; };
        for (int turn = 0; turn < receive_turns && std::ranges::any_of(senders, waits); ++turn) {
            receive(receiver, true);
        }
        receive(lossy, false);
        receive(lossless, false);
    }
    thread.join();
    for (const frame& bytes : receiver.receive()) {
        check(bytes);
    }
    lost += senders[0].sent - senders[0].received + senders[1].sent - senders[1].received;
    expelled = lossless.xstat("shmif_tx_expelled");
    garbled = receiver.xstat("shmif_rx_garbled");
}

int soak::verdict(std::uint64_t kills) const {
    std::printf(
        "kill_soak: %lu kills; survivors sent %u lossy and %u lossless frames: %lu lost, %lu torn, "
        "%lu records garbled; %lu frames of victims\n",
        kills, senders[0].sent, senders[1].sent, lost, torn, garbled, foreign);
    const delays& waits = senders[1].waits;
    std::printf(
        "kill_soak: longest of %lu bursts %.2f ms, %lu slept; the lossless sender's longest wait "
        "%.2f ms (at most %.0f "
        "allowed), %lu over 1 ms, %lu over 10 ms; %lu readers given up\n",
        calls.count, calls.cpu.longest_ms, calls.slept, waits.longest_ms, quantum_ms,
        waits.over_1_ms, waits.over_10_ms, expelled);
    const bool traffic = senders[0].sent > 1000 && senders[1].sent > 1000 && foreign > 0;
    // A sanitizer's shadow pages are faulted in at any time, which may sleep.
    const std::uint64_t may_sleep = slower > 1 ? calls.count / 100 : 0;
    const bool stalled = !calls.cpu.bounded() || calls.slept > may_sleep || !waits.bounded() ||
                         senders[0].waits.longest_ms > 0;
    const bool good = lost == 0 && torn == 0 && garbled == 0 && traffic && !stalled;
    std::printf(
        "kill_soak: %s%s\n", good ? "passed" : "FAILED",
        stalled ? ": a survivor stalled longer than a scheduling quantum" : "");
    return good ? 0 : 1;
}

int soak::run() {
    std::printf("kill_soak: seed %lu\n", seed);
    const result<void> made = create_bus(path, {.node_bytes = 4 << 20});
    if (!made) {
        std::fprintf(stderr, "kill_soak: %s\n", made.failure().text.c_str());
        return 1;
    }
    killer killing(program, path, victims, seed);
    traffic(killing);
    return verdict(killing.kills());
}

bool start_eal(const char* program) {
    const std::array<const char*, 9> words = {
        program,          "--no-huge", "--no-pci", "--no-shconf",        "--no-telemetry",
        "--iova-mode=va", "-m",        "192",      "--log-level=*:error"};
    return rte_eal_init(static_cast<int>(words.size()), const_cast<char**>(words.data())) >= 0;
}

} // namespace
} // namespace pantala::bus::test

int main(int argc, char** argv) {
    using namespace pantala::bus::test;
    if (argc == 4 && std::strcmp(argv[1], "--victim") == 0) {
        live_as_victim(argv[2], std::strtoull(argv[3], nullptr, 10));
    }
    soak all;
    all.program = "/proc/self/exe";
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
        if (std::strcmp(argv[i], "--kills") == 0) {
            all.kills_wanted = value;
        } else if (std::strcmp(argv[i], "--victims") == 0) {
            all.victims = static_cast<unsigned>(value);
        } else if (std::strcmp(argv[i], "--seed") == 0) {
            all.seed = value;
        }
    }
    const scratch_path path;
    all.path = path.string();
    if (!start_eal(argv[0])) {
        std::fprintf(stderr, "kill_soak: EAL does not start\n");
        return 1;
    }
    return all.run();
}
