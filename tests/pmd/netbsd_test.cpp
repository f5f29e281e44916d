// NetBSD's bus format, byte for byte: golden files made here from the description of the format
// alone (a writer of its own, over a plain array), compared with what the driver writes and reads.
#include "tests/pmd/bus_rig.hpp"

#include "pmd/netbsd/netbsd_bus.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pantala::bus::test {
namespace {

constexpr std::size_t mib = 1024 * 1024;
constexpr std::size_t data = mib - 32;

// The format as a table of bytes. Nothing of pmd/ is used in here.
struct golden_bus {
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(mib);

    void put(std::size_t at, std::uint64_t value, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            bytes[at + i] = static_cast<std::uint8_t>(value >> 8 * i);
        }
    }
    std::uint64_t get(std::size_t at, std::size_t count) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < count; ++i) {
            value |= std::uint64_t{bytes[at + i]} << 8 * i;
        }
        return value;
    }
    std::uint8_t& ring(std::size_t offset) { return bytes[32 + offset % data]; }
    std::size_t length_at(std::size_t offset) {
        std::size_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            value |= std::size_t{ring(offset + i)} << 8 * i;
        }
        return value;
    }
    std::size_t after(std::size_t offset) { return (offset + 24 + length_at(offset)) % data; }

    golden_bus() {
        put(0, 0xca11d054, 4);
        put(0x10, data, 4);
    }
    void send(const frame& bytes_sent, std::uint64_t sender) {
        const std::size_t at = after(get(0x14, 4));
        const std::size_t total = 24 + bytes_sent.size();
        // The oldest packets that the new one covers go; a wrap retires the sentinel.
        std::size_t first = get(0x10, 4);
        const bool wraps = at + total >= data;
        if (first == data) {
            first = wraps ? 24 : data;
        }
        if (first != data) {
            const auto covered = [&](std::size_t offset) {
                return (offset + data - at) % data < total || (at + data - offset) % data < 24;
            };
            while (get(0x08, 8) + (wraps ? 1 : 0) > 0 && covered(first)) {
                first = after(first);
            }
        }
        put(0x10, first, 4);
        put(0x14, at, 4);
        frame header(24);
        header[0] = static_cast<std::uint8_t>(bytes_sent.size());
        header[1] = static_cast<std::uint8_t>(bytes_sent.size() >> 8);
        for (std::size_t i = 0; i < 8; ++i) {
            header[16 + i] = static_cast<std::uint8_t>(sender >> 8 * i);
        }
        for (std::size_t i = 0; i < total; ++i) {
            ring(at + i) = i < 24 ? header[i] : bytes_sent[i - 24];
        }
        put(0x08, get(0x08, 8) + (wraps ? 1 : 0), 8);
        put(0x04, 3, 4);
    }
    void save(const std::string& path) const {
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), mib);
    }
    static golden_bus load(const std::string& path) {
        golden_bus bus;
        std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(bus.bytes.data()), mib);
        return bus;
    }
    // Packets' time stamps are the one thing that two writers cannot agree on.
    void forget_times() {
        std::size_t at = get(0x10, 4) == data ? 24 : get(0x10, 4);
        for (;; at = after(at)) {
            for (std::size_t i = 4; i < 12; ++i) {
                ring(at + i) = 0;
            }
            if (at == get(0x14, 4)) {
                break;
            }
        }
    }
};

std::uint64_t sender_of_last(const golden_bus& bus) {
    golden_bus copy = bus;
    const std::size_t at = copy.get(0x14, 4);
    std::uint64_t sender = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        sender |= std::uint64_t{copy.ring(at + 16 + i)} << 8 * i;
    }
    return sender;
}

const rig_options netbsd = {.arguments = "format=netbsd"};

TEST(netbsd_bus, a_virgin_bus_and_its_first_frame_are_the_golden_bytes) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    EXPECT_EQ(golden_bus::load(path.string()).bytes, golden_bus{}.bytes);
    a.send({udp_frame(1, 1)});
    golden_bus got = golden_bus::load(path.string());
    golden_bus expected;
    expected.send(udp_frame(1, 1), sender_of_last(got));
    EXPECT_EQ(got.get(0x14, 4), 24u);
    got.forget_times();
    EXPECT_EQ(got.bytes, expected.bytes);
}

TEST(netbsd_bus, the_header_follows_the_golden_writer_over_many_laps) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    golden_bus expected;
    std::uint32_t bytes = 60;
    for (std::uint32_t i = 0; i < 6000; ++i) {
        bytes = 60 + (bytes * 7 + i) % 1455;
        a.send({udp_frame(1, i, bytes)});
        expected.send(udp_frame(1, i, bytes), 1);
        if (i % 97 == 0 || expected.get(0x14, 4) < 4000) {
            const golden_bus got = golden_bus::load(path.string());
            for (const std::size_t field : {0x00, 0x04, 0x0c, 0x10, 0x14, 0x18}) {
                ASSERT_EQ(got.get(field, 4), expected.get(field, 4)) << field << " frame " << i;
            }
            ASSERT_EQ(got.get(8, 8), expected.get(8, 8)) << "frame " << i;
        }
    }
    EXPECT_GT(expected.get(8, 8), 3u) << "the test should have wrapped";
}

