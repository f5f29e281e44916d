// A hostile bus file: whatever its bytes say, opening, listing and reading it neither crashes nor
// hangs nor touches memory outside. libFuzzer.
//
// The input is laid over a good bus: 8-byte patches {u16 where, u48 value}, aimed at the header's
// page, the node entries, the log controls and the logs' first records.
#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"
#include "pmd/netbsd/netbsd_bus.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace pantala::bus;

constexpr unsigned reads_max = 4096;

geometry small_shape() {
    geometry shape;
    shape.nodes = 2;
    shape.lanes = 1;
    shape.logs = 1;
    shape.node_bytes = log_bytes_min;
    return shape;
}

// Gone with the process.
struct bus_path {
    bus_path() : name("/dev/shm/pantala-fuzz-" + std::to_string(getpid())) {}
    ~bus_path() { unlink(name.c_str()); }
    std::string name;
};

const std::string& path() {
    static const bus_path file;
    return file.name;
}

// A bus with one node and some frames; a fresh one each time.
void make_bus() {
    unlink(path().c_str());
    if (!create_bus(path(), small_shape())) {
        std::abort();
    }
    auto file = open_bus(path(), bus_access::peer);
    auto node = bus_node::join(*std::move(file), {});
    const std::uint32_t incarnation = node->begin_start({});
    log_writer log;
    log.start(
        node->map().control(0, 0), node->map().data(0), small_shape().log_bytes(1), incarnation);
    for (std::uint32_t bytes = 60; bytes < 800; bytes += 90) {
        record_header header{};
        header.length = bytes;
        std::memset(log.append(header), 0x42, bytes);
    }
    log.publish();
    node->announce();
}

// Writes the patches; every second one aims at where readers look most.
void patch(const std::uint8_t* input, std::size_t size) {
    const geometry shape = small_shape();
    const std::array<std::uint64_t, 5> aims = {
        0, shape.nodes_offset(), shape.controls_offset(), shape.cursors_offset(),
        shape.data_offset()};
    const int fd = open(path().c_str(), O_RDWR | O_CLOEXEC);
    for (std::size_t at = 0; at + 8 <= size; at += 8) {
        std::uint64_t value = 0;
        std::memcpy(&value, input + at + 2, 6);
        const unsigned aim = input[at] % 8;
        const std::uint64_t base = aim < aims.size() ? aims[aim] : shape.controls_offset() + 128;
        [[maybe_unused]] const ssize_t written =
            pwrite(fd, &value, 8, static_cast<off_t>(base + input[at + 1] * 4u));
    }
    close(fd);
}

void read_native() {
    auto file = open_bus(path(), bus_access::peer);
    if (!file) {
        return;
    }
    const bus_map& map = file->map();
    for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
        const std::uint32_t queues = map.node(slot).tx_queues.load();
        if (queues == 0 || queues > map.shape.tx_queues_max() || !file->admit(slot)) {
            continue;
        }
        for (const bool skip : {false, true}) {
            log_reader log(
                map.control(slot, 0), map.data(slot), map.shape.log_bytes(queues),
                map.node(slot).incarnation.load());
            skip ? log.skip_to_head() : log.from_beginning();
            record_header header;
            const std::uint8_t* frame = nullptr;
            std::uint64_t sum = 0;
            for (unsigned reads = 0; reads < reads_max && log.look(); ++reads) {
                const next_record what =
                    log.lost() ? next_record::garbage : log.next(header, frame);
                if (what == next_record::frame) {
                    for (std::uint32_t i = 0; i < header.length; ++i) {
                        sum += frame[i]; // all of it must be mapped
                    }
                } else if (what == next_record::garbage) {
                    log.resume();
                }
                log.intact(0);
            }
            static std::atomic<std::uint64_t> sink; // so that the reads above are done
            sink.store(sum, std::memory_order_relaxed);
        }
    }
}

void read_netbsd(const std::uint8_t* input, std::size_t size) {
    unlink(path().c_str());
    auto bus = netbsd_bus::open(path());
    if (!bus || !bus->lock()) {
        std::abort();
    }
    netbsd_cursor cursor = bus->attach();
    const std::array<std::uint8_t, 100> some{};
    bus->write(some, 1);
    auto* const bytes = reinterpret_cast<std::uint8_t*>(&bus->header());
    for (std::size_t at = 0; at + 8 <= size; at += 8) {
        // Generation, first, last, and the first packets' headers.
        std::memcpy(bytes + 8 + input[at] % 16, input + at + 2, 4);
        std::memcpy(bytes + 32 + input[at + 1], input + at + 4, 4);
    }
    netbsd_packet packet{};
    std::array<std::uint8_t, 1514> frame;
    for (unsigned reads = 0; reads < 64; ++reads) {
        bus->write(some, 2);
        if (bus->read(cursor, packet, frame) == netbsd_read::packet &&
            packet.length > frame.size()) {
            std::abort();
        }
    }
    bus->unlock();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
    static const bool registered = std::atexit([] { unlink(path().c_str()); }) == 0;
    if (!registered || size == 0) {
        return 0;
    }
    if (input[0] % 2 == 0) {
        make_bus();
        patch(input + 1, size - 1);
        read_native();
    } else {
        read_netbsd(input + 1, size - 1);
    }
    return 0;
}
