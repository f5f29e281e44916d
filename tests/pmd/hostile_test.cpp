// Files that are no bus, buses that break under us, peers that write garbage or die.
#include "tests/pmd/bus_rig.hpp"

#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus::test {
namespace {

void patch(const std::string& path, off_t at, const void* bytes, std::size_t count) {
    const int fd = open(path.c_str(), O_RDWR);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(pwrite(fd, bytes, count, at), static_cast<ssize_t>(count));
    close(fd);
}

// The error of opening `path`; it must name the file and, in `words`, the trouble.
void expect_refusal(const std::string& path, int code, const std::string& words) {
    const result<bus_file> file = open_bus(path, bus_access::peer);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.failure().code, code) << file.failure().text;
    EXPECT_NE(file.failure().text.find(path), std::string::npos);
    EXPECT_NE(file.failure().text.find(words), std::string::npos) << file.failure().text;
    EXPECT_EQ(probe_error("bus=" + path), -code);
}

TEST(hostile_bus, what_is_not_a_bus_is_refused_in_words) {
    const scratch_path path;
    std::ofstream(path.string()) << "hello";
    expect_refusal(path.string(), EINVAL, "not a bus");
    std::ofstream(path.string()) << std::string(8192, 'x');
    expect_refusal(path.string(), EINVAL, "not a bus");
    unlink(path.string().c_str());
    ASSERT_EQ(mkfifo(path.string().c_str(), 0600), 0);
    expect_refusal(path.string(), EINVAL, "not a regular file");
    EXPECT_EQ(probe_error("bus=/dev/shm/pantala-no-directory/x.bus"), -ENOENT);
}

TEST(hostile_bus, a_damaged_header_is_refused_in_words) {
    const scratch_path path;
    const auto damaged = [&path](off_t at, std::uint32_t value, int code, const char* words) {
        unlink(path.string().c_str());
        ASSERT_TRUE(create_bus(path.string(), geometry{}));
        patch(path.string(), at, &value, sizeof value);
        expect_refusal(path.string(), code, words);
    };
    damaged(0x08, 2, EPROTONOSUPPORT, "version 2");
    damaged(0x10, 3, EINVAL, "damaged");
    damaged(0x20, 12345, EINVAL, "damaged");
    damaged(0x40, 1, EINVAL, "damaged");
    unlink(path.string().c_str());
    ASSERT_TRUE(create_bus(path.string(), geometry{}));
    ASSERT_EQ(truncate(path.string().c_str(), 1 << 20), 0);
    expect_refusal(path.string(), EINVAL, "truncated");
}

TEST(hostile_bus, an_impossible_geometry_with_a_right_sum_is_refused) {
    const scratch_path path;
    for (const auto& [at, value] :
         {std::pair<off_t, std::uint32_t>{0x10, 65},
          {0x10, 0},
          {0x14, 3},
          {0x18, 4},
          {0x20, 4096}}) {
        unlink(path.string().c_str());
        ASSERT_TRUE(create_bus(path.string(), geometry{}));
        patch(path.string(), at, &value, sizeof value);
        char header[64];
        std::ifstream(path.string(), std::ios::binary).read(header, sizeof header);
        const std::uint64_t sum = fnv1a(header, sizeof header);
        patch(path.string(), 0x40, &sum, sizeof sum);
        expect_refusal(path.string(), EINVAL, "geometry");
    }
}

TEST(hostile_bus, a_file_size_limit_is_an_error_not_a_signal) {
    const scratch_path path;
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit tight = before;
    tight.rlim_cur = 1 << 20;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const int code = probe_error("bus=" + path.string());
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(code, -EFBIG);
    EXPECT_NE(access(path.string().c_str(), F_OK), 0) << "half a bus was left behind";
}