TEST(netbsd_bus, packets_of_the_golden_writer_are_received) {
    const scratch_path path;
    golden_bus bus;
    bus.save(path.string());
    const rig_port a(path.string(), netbsd);
    for (std::uint32_t i = 0; i < 3000; ++i) {
        bus.send(udp_frame(2, i, 1000), 77);
        if (i % 500 == 499) {
            const int fd = open(path.string().c_str(), O_RDWR);
            ASSERT_EQ(pwrite(fd, bus.bytes.data(), mib, 0), static_cast<ssize_t>(mib));
            close(fd);
            const auto got = a.receive();
            ASSERT_EQ(got.size(), 500u);
            EXPECT_EQ(got.back(), udp_frame(2, i, 1000));
        }
    }
}

TEST(netbsd_bus, neighbours_hear_each_other_and_not_themselves) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    a.send({udp_frame(1, 1), udp_frame(1, 2, 1514)}, 0, 2);
    b.send({udp_frame(2, 3)});
    EXPECT_EQ(b.receive(), (std::vector<frame>{udp_frame(1, 1), udp_frame(1, 2, 1514)}));
    EXPECT_EQ(a.receive(), std::vector<frame>{udp_frame(2, 3)});
    EXPECT_EQ(a.send({udp_frame(1, 1, 1515)}), 1);
    EXPECT_EQ(a.stats().oerrors, 1u);
}

TEST(netbsd_bus, an_overrun_reader_resumes_at_the_oldest_and_counts) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    constexpr std::uint32_t frames = 5000;
    for (std::uint32_t i = 0; i < frames; ++i) {
        a.send({udp_frame(1, i, 1000)});
    }
    const auto got = b.receive();
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(number_of(got.back()), frames - 1);
    EXPECT_GT(got.size(), 1000u) << "all intact packets are delivered";
    EXPECT_GE(b.stats().imissed, 1u);
}

// A peer wakes us as a rump kernel would: by a write to the file.
TEST(netbsd_bus, a_sleeper_is_woken_by_a_frame_and_not_while_disarmed) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), {.arguments = "format=netbsd", .interrupts = true});
    ASSERT_EQ(
        rte_eth_dev_rx_intr_ctl_q(b.id(), 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr), 0);
    rte_epoll_event event{};
    for (std::uint32_t round = 0; round < 20; ++round) {
        ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 0), 0);
        std::thread sender([&] { a.send({udp_frame(round, round)}); });
        const int woken = rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 10'000);
        sender.join();
        ASSERT_EQ(woken, 1) << round;
        ASSERT_EQ(rte_eth_dev_rx_intr_disable(b.id(), 0), 0);
        ASSERT_EQ(b.receive().size(), 1u) << round;
    }
    while (rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 50) == 1) { // a last one under way
        rte_eth_dev_rx_intr_disable(b.id(), 0);
    }
    a.send({udp_frame(1, 1)});
    EXPECT_EQ(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 50), 0) << "disarmed";
    ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 0), 0);
    EXPECT_EQ(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 10'000), 1) << "it waited already";
    EXPECT_EQ(b.receive().size(), 1u);
}

// The bus's file as a peer that maps it sees it.
class mapped_bus {
  public:
    explicit mapped_bus(const std::string& path) {
        const int fd = open(path.c_str(), O_RDWR);
        base_ = static_cast<std::uint8_t*>(
            mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        close(fd);
    }
    ~mapped_bus() { munmap(base_, mib); }
    mapped_bus(const mapped_bus&) = delete;
    mapped_bus& operator=(const mapped_bus&) = delete;
    void put(std::size_t at, std::uint32_t value) { std::memcpy(base_ + at, &value, 4); }
    void put(const golden_bus& whole) { std::memcpy(base_, whole.bytes.data(), mib); }
    std::uint32_t get(std::size_t at) const {
        std::uint32_t value = 0;
        std::memcpy(&value, base_ + at, 4);
        return value;
    }

  private:
    std::uint8_t* base_;
};

TEST(netbsd_bus, a_lock_of_a_dead_holder_is_taken_over) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    a.send({udp_frame(1, 1)});
    mapped_bus(path.string()).put(0x18, 1); // its holder will never come back
    unsigned refused = 0;
    while (a.send({udp_frame(1, 2)}) == 0) {
        ASSERT_LT(++refused, 1'000'000u) << "never taken over";
    }
    EXPECT_GT(refused, 0u);
    EXPECT_EQ(a.xstat("shmif_tx_lock_busy"), refused);
    EXPECT_EQ(a.xstat("shmif_tx_lock_taken_over"), 1u);
    const auto got = b.receive();
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(number_of(got[1]), 2u);
}

