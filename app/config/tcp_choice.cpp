#include "app/config/tcp_choice.hpp"

#include "app/config/schema.hpp"
#include "app/words.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <variant>

#include <fmt/format.h>

namespace pantala::app {
namespace {

// The keys have the defaults of the fields.
#define TCP_NUMBER(name, usual, least, most, when, meaning)                                        \
    static_assert(tcp::settings{}.name == (usual) && (usual) >= (least) && (usual) <= (most));
#define TCP_LIMIT(name, usual, least, most, when, meaning)                                         \
    static_assert(tcp::limits{}.name == (usual) && (usual) >= (least) && (usual) <= (most));
#define TCP_FLAG(name, usual, when, meaning) static_assert(tcp::settings{}.name == (usual));
#include "app/config/tcp_keys.def"
#undef TCP_NUMBER
#undef TCP_LIMIT
#undef TCP_FLAG

constexpr const char* fixed_keys[] = {
    "fast_open_servers",
#define anytime true
#define at_start false
#define TCP_NUMBER(name, usual, least, most, when, meaning) (when) ? nullptr : #name,
#define TCP_LIMIT(name, usual, least, most, when, meaning) (when) ? nullptr : #name,
#define TCP_FLAG(name, usual, when, meaning) (when) ? nullptr : #name,
#include "app/config/tcp_keys.def"
#undef TCP_NUMBER
#undef TCP_LIMIT
#undef TCP_FLAG
#undef anytime
#undef at_start
};

result<void> set(const number_key<tcp_config>& kind, std::string_view value, tcp_config& of) {
    std::uint32_t number = 0;
    const auto read = std::from_chars(value.begin(), value.end(), number);
    if (read.ec != std::errc{} || read.ptr != value.end() || number < kind.least ||
        number > kind.most) {
        return say(fmt::format("must be a whole number from {} to {}", kind.least, kind.most));
    }
    of.*kind.member = number;
    return {};
}

result<void> set(const flag_key<tcp_config>& kind, std::string_view value, tcp_config& of) {
    const bool on = value == "true" || value == "on";
    if (!on && value != "false" && value != "off") {
        return say("must be true or false");
    }
    of.*kind.member = on;
    return {};
}

result<void> set(const text_key<tcp_config>& kind, std::string_view value, tcp_config& of) {
    of.*kind.member = value;
    return kind.check(of.*kind.member);
}

result<void> set(const list_key<tcp_config>&, std::string_view, tcp_config&) {
    return say("is a list"); // there is none
}

tcp::mtu_probing mtu_probing_of(const std::string& word) {
    return word == "always"    ? tcp::mtu_probing::always
           : word == "reduced" ? tcp::mtu_probing::reduced
                               : tcp::mtu_probing::never;
}

} // namespace

void choose_tcp(const tcp_config& from, host_settings& to) {
    tcp::settings& tcp = to.tcp;
    tcp.congestion = tcp::congestion_named(from.congestion).value_or(tcp.congestion);
    tcp.pacing = from.pacing;
    tcp.pacing_ss_percent = static_cast<std::uint16_t>(from.pacing_slow_start);
    tcp.pacing_ca_percent = static_cast<std::uint16_t>(from.pacing_avoidance);
    tcp.pacing_rtt_min_ms = from.pacing_rtt_min;
    tcp.fast_open_client = from.fast_open_client;
    tcp.fast_open_server = from.fast_open_server;
    tcp.fast_open_period_ms = from.fast_open_period * 1'000;
    tcp.fast_open_pause_ms = from.fast_open_pause * 1'000;
    to.limits.fast_open_servers = from.fast_open_servers;
    tcp.mtu_probing = mtu_probing_of(from.mtu_probing);
    tcp.mtu_raise_ms = from.mtu_raise * 1'000;
#define TCP_NUMBER(name, usual, least, most, when, meaning)                                        \
    tcp.name = static_cast<decltype(tcp.name)>(from.name);
#define TCP_LIMIT(name, usual, least, most, when, meaning) to.limits.name = from.name;
#define TCP_FLAG(name, usual, when, meaning) tcp.name = from.name;
#include "app/config/tcp_keys.def"
#undef TCP_NUMBER
#undef TCP_LIMIT
#undef TCP_FLAG
    tcp.ecn_request |= tcp.congestion == tcp::congestion_kind::dctcp;
}

bool may_change(std::string_view key) {
    return std::none_of(std::begin(fixed_keys), std::end(fixed_keys), [&](const char* fixed) {
        return fixed != nullptr && key == fixed;
    });
}

result<void> set_tcp_key(tcp_config& of, std::string_view name, std::string_view value) {
    const auto found =
        std::ranges::find_if(tcp_keys, [&](const auto& one) { return name == one.name; });
    if (found == std::end(tcp_keys)) {
        std::vector<std::string_view> known;
        for (const auto& one : tcp_keys) {
            known.emplace_back(one.name);
        }
        return say(fmt::format("tcp: there is no '{}'{}", name, did_you_mean(name, known)));
    }
    if (!may_change(name)) {
        return say(fmt::format("tcp: '{}' can be set in the configuration alone", name));
    }
    tcp_config wanted = of;
    auto good =
        std::visit([&](const auto& kind) { return set(kind, value, wanted); }, found->value);
    if (good) {
        good = check_tcp(wanted);
    }
    if (!good) {
        return say(fmt::format("tcp: {}: {}", name, good.failure().text));
    }
    of = wanted;
    return {};
}

} // namespace pantala::app
