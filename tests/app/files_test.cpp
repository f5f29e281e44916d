#include "app/eal/devices.hpp"
#include "app/gen/table/slow_table.hpp"
#include "app/tables/table_file.hpp"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

using namespace pantala;
using namespace pantala::app;

namespace {

class table_file : public testing::Test {
  protected:
    void SetUp() override {
        const int fd = mkstemp(path_.data());
        ASSERT_GE(fd, 0);
        close(fd);
    }
    void TearDown() override { unlink(path_.c_str()); }
    void write(const std::string& text, const char* mode = "wbT") {
        gzFile file = gzopen(path_.c_str(), mode);
        ASSERT_NE(file, nullptr);
        ASSERT_EQ(
            gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
        gzclose(file);
    }
    std::string path_ = "/tmp/pantala_table_XXXXXX";
};

TEST_F(table_file, prefixes_with_and_without_gateways) {
    write("# a table\n10.0.0.0/8\n\n192.0.2.0/24 via 10.0.0.1 # one\n2001:db8::/32\ndefault");
    const auto table = read_table(path_, 0);
    ASSERT_TRUE(table) << table.failure().text;
    ASSERT_EQ(table->routes.size(), 3U);
    EXPECT_EQ(table->routes[0].to, (ip4_prefix{0x0a000000, 8}));
    EXPECT_EQ(table->routes[0].via, 0U);
    EXPECT_EQ(table->routes[1].via, 0x0a000001U);
    EXPECT_EQ(table->routes[2].to, (ip4_prefix{0, 0}));
    EXPECT_EQ(table->routes6.size(), 1U);
    EXPECT_EQ(read_table(path_, 2)->routes.size(), 2U);
}

TEST_F(table_file, both_readers_agree_on_a_long_gzipped_one) {
    std::string text;
    for (unsigned i = 0; i < 200'000; ++i) {
        text += format_prefix({i << 8, 24}) + (i % 3 == 0 ? "\r\n" : "\n");
    }
    write(text, "wb");
    const auto table = read_table(path_, 0);
    const auto list = read_prefix_list(path_, 0);
    ASSERT_TRUE(table && list);
    ASSERT_EQ(table->routes.size(), 200'000U);
    ASSERT_EQ(list->size(), 200'000U);
    for (std::size_t i = 0; i < list->size(); ++i) {
        ASSERT_EQ(table->routes[i].to, (*list)[i]);
    }
}

TEST_F(table_file, errors_name_the_line) {
    const std::pair<const char*, const char*> cases[] = {
        {"10.0.0.0/8\n10.0.0.1/8\n", ":2: "},
        {"x\n", ":1: "},
        {"10.0.0.0/8 via\n", ":1: "},
        {"10.0.0.0/8 by 1.1.1.1\n", ":1: "},
        {"10.0.0.0/8 via 1.1.1.1 dev x\n", ":1: "},
        {"10.0.0.0/33\n", ":1: "},
    };
    for (const auto& [text, place] : cases) {
        write(text);
        const auto table = read_table(path_, 0);
        ASSERT_FALSE(table) << text;
        EXPECT_NE(table.failure().text.find(path_ + place), std::string::npos)
            << table.failure().text;
    }
    write("10.0.0.0/8\n" + std::string(100'000, 'x'));
    EXPECT_FALSE(read_table(path_, 0));
    EXPECT_FALSE(read_table("/nonexistent/table", 0));
}

// Cut where a line ends, too: what comes out is then a good list, only not the whole.
TEST_F(table_file, a_truncated_archive_is_an_error) {
    std::string text;
    for (unsigned i = 0; i < 20'000; ++i) {
        text += format_prefix({i * 2654435761U & prefix_mask(24), 24}) + "\n";
    }
    write(text, "wb0"); // stored: the text stands in the file as it is
    std::string bytes(std::filesystem::file_size(path_), '\0');
    std::ifstream(path_).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::vector<std::size_t> cuts = {5, 20, bytes.size() - 1, bytes.size() - 8};
    for (const std::size_t near : {std::size_t{1000}, bytes.size() / 2, bytes.size() - 100}) {
        cuts.push_back(bytes.find('\n', near) + 1);
    }
    for (const std::size_t cut : cuts) {
        ASSERT_LT(cut, bytes.size());
        std::ofstream(path_, std::ios::trunc).write(bytes.data(), static_cast<long>(cut));
        const auto table = read_table(path_, 0);
        ASSERT_FALSE(table) << cut << " bytes of " << bytes.size() << " gave "
                            << table->routes.size() << " routes";
        EXPECT_NE(table.failure().text.find(path_), std::string::npos) << table.failure().text;
    }
    std::ofstream(path_, std::ios::trunc).write(bytes.data(), static_cast<long>(bytes.size()));
    EXPECT_EQ(read_table(path_, 0)->routes.size(), 20'000U);
}

TEST_F(table_file, only_regular_files_are_read) {
    const std::string pipe = path_ + ".fifo";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    for (const std::string& name : {pipe, std::string("/tmp"), std::string("/dev/zero")}) {
        const auto table = read_table(name, 0); // returns, though nobody writes to the pipe
        ASSERT_FALSE(table) << name;
        EXPECT_NE(table.failure().text.find("regular file"), std::string::npos)
            << table.failure().text;
    }
    unlink(pipe.c_str());
}

TEST_F(table_file, a_reading_is_called_off) {
    write("10.0.0.0/8\n");
    std::atomic<bool> stop{true};
    const auto table = read_table(path_, 0, &stop);
    ASSERT_FALSE(table);
    EXPECT_EQ(table.failure().code, ECANCELED);
}

TEST_F(table_file, readings_are_bounded_and_nobody_waits_for_them) {
    std::string text;
    for (unsigned i = 0; i < 500'000; ++i) {
        text += format_prefix({i << 8, 24}) + "\n";
    }
    write(text);
    for (unsigned round = 0; round < 20; ++round) {
        auto reading = table_reading::start(path_, 0); // destroyed at once: called off
        EXPECT_TRUE(reading || reading.failure().code == EBUSY) << reading.failure().text;
        EXPECT_LE(table_reading::under_way(), table_reading::under_way_max);
    }
    while (table_reading::under_way() != 0) { // each ends by itself
        usleep(1000);
    }
    auto reading = table_reading::start(path_, 3);
    ASSERT_TRUE(reading);
    while (!reading->done()) {
        usleep(1000);
    }
    EXPECT_EQ(reading->take()->routes.size(), 3U);
}

TEST(device, a_bus_a_pci_address_or_a_vdev) {
    const auto bus = parse_device("bus:/tmp/a.bus,size=64M", 3);
    ASSERT_TRUE(bus);
    EXPECT_EQ(bus->argument, "--vdev=net_shmif3,bus=/tmp/a.bus,size=64M");
    EXPECT_EQ(bus->ethdev, "net_shmif3");
    const auto pci = parse_device("01:00.0", 0);
    ASSERT_TRUE(pci);
    EXPECT_TRUE(pci->pci);
    EXPECT_EQ(pci->ethdev, "0000:01:00.0");
    EXPECT_EQ(parse_device("0000:01:00.1,arg=1", 0)->argument, "-a0000:01:00.1,arg=1");
    EXPECT_EQ(parse_device("net_tap0,iface=x", 0)->ethdev, "net_tap0");
    for (const char* text : {"", "bus:", "bus:,x", "eth0", "/tmp/a.bus", "01:00", "zz:00.0"}) {
        EXPECT_FALSE(parse_device(text, 0)) << text;
    }
}

} // namespace
