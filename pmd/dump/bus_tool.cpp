#include "pmd/bus_tool.hpp"

#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"
#include "pmd/dump/pcapng.hpp"
#include "pmd/netbsd/netbsd_tool.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace pantala::bus {

namespace {

constexpr auto follow_pause = std::chrono::milliseconds(5);

// A name as its node wrote it, fit for terminals, JSON and pcapng: peers are not trusted.
std::string printable(const std::array<char, 32>& name) {
    std::string text(name.begin(), std::find(name.begin(), name.end(), '\0'));
    std::replace_if(
        text.begin(), text.end(), [](char one) { return one < ' ' || one > '~'; }, '?');
    return text;
}

// One log as the dump reads it, with the next frame copied out.
struct dumped_log {
    log_reader reader;
    std::uint32_t slot = 0;
    std::uint64_t time_ns = 0;
    std::vector<std::uint8_t> frame; // empty: none waits
};

class bus_dumper {
  public:
    // Frames sent after `until_ns` are left out: a busy bus would never come to an end.
    bus_dumper(bus_file file, std::FILE* to, std::uint64_t until_ns)
        : file_(std::move(file)), out_(to), until_ns_(until_ns) {
        known_.fill(0);
        interface_.fill(UINT32_MAX);
    }

    // Dumps what is there.
    void pass(std::uint64_t limit) {
        find_logs();
        while (report.frames < limit && out_.good()) {
            dumped_log* const next = earliest();
            if (next == nullptr) {
                break;
            }
            write(*next);
        }
        out_.flush();
    }
    bool good() const { return out_.good(); }
    bool lost() const { return file_.truncated(); }

    dump_report report;

  private:
    void find_logs() {
        const bus_map& map = file_.map();
        for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
            const node_entry& entry = map.node(slot);
            const std::uint32_t incarnation = entry.incarnation.load(std::memory_order_acquire);
            const std::uint32_t tx_queues =
                entry.tx_queues.load(std::memory_order_acquire); // with begin_start
            if (incarnation == known_[slot] || tx_queues == 0 ||
                tx_queues > map.shape.tx_queues_max() || !file_.admit(slot)) {
                continue;
            }
            known_[slot] = incarnation;
            std::erase_if(logs_, [slot](const dumped_log& log) { return log.slot == slot; });
            const std::uint64_t log_bytes = map.shape.log_bytes(tx_queues);
            for (std::uint32_t log = 0; log < tx_queues * map.shape.lanes; ++log) {
                dumped_log found;
                found.slot = slot;
                found.reader = log_reader(
                    map.control(slot, log), map.data(slot) + log_bytes * log, log_bytes,
                    incarnation);
                found.reader.from_oldest();
                logs_.push_back(std::move(found));
            }
        }
    }

    // Copies the log's next whole frame out, unless there is one already.
    void load(dumped_log& log) {
        for (int attempt = 0; log.frame.empty() && attempt < 4; ++attempt) {
            const std::uint64_t from = log.reader.cursor();
            if (!log.reader.look()) {
                return;
            }
            record_header header;
            const std::uint8_t* frame = nullptr;
            const next_record what =
                log.reader.lost() ? next_record::garbage : log.reader.next(header, frame);
            if (what == next_record::none) {
                return;
            }
            if (what == next_record::frame) {
                log.frame.assign(frame, frame + header.length);
                log.time_ns = header.time_ns;
            }
            if (what == next_record::garbage || !log.reader.intact(from)) {
                log.frame.clear();
                log.reader.resume();
            } else {
                report.missed += log.reader.gap(header.sequence);
            }
        }
    }

    dumped_log* earliest() {
        dumped_log* first = nullptr;
        for (dumped_log& log : logs_) {
            load(log);
            if (!log.frame.empty() && log.time_ns <= until_ns_ &&
                (first == nullptr || log.time_ns < first->time_ns)) {
                first = &log;
            }
        }
        return first;
    }

    void write(dumped_log& log) {
        if (interface_[log.slot] == UINT32_MAX) {
            interface_[log.slot] = out_.add_interface(
                "node" + std::to_string(log.slot) + " " +
                printable(file_.map().node(log.slot).name));
        }
        out_.add_frame(interface_[log.slot], log.time_ns, log.frame);
        log.frame.clear();
        ++report.frames;
    }

    bus_file file_;
    pcapng_writer out_;
    std::uint64_t until_ns_;
    std::vector<dumped_log> logs_;
    std::array<std::uint32_t, nodes_max> known_{};
    std::array<std::uint32_t, nodes_max> interface_{};
};

node_status status_of(const bus_file& file, std::uint32_t slot) {
    const bus_map& map = file.map();
    const node_entry& entry = map.node(slot);
    node_status status;
    status.slot = slot;
    status.state = static_cast<node_state>(std::min<std::uint32_t>(
        entry.state.load(std::memory_order_acquire),
        static_cast<std::uint32_t>(node_state::started)));
    status.alive = file.alive(slot);
    status.name = printable(entry.name);
    status.mac = entry.mac;
    status.pid = entry.pid;
    status.mtu = entry.mtu;
    status.tx_queues = entry.tx_queues.load(std::memory_order_relaxed);
    status.rx_queues = entry.rx_queues.load(std::memory_order_relaxed);
    status.since_ns = entry.since_ns;
    const std::uint32_t logs =
        std::min<std::uint32_t>(status.tx_queues * map.shape.lanes, map.shape.logs);
    for (std::uint32_t log = 0; log < logs; ++log) {
        status.sent_bytes += map.control(slot, log).head.load(std::memory_order_relaxed);
    }
    return status;
}

} // namespace

result<void> bus_create(const std::string& path, const geometry& shape) {
    return create_bus(path, shape);
}

result<bus_status> bus_list(const std::string& path) {
    bus_status status;
    status.path = path;
    if (netbsd_bus_at(path)) {
        return netbsd_list(path);
    }
    const result<bus_file> file = open_bus(path, bus_access::observer);
    if (!file) {
        return file.failure();
    }
    const bus_map& map = file->map();
    status.format = "native";
    status.shape = map.shape;
    status.file_bytes = map.shape.file_bytes();
    status.bus_id = map.header().bus_id;
    status.created_ns = map.header().created_ns;
    for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
        if (map.node(slot).since_ns != 0) {
            status.nodes.push_back(status_of(*file, slot));
        }
    }
    return status;
}

result<dump_report> bus_dump(const std::string& path, std::FILE* to, const dump_options& options) {
    if (netbsd_bus_at(path)) {
        return netbsd_dump(path, to, options);
    }
    result<bus_file> file = open_bus(path, bus_access::observer);
    if (!file) {
        return file.failure();
    }
    bus_dumper dumper(*std::move(file), to, options.follow ? UINT64_MAX : wall_clock_ns());
    dumper.pass(options.count);
    while (options.follow && dumper.good() && !dumper.lost() &&
           dumper.report.frames < options.count &&
           (options.stop == nullptr || !options.stop->load(std::memory_order_relaxed))) {
        std::this_thread::sleep_for(follow_pause);
        dumper.pass(options.count);
    }
    if (!dumper.good()) {
        return error{EIO, "cannot write the dump of bus '" + path + "'"};
    }
    if (dumper.lost()) {
        return error{ENODEV, "bus '" + path + "' went away: truncated or its disk is full"};
    }
    return dumper.report;
}

} // namespace pantala::bus