TEST(netbsd_bus, a_lock_whose_holder_goes_on_writing_is_left_to_it_and_not_waited_for) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    a.send({udp_frame(1, 1)});
    mapped_bus bus(path.string());
    bus.put(0x18, 1);
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(netbsd_takeover_ms * 3 / 2);
    unsigned bursts = 0;
    for (; std::chrono::steady_clock::now() < end; ++bursts) {
        bus.put(8, bus.get(8) + 1); // the generation
        ASSERT_EQ(a.send({udp_frame(1, 2)}), 0u);
        ASSERT_EQ(b.receive_mbufs(0, 32).size(), 0u);
    }
    EXPECT_EQ(a.xstat("shmif_tx_lock_busy"), bursts);
    EXPECT_EQ(b.xstat("shmif_rx_lock_busy"), bursts);
    EXPECT_EQ(a.xstat("shmif_tx_lock_taken_over") + b.xstat("shmif_rx_lock_taken_over"), 0u);
    bus.put(0x18, 0);
    EXPECT_EQ(a.send({udp_frame(1, 2)}), 1u);
}

TEST(netbsd_bus, one_burst_looks_at_a_bounded_number_of_packets) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    golden_bus bus;
    for (int i = 0; i < 3000; ++i) {
        bus.send({}, 1); // no frame in it
    }
    bus.send(udp_frame(1, 1), 1);
    bus.put(4, 3, 4);
    mapped_bus(path.string()).put(bus);
    unsigned bursts = 1;
    std::vector<frame> got;
    for (std::uint64_t before = 0; (got = b.receive(0, 1)).empty() && bursts < 100; ++bursts) {
        const std::uint64_t garbled = b.xstat("shmif_rx_garbled");
        EXPECT_LE(garbled - before, 2u * 256u); // receive() looks twice
        before = garbled;
    }
    EXPECT_EQ(got.size(), 1u);
    EXPECT_EQ(b.xstat("shmif_rx_garbled"), 3000u);
}

TEST(netbsd_bus, what_is_not_such_a_bus_is_refused) {
    const scratch_path path;
    std::ofstream(path.string()) << "hello";
    EXPECT_EQ(probe_error("format=netbsd,bus=" + path.string()), -EINVAL);
    golden_bus bus;
    bus.put(0, 0xdeadbeef, 4);
    bus.save(path.string());
    EXPECT_EQ(probe_error("format=netbsd,bus=" + path.string()), -ENOEXEC);
    bus = golden_bus{};
    bus.put(4, 2, 4);
    bus.save(path.string());
    EXPECT_EQ(probe_error("format=netbsd,bus=" + path.string()), -EPROTONOSUPPORT);
    EXPECT_EQ(probe_error("format=netbsd,queues=2,bus=/dev/shm/pantala-nowhere/x"), -ENOENT);
}

// A header that lies must not send a reader round and round: each read ends at the end some time.
TEST(netbsd_bus, a_reader_comes_to_the_end_whatever_the_header_says) {
    const scratch_path path;
    netbsd_bus bus = *netbsd_bus::open(path.string());
    std::mt19937 random(9);
    for (int lap = 0; lap < 300; ++lap) {
        ASSERT_TRUE(bus.lock());
        netbsd_cursor cursor = bus.attach();
        bus.header().generation.store(random() % 3);
        bus.header().first.store(
            lap % 2 == 0 ? static_cast<std::uint32_t>(random())
                         : static_cast<std::uint32_t>(random()) % (1 << 20));
        bus.header().last.store(static_cast<std::uint32_t>(random()) % (1 << 20));
        netbsd_packet packet{};
        std::array<std::uint8_t, 1514> bytes;
        int reads = 0;
        while (bus.read(cursor, packet, bytes) != netbsd_read::none) {
            ASSERT_LT(++reads, 200'000) << "on the empty packets of a bus of zeros";
        }
        bus.unlock();
    }
}

TEST(netbsd_bus, no_bytes_of_a_peer_harm_the_reader_or_the_writer) {
    const scratch_path path;
    const rig_port a(path.string(), netbsd);
    const rig_port b(path.string(), netbsd);
    std::uint64_t seed = 1;
    for (int round = 0; round < 300; ++round) {
        golden_bus bus = golden_bus::load(path.string());
        for (int i = 0; i < 40; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const std::size_t at = i < 4 ? 8 + (seed >> 33) % 16 : (seed >> 33) % mib;
            if (at < 8 || (at >= 0x18 && at < 0x1c)) {
                continue; // magic, version and lock have tests of their own
            }
            bus.bytes[at] = static_cast<std::uint8_t>(seed >> 56);
        }
        const int fd = open(path.string().c_str(), O_RDWR);
        ASSERT_EQ(pwrite(fd, bus.bytes.data(), mib, 0), static_cast<ssize_t>(mib));
        close(fd);
        a.send({udp_frame(1, 1, 300)});
        b.receive(0, 64);
    }
}

} // namespace
} // namespace pantala::bus::test
