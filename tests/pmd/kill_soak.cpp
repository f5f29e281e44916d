// Kills peers of a bus with SIGKILL at random moments, under traffic, and watches the survivors.
//
// usage: kill_soak [--kills N] [--victims N] [--seed N]
//
// The victims are processes of their own that join, send, read, arm, ring, stop and leave, all the
// time. The survivors are ports of this process: a lossy and a lossless sender and a receiver. At
// the end: no frame of a survivor was lost, every frame that arrived was whole, and the longest
// time that the lossless sender had to wait is printed. Status 0 if all of that holds.
#include "tests/pmd/bus_rig.hpp"

#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"
#include "pmd/os/bus_bell.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>

#include <csignal>
#include <rte_eal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace pantala::bus::test {
namespace {

constexpr std::uint8_t victims_mark = 0x5a; // last byte of a victim's source address
constexpr double quantum_ms = 100; // a waiting sender gives a standing reader up after this

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
            }
        }
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
            node.map()
                .cursor(node.slot(), sources[i].first, sources[i].second)
                .value.store(cursor_word(log.cursor(), log.incarnation()));
        }
        for (std::uint32_t queue = 0; queue < node.map().shape.lanes; ++queue) {
            node.map().beat(node.slot(), queue).value.fetch_add(1);
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

struct sender_check {
    const rig_port* port = nullptr;
    std::uint32_t flow = 0;
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    double waiting_since = -1;
    double longest_ms = 0;

    void send() {
        std::vector<frame> burst;
        for (std::uint32_t i = 0; i < 8; ++i) {
            burst.push_back(udp_frame(flow, sent + i, 200));
        }
        const std::uint16_t taken = port->send(burst);
        sent += taken;
        if (taken == 8) {
            waiting_since = -1;
        } else if (waiting_since < 0) {
            waiting_since = cpu_ms();
        } else {
            longest_ms = std::max(longest_ms, cpu_ms() - waiting_since);
        }
    }
};

struct soak {
    std::string path;
    std::string program;
    std::uint64_t kills_wanted = 200;
    unsigned victims = 4;
    std::uint64_t seed = 1;

    std::vector<pid_t> pids;
    std::mt19937_64 random;
    std::uint64_t kills = 0;
    std::uint64_t foreign = 0; // frames of victims
    std::uint64_t torn = 0;
    std::uint64_t lost = 0;

    pid_t spawn() {
        const std::string number = std::to_string(random());
        const std::array<const char*, 5> words = {
            program.c_str(), "--victim", path.c_str(), number.c_str(), nullptr};
        pid_t pid = -1;
        posix_spawn(
            &pid, program.c_str(), nullptr, nullptr, const_cast<char* const*>(words.data()),
            environ);
        return pid;
    }
    void kill_one() {
        pid_t& pid = pids[random() % pids.size()];
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        ++kills;
        pid = spawn();
    }
    void check(const frame& bytes, std::array<sender_check, 2>& senders) {
        if (bytes[11] == victims_mark) {
            ++foreign;
            torn += whole(bytes) ? 0 : 1;
            return;
        }
        for (sender_check& one : senders) {
            if (bytes[29] == one.flow) {
                const std::uint32_t number = number_of(bytes);
                lost += number - one.received;
                torn += bytes == udp_frame(one.flow, number, 200) ? 0 : 1;
                one.received = number + 1;
            }
        }
    }
    int run();
};

int soak::run() {
    random.seed(seed);
    const rig_port lossy(path);
    const rig_port lossless(path, {.arguments = "flow=lossless"});
    const rig_port receiver(path);
    std::array<sender_check, 2> senders;
    senders[0].port = &lossy;
    senders[0].flow = 1;
    senders[1].port = &lossless;
    senders[1].flow = 2;
    for (unsigned i = 0; i < victims; ++i) {
        pids.push_back(spawn());
    }
    double next_kill = cpu_ms();
    while (kills < kills_wanted) {
        for (sender_check& one : senders) {
            one.send();
        }
        for (const frame& bytes : receiver.receive()) {
            check(bytes, senders);
        }
        lossy.receive(0, 64);
        lossless.receive(0, 64);
        if (cpu_ms() >= next_kill) {
            kill_one();
            next_kill = cpu_ms() + static_cast<double>(random() % 1000) / 500.0;
        }
    }
    for (const pid_t pid : pids) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    for (const frame& bytes : receiver.receive()) {
        check(bytes, senders);
    }
    lost += senders[0].sent - senders[0].received + senders[1].sent - senders[1].received;
    const double longest = std::max(senders[0].longest_ms, senders[1].longest_ms);
    std::printf(
        "kill_soak: %lu kills, %u + %u frames of survivors, %lu of victims, %lu lost, %lu torn, "
        "longest wait %.1f ms\n",
        kills, senders[0].sent, senders[1].sent, foreign, lost, torn, longest);
    const bool traffic = senders[0].sent > 1000 && senders[1].sent > 1000 && foreign > 0;
    return lost == 0 && torn == 0 && longest <= 2 * quantum_ms && traffic ? 0 : 1;
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
