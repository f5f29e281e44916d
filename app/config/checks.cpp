// Checks of the configuration's texts.
#include "app/changes.hpp"
#include "app/config/schema.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include <fmt/format.h>

namespace pantala::app {

namespace {

template <class T>
result<void> checked(result<T> outcome) {
    return outcome ? result<void>() : result<void>(outcome.failure());
}

result<void> one_of(const std::string& value, std::initializer_list<std::string_view> words) {
    if (std::find(words.begin(), words.end(), value) != words.end()) {
        return {};
    }
    return error{EINVAL, fmt::format("'{}' is not one of: {}", value, fmt::join(words, ", "))};
}

} // namespace

result<void> is_idle(const std::string& value) {
    return one_of(value, {"adaptive", "busy"});
}
result<void> is_dispatch(const std::string& value) {
    return one_of(value, {"direct", "deferred"});
}
result<void> is_kind(const std::string& value) {
    return one_of(value, {"unicast", "blackhole", "unreachable", "prohibit"});
}
result<void> is_congestion(const std::string& value) {
    return one_of(value, {"cubic", "reno", "dctcp"});
}
result<void> is_mtu_probing(const std::string& value) {
    return one_of(value, {"never", "reduced", "always"});
}
result<void> check_tcp(const tcp_config& from) {
    struct pair {
        const char* low_name;
        std::uint32_t low;
        const char* high_name;
        std::uint32_t high;
    };
    const pair ordered[] = {
        {"rexmit_min_ms", from.rexmit_min_ms, "rexmit_max_ms", from.rexmit_max_ms},
        {"rexmit_initial_ms", from.rexmit_initial_ms, "rexmit_max_ms", from.rexmit_max_ms},
        {"persist_min_ms", from.persist_min_ms, "persist_max_ms", from.persist_max_ms},
        {"rexmit_min_ms", from.rexmit_min_ms, "persist_max_ms", from.persist_max_ms},
        {"rcv_buffer", from.rcv_buffer, "rcv_buffer_max", from.rcv_buffer_max},
        {"snd_buffer", from.snd_buffer, "snd_buffer_max", from.snd_buffer_max},
        {"mss_min", from.mss_min, "mss_max", from.mss_max},
        {"port_first", from.port_first, "port_last", from.port_last},
    };
    for (const pair& one : ordered) {
        if (one.low > one.high) {
            return error{
                EINVAL, fmt::format(
                            "{} ({}) is more than {} ({})", one.low_name, one.low, one.high_name,
                            one.high)};
        }
    }
    return {};
}
// What datagrams learn of a path has no connection to outlive: it would be forgotten at once.
result<void> check_hostcache(const hostcache_config& from) {
    return from.expire >= from.min_expire
               ? result<void>()
               : error{
                     EINVAL,
                     fmt::format(
                         "expire ({}) is less than min_expire ({})", from.expire, from.min_expire)};
}
result<void> is_dad(const std::string& value) {
    return one_of(value, {"optimistic", "strict", "off"});
}
result<void> is_ra(const std::string& value) {
    return one_of(value, {"off", "send", "accept"});
}
result<void> is_rpf(const std::string& value) {
    return one_of(value, {"off", "strict", "loose"});
}
result<void> is_mac(const std::string& value) {
    return checked(parse_mac(value));
}
result<void> is_address(const std::string& value) {
    neigh_change either;
    return set_address(value, either);
}
result<void> is_destination(const std::string& value) {
    route_change either;
    return set_destination(value, either);
}
result<void> is_interface_address(const std::string& value) {
    addr_change either;
    return set_address(value, either);
}
// A number would be a table's own.
result<void> is_vrf(const std::string& value) {
    table_word named;
    auto good = set_table("vrf", value, named);
    const bool number = std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    return good && (number || named.name.empty())
               ? error{EINVAL, fmt::format("'{}' is no name of a VRF", value)}
               : good;
}
result<void> is_name(const std::string& value) {
    const bool good =
        !value.empty() && value.size() <= 31 && std::all_of(value.begin(), value.end(), [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
        });
    return good ? result<void>()
                : error{
                      EINVAL, fmt::format(
                                  "'{}' is no name: 1 to 31 letters, digits, '.', '-' "
                                  "or '_'",
                                  value)};
}

} // namespace pantala::app