TEST(hostile_bus, a_full_disk_is_an_error) {
    const std::string directory = "/dev/shm/pantala-small-" + std::to_string(getpid());
    mkdir(directory.c_str(), 0700);
    if (mount("small", directory.c_str(), "tmpfs", 0, "size=24M") != 0) {
        rmdir(directory.c_str());
        GTEST_SKIP() << "mounting a small tmpfs needs root";
    }
    {
        const rig_port first(directory + "/bus");
        EXPECT_EQ(probe_error("bus=" + directory + "/bus"), -ENOSPC);
        EXPECT_EQ(first.send({udp_frame(1, 1)}), 1) << "the one that is there goes on";
    }
    umount(directory.c_str());
    rmdir(directory.c_str());
}

TEST(hostile_bus, a_file_truncated_under_us_takes_the_link_down_and_nothing_else) {
    const scratch_path path;
    const rig_port a(path.string());
    const rig_port b(path.string());
    a.send({udp_frame(1, 1)});
    ASSERT_EQ(truncate(path.string().c_str(), 0), 0);
    for (int i = 0; i < 100; ++i) {
        a.send({udp_frame(1, 2), udp_frame(1, 3)});
        b.receive();
    }
    rte_eth_link link{};
    ASSERT_EQ(rte_eth_link_get_nowait(a.id(), &link), 0);
    EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
    EXPECT_GT(a.xstat("shmif_tx_lost"), 0u);
}

TEST(hostile_bus, a_truncated_file_is_noticed_by_those_who_touch_nothing) {
    const scratch_path path;
    const rig_port idle(path.string());
    ASSERT_EQ(truncate(path.string().c_str(), 1 << 20), 0);
    rte_eth_link link{};
    rte_eth_link_get_nowait(idle.id(), &link);
    EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
}

// A peer that maps the bus and writes what it likes, where it likes.
class vandal {
  public:
    explicit vandal(const std::string& path) : file_(*open_bus(path, bus_access::peer)) {}
    const bus_map& map() const { return file_.map(); }
    // Random words all over the shared tables, or one kind of field made to lie.
    void scribble(std::mt19937_64& random) {
        const bus_map& bus = map();
        const std::uint64_t from = bus.shape.nodes_offset();
        const std::uint64_t words = (bus.shape.shared_bytes() - from) / 8;
        for (int i = 0; i < 200; ++i) {
            const std::uint64_t word = random() % words;
            const std::uint64_t value = random() >> random() % 64;
            std::memcpy(bus.base + from + word * 8, &value, sizeof value);
        }
        bus.header().epoch.fetch_add(1);
        for (std::uint32_t slot = 0; slot < 4; ++slot) {
            node_entry& entry = bus.node(slot);
            entry.state.store(static_cast<std::uint32_t>(random() % 4));
            entry.tx_queues.store(static_cast<std::uint16_t>(random() % 10));
            entry.rx_queues.store(static_cast<std::uint16_t>(random() % 10));
            for (std::uint32_t log = 0; log < bus.shape.logs; ++log) {
                log_control& control = bus.control(slot, log);
                control.incarnation.store(entry.incarnation.load());
                control.head.store(random() >> random() % 64);
                control.reserve.store(control.head.load() + random() % 100000);
            }
        }
    }

  private:
    bus_file file_;
};

TEST(hostile_bus, no_bytes_of_a_peer_harm_readers_or_writers) {
    const scratch_path path;
    const rig_port a(path.string(), {.queues = 2, .arguments = "size=4M", .rss = true});
    const rig_port b(path.string(), {.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER});
    const rig_port c(path.string(), {.arguments = "flow=lossless"});
    vandal peer(path.string());
    std::mt19937_64 random(7);
    for (int round = 0; round < 300; ++round) {
        peer.scribble(random);
        for (const rig_port* const port : {&a, &b, &c}) {
            port->send({udp_frame(1, 1), udp_frame(2, 2, 900)});
            port->receive(0, 64);
        }
        a.receive(1, 64);
    }
}

