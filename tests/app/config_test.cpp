#include "app/config/config.hpp"
#include "app/config/tcp_choice.hpp"

#include <gtest/gtest.h>

using namespace pantala;
using namespace pantala::app;

namespace {

std::string failure(std::string_view text) {
    const auto outcome = parse_config(text, "router.toml");
    return outcome ? "" : outcome.failure().text;
}

TEST(config, reads_every_kind_of_value) {
    const auto outcome = parse_config(
        R"(
[engine]
workers = 3
idle = "busy"
eal = ["--legacy-mem", "--log-level=8"]
[control]
socket = "/run/x.sock"
[tcp]
congestion = "dctcp"
pacing = true
fast_open_server = false
mtu_probing = "always"
[[port]]
name = "p0"
device = "bus:/tmp/a.bus"
promiscuous = true
[[port]]
name = "p1"
device = "0000:01:00.0"
mtu = 9000
[[link]]
name = "p1.5"
port = "p1"
vlan = 5
[[vrf]]
name = "blue"
table = 10
[[iface]]
dev = "p1.5"
vrf = "blue"
[[addr]]
address = "192.0.2.1/24"
dev = "p0"
[[neigh]]
address = "192.0.2.2"
lladdr = "02:00:00:00:00:02"
dev = "p0"
[[route]]
to = "default"
via = ["192.0.2.2", "192.0.2.3"]
[[route]]
to = "10.0.0.0/8"
kind = "blackhole"
[[table]]
file = "table.gz"
via = "192.0.2.2"
table = 11
)",
        "router.toml");
    ASSERT_TRUE(outcome) << outcome.failure().text;
    const config& c = *outcome;
    EXPECT_EQ(c.engine.workers, 3U);
    EXPECT_EQ(c.engine.idle, "busy");
    EXPECT_EQ(c.engine.dispatch, "direct");
    EXPECT_EQ(c.engine.eal.size(), 2U);
    EXPECT_EQ(c.control.socket, "/run/x.sock");
    EXPECT_EQ(c.tcp.congestion, "dctcp");
    EXPECT_TRUE(c.tcp.pacing);
    EXPECT_FALSE(c.tcp.fast_open_server);
    EXPECT_TRUE(c.tcp.fast_open_client);
    EXPECT_EQ(c.tcp.mtu_probing, "always");
    ASSERT_EQ(c.ports.size(), 2U);
    EXPECT_TRUE(c.ports[0].promiscuous);
    EXPECT_EQ(c.ports[0].mtu, 1500U);
    EXPECT_EQ(c.ports[1].mtu, 9000U);
    EXPECT_EQ(c.ports[1].line, 17U);
    EXPECT_EQ(c.links.at(0).vlan, 5U);
    EXPECT_EQ(c.addrs.at(0).dev, "p0");
    EXPECT_EQ(c.neighs.at(0).lladdr, "02:00:00:00:00:02");
    EXPECT_EQ(c.routes.at(0).via.size(), 2U);
    EXPECT_EQ(c.routes.at(1).kind, "blackhole");
    EXPECT_EQ(c.tables.at(0).via, std::vector<std::string>{"192.0.2.2"});
    EXPECT_EQ(c.tables.at(0).table, 11U);
    EXPECT_EQ(c.vrfs.at(0).name, "blue");
    EXPECT_EQ(c.vrfs.at(0).table, 10U);
    EXPECT_EQ(c.ifaces.at(0).vrf, "blue");
    EXPECT_EQ(c.routes.at(0).vrf, "");
}

// What would leave no room for data beside options, or a timer no length, is refused.
TEST(config, keys_of_tcp_that_cannot_work_together_are_refused) {
    EXPECT_NE(failure("[tcp]\nmss_min = 32\n"), "");
    EXPECT_EQ(failure("[tcp]\nmss_min = 88\n"), "");
    EXPECT_NE(failure("[tcp]\npersist_min_ms = 50\npersist_max_ms = 100\n"), "");
    EXPECT_EQ(failure("[tcp]\npersist_min_ms = 50\npersist_max_ms = 200\n"), "");
}

