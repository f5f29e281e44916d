#include "stack/ip/ip4_options.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/wire/checksum.hpp"

#include <cstring>

namespace pantala {
namespace {

using wire::ipv4_option;

constexpr std::uint8_t route_pointer_min = 4; // of source and record routes
constexpr std::uint8_t timestamp_pointer_min = 5;
constexpr std::uint32_t timestamp_not_standard = 0x80000000u; // not since midnight UT (RFC 791)

enum class timestamp_flag : std::uint8_t { only = 0, with_address = 1, prespecified = 3 };

// One option: its octets, from the type on.
struct option_view {
    ipv4_option type;
    std::span<std::uint8_t> octets;
};

bool pointer_fits(std::span<const std::uint8_t> octets, std::uint8_t least) {
    return octets.size() >= 3 && octets[2] >= least;
}

// Zero: well formed; else the place of the octet at fault, from the option's start, plus one.
std::uint8_t fault_in(ipv4_option type, std::span<const std::uint8_t> octets) {
    switch (type) {
    case ipv4_option::record_route:
        return pointer_fits(octets, route_pointer_min) ? 0 : 3;
    case ipv4_option::timestamp:
        if (octets.size() < 4) {
            return 2;
        }
        return pointer_fits(octets, timestamp_pointer_min) ? 0 : 3;
    default:
        return 0;
    }
}

void record_route(std::span<std::uint8_t> octets, be32 address) {
    const std::size_t at = octets[2];
    if (at + 3 > octets.size()) {
        return; // full: passed on as it is (RFC 791)
    }
    std::memcpy(&octets[at - 1], &address, sizeof address);
    octets[2] = static_cast<std::uint8_t>(at + 4);
}

struct stamp {
    be32 address; // of ours
    std::uint32_t time;
    std::uint8_t table; // whose addresses are ours
};

// False: no room and the count of those that found none is full too.
bool timestamp(ip4_context& context, std::span<std::uint8_t> octets, const stamp& with) {
    const std::size_t at = octets[2];
    const auto flag = static_cast<timestamp_flag>(octets[3] & 0x0f);
    const std::size_t entry = flag == timestamp_flag::only ? 4 : 8;
    if (at - 1 + entry > octets.size()) {
        if ((octets[3] >> 4) == 15) {
            return false;
        }
        octets[3] = static_cast<std::uint8_t>(octets[3] + 0x10);
        return true;
    }
    const be32 time = be32::from(with.time);
    if (flag == timestamp_flag::prespecified) {
        be32 asked;
        std::memcpy(&asked, &octets[at - 1], sizeof asked);
        if (!context.links.owner_of(asked, with.table)) {
            return true;
        }
    } else if (flag == timestamp_flag::with_address) {
        std::memcpy(&octets[at - 1], &with.address, sizeof with.address);
    } else if (flag != timestamp_flag::only) {
        return true; // a kind that RFC 791 does not know: passed on
    }
    std::memcpy(&octets[at - 1 + entry - sizeof time], &time, sizeof time);
    octets[2] = static_cast<std::uint8_t>(at + entry);
    return true;
}

// Calls `visit` for each option but padding; stops when it answers false. The options are sound.
template <class Octets, class Visit>
bool each_option(std::span<Octets> options, Visit&& visit) {
    for (std::size_t at = 0; at < options.size();) {
        const auto type = static_cast<ipv4_option>(options[at]);
        if (type == ipv4_option::end_of_list) {
            return true;
        }
        if (type == ipv4_option::no_operation) {
            ++at;
            continue;
        }
        const std::size_t length = options[at + 1];
        if (!visit(type, options.subspan(at, length))) {
            return false;
        }
        at += length;
    }
    return true;
}

} // namespace

ip4_options_check ip4_check_options(std::span<const std::uint8_t> header) {
    for (std::size_t at = wire::ipv4_header_min_bytes; at < header.size();) {
        const auto type = static_cast<ipv4_option>(header[at]);
        if (type == ipv4_option::end_of_list) {
            break;
        }
        if (type == ipv4_option::no_operation) {
            ++at;
            continue;
        }
        const auto fault = [&](std::size_t place) {
            return ip4_options_check{
                ip4_options_verdict::malformed, static_cast<std::uint8_t>(place)};
        };
        if (at + 1 >= header.size() || header[at + 1] < 2 || at + header[at + 1] > header.size()) {
            return fault(at + 1 < header.size() ? at + 1 : at);
        }
        const std::size_t length = header[at + 1];
        if (type == ipv4_option::loose_source_route || type == ipv4_option::strict_source_route) {
            return {ip4_options_verdict::source_route, static_cast<std::uint8_t>(at)};
        }
        if (const std::uint8_t wrong = fault_in(type, header.subspan(at, length)); wrong != 0) {
            return fault(at + wrong - 1u);
        }
        at += length;
    }
    return {};
}

bool ip4_forward_options(ip4_context& context, rte_mbuf& packet, iface_id out) {
    auto* start = rte_pktmbuf_mtod(&packet, std::uint8_t*);
    wire::ipv4_header ip;
    std::memcpy(&ip, start, sizeof ip);
    const std::span<std::uint8_t> options(start + sizeof ip, ip.header_bytes() - sizeof ip);
    const be32 address = context.links.source_for(out, ip.destination.value);
    const std::uint8_t table = context.links[meta_of(packet).iface].table;
    const auto time =
        static_cast<std::uint32_t>(context.now.ms() & 0x7fffffff) | timestamp_not_standard;
    const bool sent = each_option(options, [&](ipv4_option type, std::span<std::uint8_t> octets) {
        if (type == ipv4_option::record_route) {
            record_route(octets, address);
        } else if (type == ipv4_option::timestamp) {
            return timestamp(context, octets, {address, time, table});
        }
        return true;
    });
    ip.checksum = {};
    std::memcpy(start, &ip, sizeof ip);
    ip.checksum = wire::checksum_of(wire::sum_bytes(start, ip.header_bytes()));
    std::memcpy(start, &ip, sizeof ip);
    return sent;
}

std::size_t ip4_copied_options(std::span<const std::uint8_t> options, std::uint8_t* out) {
    std::size_t length = 0;
    each_option(options, [&](ipv4_option type, std::span<const std::uint8_t> octets) {
        if ((static_cast<std::uint8_t>(type) & wire::ipv4_option_copied) != 0) {
            std::memcpy(out + length, octets.data(), octets.size());
            length += octets.size();
        }
        return true;
    });
    for (; length % 4 != 0; ++length) {
        out[length] = static_cast<std::uint8_t>(ipv4_option::end_of_list);
    }
    return length;
}

} // namespace pantala
