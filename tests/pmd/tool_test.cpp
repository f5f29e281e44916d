// Listing and dumping buses, live and dead.
#include "tests/pmd/bus_rig.hpp"

#include "pmd/bus_size.hpp"
#include "pmd/bus_tool.hpp"

#include <array>
#include <cstring>
#include <memory>

#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <unistd.h>

namespace pantala::bus::test {
namespace {

std::vector<frame> read_capture(const std::string& path) {
    char why[PCAP_ERRBUF_SIZE];
    const std::unique_ptr<pcap_t, decltype(&pcap_close)> capture(
        pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why),
        &pcap_close);
    std::vector<frame> frames;
    if (!capture) {
        ADD_FAILURE() << why;
        return frames;
    }
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    long last = 0;
    int got = 0;
    while ((got = pcap_next_ex(capture.get(), &header, &bytes)) == 1) {
        frames.emplace_back(bytes, bytes + header->caplen);
        const long time = header->ts.tv_sec * 1'000'000'000 + header->ts.tv_usec;
        EXPECT_GE(time, last) << "frames are in order of time";
        last = time;
    }
    EXPECT_EQ(got, PCAP_ERROR_BREAK) << pcap_geterr(capture.get());
    return frames;
}

std::vector<frame> dump(const std::string& bus, dump_report& report) {
    const std::string path = bus + ".pcapng";
    std::FILE* const file = std::fopen(path.c_str(), "wb");
    const result<dump_report> done = bus_dump(bus, file, {});
    std::fclose(file);
    EXPECT_TRUE(done) << done.failure().text;
    if (done) {
        report = *done;
    }
    const auto frames = read_capture(path);
    unlink(path.c_str());
    return frames;
}

// What each of two writers that took turns sent. Two frames of different writers may be closer
// together than the writers' clocks agree; those of one never change places.
std::array<std::vector<frame>, 2> by_writer(const std::vector<frame>& frames) {
    std::array<std::vector<frame>, 2> result;
    for (const frame& one : frames) {
        result[number_of(one) % 2].push_back(one);
    }
    return result;
}

TEST(bus_tool, a_live_and_a_dead_bus_are_dumped_in_order_of_time) {
    for (const std::string arguments : {"mtu=1500", "format=netbsd"}) {
        const scratch_path bus;
        std::vector<frame> sent;
        dump_report report;
        {
            const rig_port a(bus.string(), {.arguments = arguments});
            const rig_port b(bus.string(), {.arguments = arguments});
            for (std::uint32_t i = 0; i < 50; ++i) {
                sent.push_back(udp_frame(i % 3, i, 60 + i * 13));
                (i % 2 == 0 ? a : b).send({sent.back()});
            }
            EXPECT_EQ(by_writer(dump(bus.string(), report)), by_writer(sent))
                << arguments << ", live";
            EXPECT_EQ(b.receive().size(), 25u) << "the dump took nothing away";
        }
        EXPECT_EQ(by_writer(dump(bus.string(), report)), by_writer(sent)) << arguments << ", dead";
        EXPECT_EQ(report.frames, 50u);
    }
}

TEST(bus_tool, what_was_overwritten_is_left_out) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.arguments = "size=4M"});
    for (std::uint32_t i = 0; i < 10000; ++i) {
        a.send({udp_frame(1, i, 400)});
    }
    dump_report report;
    const auto frames = dump(bus.string(), report);
    ASSERT_GT(frames.size(), 500u);
    EXPECT_EQ(number_of(frames.back()), 9999u);
    EXPECT_EQ(number_of(frames.front()), 10000 - frames.size());
}

TEST(bus_tool, a_list_names_the_nodes) {
    const scratch_path bus;
    geometry shape;
    shape.nodes = 4;
    ASSERT_TRUE(bus_create(bus.string(), shape));
    EXPECT_EQ(bus_create(bus.string(), shape).failure().code, EEXIST);
    const rig_port a(bus.string(), {.queues = 2, .arguments = "mac=02:00:00:00:00:aa"});
    a.send({udp_frame(1, 1)});
    const result<bus_status> status = bus_list(bus.string());
    ASSERT_TRUE(status) << status.failure().text;
    EXPECT_EQ(status->format, "native");
    EXPECT_EQ(status->shape, shape);
    ASSERT_EQ(status->nodes.size(), 1u);
    const node_status& node = status->nodes[0];
    EXPECT_EQ(node.state, node_state::started);
    EXPECT_TRUE(node.alive);
    EXPECT_EQ(node.pid, static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(node.mac[5], 0xaa);
    EXPECT_EQ(node.rx_queues, 2u);
    EXPECT_EQ(node.sent_bytes, record_bytes(64));
    EXPECT_EQ(node.name.substr(0, 9), "net_shmif");
}

TEST(bus_tool, a_bus_of_netbsds_format_is_made_and_listed_as_one) {
    const scratch_path bus;
    ASSERT_TRUE(netbsd_bus_create(bus.string()));
    EXPECT_EQ(netbsd_bus_create(bus.string()).failure().code, EEXIST);
    EXPECT_EQ(bus_create(bus.string(), {}).failure().code, EEXIST);
    result<bus_status> status = bus_list(bus.string());
    ASSERT_TRUE(status) << status.failure().text;
    EXPECT_EQ(status->format, "netbsd");
    EXPECT_EQ(status->file_bytes, 1u << 20);
    EXPECT_EQ(status->ring.data_bytes, (1u << 20) - 32);
    EXPECT_EQ(status->ring.first, status->ring.data_bytes);
    EXPECT_EQ(status->ring.last, 0u);
    EXPECT_FALSE(status->ring.locked);
    {
        const rig_port a(bus.string(), {.arguments = "format=netbsd"});
        a.send({udp_frame(1, 1, 100), udp_frame(1, 2, 100)});
    }
    status = bus_list(bus.string());
    ASSERT_TRUE(status) << status.failure().text;
    EXPECT_EQ(status->ring.version, 3u);
    EXPECT_EQ(status->ring.generation, 0u);
    EXPECT_NE(status->ring.last, 0u);
    ASSERT_EQ(truncate(bus.string().c_str(), 4096), 0);
    EXPECT_NE(bus_list(bus.string()).failure().text.find("truncated"), std::string::npos);
}

TEST(bus_tool, sizes_are_whole_numbers_with_a_unit) {
    const std::pair<const char*, std::uint64_t> good[] = {
        {"65536", 65536}, {"16m", 16 << 20}, {"16M", 16 << 20}, {"64k", 64 << 10}, {"1G", 1 << 30}};
    for (const auto& [text, bytes] : good) {
        std::uint64_t read = 0;
        EXPECT_TRUE(parse_bus_size(text, read)) << text;
        EXPECT_EQ(read, bytes) << text;
    }
    for (const char* text :
         {"", "K", "1.5K", "1.5M", "16MB", "16 M", "-1M", "0x10", "1T", "16i",
          "18446744073709551616", "17179869184G"}) {
        std::uint64_t read = 0;
        EXPECT_FALSE(parse_bus_size(text, read)) << text;
    }
}

TEST(bus_tool, a_missing_bus_is_an_error_in_words) {
    const result<bus_status> status = bus_list("/dev/shm/pantala-no-such-bus");
    ASSERT_FALSE(status);
    EXPECT_EQ(status.failure().code, ENOENT);
    EXPECT_NE(status.failure().text.find("pantala-no-such-bus"), std::string::npos);
}

} // namespace
} // namespace pantala::bus::test