TEST(hostile_bus, garbage_in_a_peers_log_is_counted_and_others_frames_arrive) {
    const scratch_path path;
    const rig_port a(path.string());
    const rig_port b(path.string());
    const rig_port honest(path.string());
    vandal peer(path.string());
    a.send({udp_frame(1, 1)});
    ASSERT_EQ(b.receive().size(), 1u);
    a.send({udp_frame(1, 2)});
    const std::uint32_t length = 0x7fffffff; // of the second record
    const int fd = open(path.string().c_str(), O_RDWR);
    const auto at = static_cast<off_t>(peer.map().shape.data_offset() + record_bytes(64));
    ASSERT_EQ(pwrite(fd, &length, sizeof length, at), 4);
    close(fd);
    honest.send({udp_frame(3, 3)});
    const auto got = b.receive();
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(number_of(got[0]), 3u);
    EXPECT_EQ(b.xstat("shmif_rx_garbled"), 1u);
    a.send({udp_frame(1, 4)});
    const auto next = b.receive();
    ASSERT_EQ(next.size(), 1u) << "the log goes on behind the garbage";
    EXPECT_EQ(number_of(next[0]), 4u);
}

TEST(hostile_bus, a_frame_with_a_flag_of_tomorrow_is_dropped_and_counted) {
    const scratch_path path;
    const rig_port a(path.string());
    bus_node peer = *bus_node::join(*open_bus(path.string(), bus_access::peer), {});
    log_writer log;
    log.start(
        peer.map().control(peer.slot(), 0), peer.map().data(peer.slot()),
        peer.map().shape.log_bytes(1), peer.begin_start({}));
    peer.announce();
    const frame bytes = udp_frame(1, 7);
    for (const std::uint16_t flags : {0, 4, 0, 0x8000}) {
        record_header header{};
        header.length = static_cast<std::uint32_t>(bytes.size());
        header.flags = flags;
        std::copy(bytes.begin(), bytes.end(), log.append(header));
    }
    log.publish();
    EXPECT_EQ(a.receive(), (std::vector<frame>{bytes, bytes}));
    EXPECT_EQ(a.xstat("shmif_rx_garbled"), 2u);
    EXPECT_EQ(a.stats().imissed, 0u);
}

TEST(hostile_bus, a_log_of_nothing_but_pads_is_garbage_after_a_few) {
    const scratch_path path;
    const rig_port a(path.string());
    bus_node peer = *bus_node::join(*open_bus(path.string(), bus_access::peer), {});
    log_writer log;
    log.start(
        peer.map().control(peer.slot(), 0), peer.map().data(peer.slot()),
        peer.map().shape.log_bytes(1), peer.begin_start({}));
    peer.announce();
    record_header header{};
    header.length = 64;
    for (int i = 0; i < 500; ++i) {
        log.append(header);
    }
    std::uint8_t* const data = peer.map().data(peer.slot());
    std::memcpy(&header, data, sizeof header); // with its tag
    header.length = record_align;
    header.flags = record_flag::pad;
    for (std::uint64_t at = 0; at < log.position(); at += record_align) {
        std::memcpy(data + at, &header, sizeof header);
    }
    log.publish();
    EXPECT_TRUE(a.receive().empty());
    EXPECT_EQ(a.xstat("shmif_rx_garbled"), 1u);
}