TEST(config, what_is_remembered_of_destinations_may_go_as_soon_as_the_least_time_says) {
    EXPECT_EQ(failure("[hostcache]\nexpire = 10\n"), "");
    EXPECT_EQ(failure("[hostcache]\nexpire = 1\nmin_expire = 1\n"), "");
}

// Every key of [tcp] reaches TCP, at start and while it runs.
TEST(config, keys_of_tcp_reach_it) {
    const auto read = parse_config(
        "[tcp]\nkeepidle_ms = 60000\nsyn_ack_retries = 5\nsack = false\nport_first = 40000\n"
        "peer_conns = 7\necn_request = true\nblackhole_timeouts = 0\n",
        "x");
    ASSERT_TRUE(read) << read.failure().text;
    tcp_config from = read->tcp;
    host_settings to;
    choose_tcp(from, to);
    EXPECT_EQ(to.tcp.keepidle_ms, 60'000U);
    EXPECT_EQ(to.tcp.syn_ack_retries, 5U);
    EXPECT_FALSE(to.tcp.sack);
    EXPECT_TRUE(to.tcp.ecn_request);
    EXPECT_EQ(to.tcp.port_first, 40'000U);
    EXPECT_EQ(to.tcp.blackhole_timeouts, 0U);
    EXPECT_EQ(to.limits.peer_conns, 7U);
    ASSERT_TRUE(set_tcp_key(from, "time_wait_ms", "1500"));
    ASSERT_TRUE(set_tcp_key(from, "congestion", "reno"));
    ASSERT_TRUE(set_tcp_key(from, "syn_cookies", "off"));
    choose_tcp(from, to);
    EXPECT_EQ(to.tcp.time_wait_ms, 1'500U);
    EXPECT_EQ(to.tcp.congestion, tcp::congestion_kind::newreno);
    EXPECT_FALSE(to.tcp.syn_cookies);
    EXPECT_EQ(to.tcp.keepidle_ms, 60'000U); // stays
    const struct {
        const char* name;
        const char* value;
        const char* what;
    } refused[] = {
        {"time_wait_ms", "0", "1 to"},         {"time_wait_ms", "1x", "whole number"},
        {"time_wait_ms", "", "whole"},         {"time_wait_ms", "-1", "whole"},
        {"time_weit_ms", "1", "did you mean"}, {"conns", "9", "configuration alone"},
        {"sack", "on", "configuration alone"}, {"syn_cookies", "1", "true or false"},
        {"congestion", "vegas", "cubic"},      {"port_last", "2000", "port_first (40000) is more"},
    };
    for (const auto& one : refused) {
        const tcp_config before = from;
        const auto answer = set_tcp_key(from, one.name, one.value);
        ASSERT_FALSE(answer) << one.name;
        EXPECT_NE(answer.failure().text.find(one.what), std::string::npos) << answer.failure().text;
        EXPECT_EQ(from.time_wait_ms, before.time_wait_ms);
        EXPECT_EQ(from.port_last, before.port_last);
        EXPECT_EQ(from.congestion, before.congestion);
    }
}

TEST(config, an_empty_file_is_all_defaults) {
    const auto outcome = parse_config("", "x");
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->engine.workers, 1U);
    EXPECT_TRUE(outcome->ports.empty());
}

TEST(config, errors_name_file_line_and_what_is_wrong) {
    const struct {
        const char* text;
        const char* line;
        const char* what;
    } cases[] = {
        {"[engine]\nworkers = 1\nwrokers = 2\n", "router.toml:3:", "'wrokers'"},
        {"\n\n[enigne]\n", "router.toml:3:", "'enigne'"},
        {"[engine]\nworkers = 0\n", "router.toml:2:", "1 to 64"},
        {"[engine]\nworkers = 65\n", "router.toml:2:", "1 to 64"},
        {"[engine]\nworkers = \"2\"\n", "router.toml:2:", "whole number"},
        {"[engine]\nworkers = 1.5\n", "router.toml:2:", "whole number"},
        {"[engine]\n\nidle = \"sometimes\"\n", "router.toml:3:", "adaptive, busy"},
        {"[engine]\nidle = 3\n", "router.toml:2:", "string"},
        {"[engine]\neal = [1]\n", "router.toml:2:", "strings"},
        {"engine = 4\n", "router.toml:1:", "[engine]"},
        {"[port]\nname = \"a\"\n", "router.toml:1:", "[[port]]"},
        {"[[port]]\nname = \"a\"\n", "router.toml:1:", "device"},
        {"[[port]]\nname = \"a b\"\ndevice = \"x\"\n", "router.toml:2:", "no name"},
        {"[[port]]\nname = \"a\"\ndevice = \"x\"\npromiscuous = 1\n", "router.toml:4:", "true"},
        {"[[port]]\nname = \"a\"\ndevice = \"x\"\nmac = \"1\"\n", "router.toml:4:", "Ethernet"},
        {"[[route]]\nto = \"10.0.0.1/8\"\n", "router.toml:2:", "10.0.0.0/8"},
        {"[[route]]\nto = \"10.0.0.0/8\"\nvia = \"x\"\n", "router.toml:3:", "'x'"},
        {"[[addr]]\naddress = \"10.0.0.1\"\n", "router.toml:1:", "dev"},
        {"[[neigh]]\naddress = \"1.1.1.1\"\nlladdr = \"q\"\n", "router.toml:3:", "'q'"},
        {"[[link]]\nname = \"v\"\nport = \"p\"\nvlan = 4095\n", "router.toml:4:", "4094"},
        {"[tcp]\ncongestion = \"vegas\"\n", "router.toml:2:", "cubic, reno, dctcp"},
        {"[tcp]\npacing = 1\n", "router.toml:2:", "true"},
        {"[tcp]\npaceing = true\n", "router.toml:2:", "'paceing'"},
        {"[tcp]\npacing_slow_start = 99\n", "router.toml:2:", "100 to 1000"},
        {"[tcp]\nfast_open_period = 1\n", "router.toml:2:", "60 to 86400"},
        {"[tcp]\nmtu_probing = true\n", "router.toml:2:", "string"},
        {"[tcp]\n\nmtu_probing = \"2\"\n", "router.toml:3:", "never, reduced, always"},
        {"[tcp]\nkeepidle_ms = 0\n", "router.toml:2:", "1 to"}, // below one tick
        {"[tcp]\nttl = 256\n", "router.toml:2:", "1 to 255"},
        {"[tcp]\nsack = 1\n", "router.toml:2:", "true"},
        {"\n[tcp]\nport_last = 2000\n", "router.toml:2:", "port_first (32768) is more"},
        {"[hostcache]\nexpire = 0\n", "router.toml:2:", "1 to 86400"},
        {"\n[hostcache]\nexpire = 9\n",
         "router.toml:2:", "expire (9) is less than min_expire (10)"},
        {"[hostcache]\nmin_expire = 3601\n", "router.toml:1:", "min_expire (3601)"},
        {"[[tcp]]\n", "router.toml:1:", "[tcp]"},
        {"[engine\n", "router.toml:1:", ""},
        {"[engine]\nworkers = 1\nworkers = 2\n", "router.toml:3:", ""},
    };
    for (const auto& c : cases) {
        const std::string text = failure(c.text);
        EXPECT_EQ(text.rfind(c.line, 0), 0U) << c.text << " -> " << text;
        EXPECT_NE(text.find(c.what), std::string::npos) << c.text << " -> " << text;
    }
}

TEST(config, says_of_tcp_what_tcp_does_by_itself) {
    pantala::host_settings chosen;
    choose_tcp({}, chosen);
    const pantala::host_settings usual;
    EXPECT_EQ(chosen.tcp.congestion, usual.tcp.congestion);
    EXPECT_EQ(chosen.tcp.ecn_request, usual.tcp.ecn_request);
    EXPECT_EQ(chosen.tcp.pacing, usual.tcp.pacing);
    EXPECT_EQ(chosen.tcp.pacing_ss_percent, usual.tcp.pacing_ss_percent);
    EXPECT_EQ(chosen.tcp.pacing_ca_percent, usual.tcp.pacing_ca_percent);
    EXPECT_EQ(chosen.tcp.pacing_rtt_min_ms, usual.tcp.pacing_rtt_min_ms);
    EXPECT_EQ(chosen.tcp.fast_open_client, usual.tcp.fast_open_client);
    EXPECT_EQ(chosen.tcp.fast_open_server, usual.tcp.fast_open_server);
    EXPECT_EQ(chosen.tcp.fast_open_period_ms, usual.tcp.fast_open_period_ms);
    EXPECT_EQ(chosen.tcp.fast_open_pause_ms, usual.tcp.fast_open_pause_ms);
    EXPECT_EQ(chosen.limits.fast_open_servers, usual.limits.fast_open_servers);
    EXPECT_EQ(chosen.tcp.mtu_probing, usual.tcp.mtu_probing);
    EXPECT_EQ(chosen.tcp.mtu_raise_ms, usual.tcp.mtu_raise_ms);
}

TEST(config, tells_tcp_what_it_says) {
    const auto read = parse_config(
        "[tcp]\ncongestion = \"dctcp\"\npacing = true\npacing_slow_start = 300\n"
        "pacing_avoidance = 110\npacing_rtt_min = 9\nfast_open_client = false\n"
        "fast_open_server = false\nfast_open_period = 100\nfast_open_pause = 7\n"
        "fast_open_servers = 16\nmtu_probing = \"never\"\nmtu_raise = 61\n",
        "router.toml");
    ASSERT_TRUE(read) << read.failure().text;
    pantala::host_settings chosen;
    choose_tcp(read->tcp, chosen);
    EXPECT_EQ(chosen.tcp.congestion, pantala::tcp::congestion_kind::dctcp);
    EXPECT_TRUE(chosen.tcp.ecn_request); // RFC 8257 3.1
    EXPECT_TRUE(chosen.tcp.pacing);
    EXPECT_EQ(chosen.tcp.pacing_ss_percent, 300U);
    EXPECT_EQ(chosen.tcp.pacing_ca_percent, 110U);
    EXPECT_EQ(chosen.tcp.pacing_rtt_min_ms, 9U);
    EXPECT_FALSE(chosen.tcp.fast_open_client || chosen.tcp.fast_open_server);
    EXPECT_EQ(chosen.tcp.fast_open_period_ms, 100'000U);
    EXPECT_EQ(chosen.tcp.fast_open_pause_ms, 7'000U);
    EXPECT_EQ(chosen.limits.fast_open_servers, 16U);
    EXPECT_EQ(chosen.tcp.mtu_probing, pantala::tcp::mtu_probing::never);
    EXPECT_EQ(chosen.tcp.mtu_raise_ms, 61'000U);
}

TEST(config, a_missing_file_is_an_error) {
    EXPECT_FALSE(read_config("/nonexistent/router.toml"));
}

TEST(config, any_path_can_be_written_as_a_string) {
    const std::string path = "/tmp/a \"quoted\" \\ back\\slash\tand\x01 it's # = [x]/\xc3\xa9.txt";
    const auto read =
        parse_config("[[table]]\nfile = " + toml_string(path) + "\nvia = \"10.0.0.1\"\n", "made");
    ASSERT_TRUE(read) << read.failure().text;
    ASSERT_EQ(read->tables.size(), 1U);
    EXPECT_EQ(read->tables[0].file, path);
}

TEST(config, the_reference_has_every_section_and_its_defaults) {
    const std::string text = config_reference();
    for (const char* wanted :
         {"[engine]", "[control]", "[tcp]", "[[port]]", "[[link]]", "[[addr]]", "[[neigh]]",
          "[[route]]", "[[table]]", "\"adaptive\"", "1..64, 1", "device", "(required)"}) {
        EXPECT_NE(text.find(wanted), std::string::npos) << wanted;
    }
}

} // namespace
