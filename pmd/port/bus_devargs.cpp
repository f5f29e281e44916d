#include "pmd/port/bus_devargs.hpp"

#include "pmd/bus_size.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>

#include <rte_ether.h>
#include <rte_kvargs.h>

namespace pantala::bus {

namespace {

constexpr std::uint32_t mtu_min = 68; // RFC 791
constexpr std::uint32_t mtu_max = 65535 - 18;

const char* const known_keys[] = {"bus", "queues", "mac", "size", "flow", "format", "mtu", nullptr};

error bad(std::string_view key, std::string_view value, std::string_view wanted) {
    return error{
        EINVAL, "net_shmif: " + std::string(key) + "=" + std::string(value) + ": expected " +
                    std::string(wanted)};
}

bool parse_number(std::string_view text, std::uint64_t& value) {
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    return code == std::errc{} && end == text.data() + text.size();
}

std::array<std::uint8_t, 6> random_mac() {
    std::random_device random;
    const std::uint32_t bits = random();
    std::array<std::uint8_t, 6> mac{0xb2, 0xa0};
    std::memcpy(&mac[2], &bits, sizeof bits);
    return mac;
}

bool parse_mac(const std::string& text, std::array<std::uint8_t, 6>& mac) {
    rte_ether_addr address{};
    if (rte_ether_unformat_addr(text.c_str(), &address) != 0 ||
        !rte_is_valid_assigned_ether_addr(&address)) {
        return false;
    }
    std::memcpy(mac.data(), address.addr_bytes, mac.size());
    return true;
}

result<void> apply_words(port_arguments& arguments, std::string_view key, std::string_view value) {
    if (key == "flow") {
        if (value != "lossy" && value != "lossless") {
            return bad(key, value, "lossy or lossless");
        }
        arguments.lossless = value == "lossless";
    } else {
        if (value != "native" && value != "netbsd") {
            return bad(key, value, "native or netbsd");
        }
        arguments.format = value == "netbsd" ? bus_format::netbsd : bus_format::native;
    }
    return {};
}

result<void> apply(port_arguments& arguments, std::string_view key, const std::string& value) {
    std::uint64_t number = 0;
    if (key == "bus") {
        if (value.empty()) {
            return bad(key, value, "the path of a bus file");
        }
        arguments.bus = value;
    } else if (key == "queues") {
        if (!parse_number(value, number) || number < 1 || number > lanes_max) {
            return bad(key, value, "1 to " + std::to_string(lanes_max));
        }
        arguments.queues = static_cast<std::uint32_t>(number);
    } else if (key == "mac") {
        if (!parse_mac(value, arguments.mac)) {
            return bad(key, value, "a unicast MAC address, xx:xx:xx:xx:xx:xx");
        }
    } else if (key == "size") {
        if (!parse_bus_size(value, arguments.size) || !std::has_single_bit(arguments.size)) {
            return bad(key, value, "a power of two, as 16M");
        }
    } else if (key == "mtu") {
        if (!parse_number(value, number) || number < mtu_min || number > mtu_max) {
            return bad(key, value, std::to_string(mtu_min) + " to " + std::to_string(mtu_max));
        }
        arguments.mtu = static_cast<std::uint16_t>(number);
    } else {
        return apply_words(arguments, key, value);
    }
    return {};
}

} // namespace

result<port_arguments> parse_arguments(const char* text) {
    const std::unique_ptr<rte_kvargs, decltype(&rte_kvargs_free)> pairs(
        rte_kvargs_parse(text == nullptr ? "" : text, known_keys), &rte_kvargs_free);
    if (!pairs) {
        return error{
            EINVAL, std::string("net_shmif: cannot understand '") + (text == nullptr ? "" : text) +
                        "'; the arguments are bus=PATH[,queues=N][,mac=..][,size=..]"
                        "[,flow=lossy|lossless][,format=native|netbsd][,mtu=N]"};
    }
    port_arguments arguments;
    arguments.mac = random_mac();
    for (unsigned i = 0; i < pairs->count; ++i) {
        const char* const value = pairs->pairs[i].value;
        const result<void> applied =
            apply(arguments, pairs->pairs[i].key, value == nullptr ? "" : value);
        if (!applied) {
            return applied.failure();
        }
    }
    if (arguments.bus.empty()) {
        return error{EINVAL, "net_shmif: which bus? Give bus=PATH"};
    }
    return arguments;
}

} // namespace pantala::bus