// A record that is being overwritten may tell any sequence number: what it says must not count.
TEST(hostile_bus, a_torn_record_does_not_disturb_the_count_of_missing_frames) {
    const scratch_path path;
    ASSERT_TRUE(create_bus(path.string(), {.node_bytes = 4 << 20}));
    bus_node node = *bus_node::join(*open_bus(path.string(), bus_access::peer), {});
    const std::uint64_t log_bytes = node.map().shape.log_bytes(1);
    log_control& control = node.map().control(node.slot(), 0);
    log_writer writer;
    const std::uint32_t incarnation = node.begin_start({});
    writer.start(control, node.map().data(node.slot()), log_bytes, incarnation);
    node.announce();
    log_reader reader(control, node.map().data(node.slot()), log_bytes, incarnation);
    reader.from_beginning();
    std::uint32_t written = 0;
    const auto write = [&writer, &written](std::uint32_t frames) {
        for (; frames > 0; --frames, ++written) {
            record_header header{};
            header.length = 1000;
            if (!writer.fits(record_bytes(header.length))) {
                writer.enter_chunk();
            }
            writer.append(header);
        }
        writer.publish();
    };
    write(10);
    record_header header{};
    const std::uint8_t* bytes = nullptr;
    ASSERT_TRUE(reader.look());
    const log_reader::place before = reader.here();
    ASSERT_EQ(reader.next(header, bytes), next_record::frame);
    ASSERT_EQ(reader.gap(header.sequence + 5000), 5000u) << "as a torn record of a later lap says";
    write(static_cast<std::uint32_t>(log_bytes / 1000));
    ASSERT_FALSE(reader.intact(before.cursor));
    reader.return_to(before);
    reader.resume();
    ASSERT_TRUE(reader.look());
    std::uint64_t missing = 0;
    std::uint64_t frames = 0;
    while (reader.next(header, bytes) == next_record::frame) {
        missing += reader.gap(header.sequence);
        ++frames;
    }
    EXPECT_GT(missing, 0u);
    EXPECT_EQ(missing + frames, written);
}

// It polls its queue, so it lives; but it never says that it read anything.
TEST(hostile_bus, a_reader_that_beats_but_does_not_read_is_given_up_by_a_lossless_sender) {
    const scratch_path path;
    const rig_port a(path.string(), {.arguments = "size=4M,flow=lossless"});
    bus_node idler = *bus_node::join(*open_bus(path.string(), bus_access::peer), {});
    idler.begin_start({});
    idler.announce();
    std::uint32_t sent = 0;
    while (sent < 20000) { // ends only if it is given up, though others come and go meanwhile
        if (a.send({udp_frame(1, sent, 200)}) == 1) {
            ++sent;
        } else {
            idler.map().header().epoch.fetch_add(1);
        }
    }
    EXPECT_EQ(a.xstat("shmif_tx_expelled"), 1u);
}

// The next process in a slot must not make the last one's logs look as if they lay otherwise.
TEST(hostile_bus, a_peer_that_takes_a_dead_ones_place_leaves_the_shape_of_its_logs_alone) {
    const scratch_path path;
    ASSERT_TRUE(create_bus(path.string(), {.nodes = 2}));
    const auto join = [&path](std::uint16_t queues) {
        bus_node node = *bus_node::join(*open_bus(path.string(), bus_access::peer), {});
        if (queues != 0) {
            node.begin_start({.tx_queues = queues});
            node.announce();
        }
        return node;
    };
    std::uint32_t slot = 0;
    {
        const bus_node first = join(3);
        slot = first.slot();
    }
    const bus_node second = join(0);
    const bus_node third = join(0);
    const std::uint32_t shape = third.map().node(slot).tx_queues.load();
    EXPECT_EQ(shape, 3u) << "joined, but not started";
}

TEST(hostile_bus, a_reader_that_stands_still_is_given_up_by_a_lossless_sender) {
    const scratch_path path;
    const rig_port a(path.string(), {.arguments = "size=4M,flow=lossless"});
    const rig_port still(path.string());
    std::uint32_t sent = 0;
    while (sent < 20000) { // ends only if `still`, which never polls, is given up
        sent += a.send({udp_frame(1, sent, 200)});
    }
    EXPECT_EQ(a.xstat("shmif_tx_expelled"), 1u);
    EXPECT_FALSE(still.receive().empty());
    EXPECT_GT(still.stats().imissed, 0u);
}

} // namespace
} // namespace pantala::bus::test
