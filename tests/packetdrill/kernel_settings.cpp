#include "tests/packetdrill/kernel_settings.hpp"

#include "stack/socket/endpoints.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pantala::packetdrill {
namespace {

// The numbers of a sysctl of net.ipv4; those that are missing keep what they are.
void read_sysctl(const char* name, std::initializer_list<std::uint32_t*> numbers) {
    std::ifstream file(std::string("/proc/sys/net/ipv4/") + name);
    for (std::uint32_t* one : numbers) {
        std::uint32_t found = 0;
        if (file >> found) {
            *one = found;
        }
    }
}

bool read_switch(const char* name, bool otherwise) {
    std::uint32_t value = otherwise ? 1 : 0;
    read_sysctl(name, {&value});
    return value != 0;
}

void heed_sysctls(tcp::settings& settings) {
    settings.sack = read_switch("tcp_sack", settings.sack);
    settings.timestamps = read_switch("tcp_timestamps", settings.timestamps);
    settings.window_scale = read_switch("tcp_window_scaling", settings.window_scale);
    std::uint32_t ecn = 2;
    read_sysctl("tcp_ecn", {&ecn});
    settings.ecn_request = ecn == 1;
    settings.ecn_accept = ecn != 0;
    std::uint32_t fast_open = 1;
    read_sysctl("tcp_fastopen", {&fast_open});
    settings.fast_open_client = (fast_open & 1) != 0;
    settings.fast_open_server = (fast_open & 2) != 0;
    std::uint32_t least = 0;
    read_sysctl("tcp_rmem", {&least, &settings.rcv_buffer, &settings.rcv_buffer_max});
    read_sysctl("tcp_wmem", {&least, &settings.snd_buffer, &settings.snd_buffer_max});
    std::ifstream file("/proc/sys/net/ipv4/tcp_congestion_control");
    std::string name;
    if (file >> name && name == "reno") {
        settings.congestion = tcp::congestion_kind::newreno;
    }
}

// Linux paces where the fair queue stands behind it.
void heed_pacing(tcp::settings& settings) {
    settings.pacing = read_qdisc() == "fq";
    std::uint32_t slow_start = settings.pacing_ss_percent;
    std::uint32_t avoidance = settings.pacing_ca_percent;
    read_sysctl("tcp_pacing_ss_ratio", {&slow_start});
    read_sysctl("tcp_pacing_ca_ratio", {&avoidance});
    settings.pacing_ss_percent = static_cast<std::uint16_t>(slow_start);
    settings.pacing_ca_percent = static_cast<std::uint16_t>(avoidance);
}

// Has the script left the device's segmentation offload on? (ethtool -K tun0 gso off)
bool has_offload() {
    const int asks = ::socket(AF_INET, SOCK_DGRAM, 0);
    ethtool_value value{ETHTOOL_GGSO, 1};
    ifreq request{};
    std::strncpy(request.ifr_name, "tun0", IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    const bool told = asks >= 0 && ::ioctl(asks, SIOCETHTOOL, &request) == 0;
    ::close(asks);
    return !told || value.data != 0;
}

} // namespace

std::string read_qdisc() {
    const char* name = std::getenv("PANTALA_QDISC");
    std::ifstream file(name == nullptr ? "" : name);
    std::string line;
    std::getline(file, line);
    return line;
}

bool takes_nothing(const std::string& qdisc) {
    std::istringstream words(qdisc);
    std::string kind;
    words >> kind;
    std::string word;
    while (words >> word && word != "limit") {
    }
    return (kind == "pfifo" || kind == "bfifo") && words >> word && word == "0";
}

std::optional<host_choice> read_choice(const std::string& flags) {
    std::istringstream words(flags);
    std::string persona;
    std::string address;
    host_choice chosen;
    if (!(words >> persona >> address >> chosen.mtu) ||
        (persona != "linux" && persona != "freebsd")) {
        return std::nullopt;
    }
    const bool v6 = address.find(':') != std::string::npos;
    const auto local = parse_endpoint(v6 ? "[" + address + "]:1" : address + ":1");
    if (!local) {
        return std::nullopt;
    }
    chosen.local = to_internal(*local).address;
    chosen.persona = persona == "linux" ? tcp::persona::linux_like : tcp::persona::freebsd_like;
    chosen.settings = tcp::settings_of(chosen.persona);
    if (persona == "linux") {
        heed_sysctls(chosen.settings);
        heed_pacing(chosen.settings);
        read_sysctl("tcp_min_tso_segs", {&chosen.chunk_segments});
        chosen.segmentation_offload = has_offload();
    }
    return chosen;
}

} // namespace pantala::packetdrill
