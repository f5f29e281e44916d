// forward_bench_data --ipv6: the same files from the IPv6 prefixes of a table. The right next hops
// come from a flat list of intervals, swept once from the sorted prefixes and searched by halves.
#include "bench/forward_data.hpp"
#include "stack/route/feed/prefix_file.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <zlib.h>

namespace pantala::bench {
namespace {

using gen::key6;

__extension__ using u128 = unsigned __int128;

struct route {
    u128 address;
    unsigned length;
    std::uint16_t nexthop;

    u128 last() const { return length == 0 ? ~u128{0} : address | (~u128{0} >> (length - 1) >> 1); }
};

key6 bytes_of(u128 address) {
    key6 bytes;
    for (unsigned i = 0; i < 16; ++i) {
        bytes[i] = static_cast<std::uint8_t>(address >> (120 - 8 * i));
    }
    return bytes;
}

u128 number_of(const std::uint8_t* bytes) {
    u128 number = 0;
    for (unsigned i = 0; i < 16; ++i) {
        number = number << 8 | bytes[i];
    }
    return number;
}

route make_route(u128 address, unsigned length) {
    const std::uint64_t high = splitmix64(rule_seed + static_cast<std::uint64_t>(address >> 64));
    const std::uint64_t hash = splitmix64(high ^ (static_cast<std::uint64_t>(address) + length));
    return {address, length, nexthop_by_hash(hash)};
}

std::vector<route> made_table() {
    std::vector<route> routes;
    for (const file_route6& made : synthetic_table().ip6) {
        const auto bytes = made.prefix.address.bytes();
        routes.push_back(make_route(number_of(bytes.data()), made.prefix.length));
    }
    return routes;
}

// The IPv6 prefixes of a CIDR list (gzip or plain), IPv4 ones skipped; anything else is an error.
std::vector<route> read_table(const std::string& path) {
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr) {
        fail("cannot open the table '" + path + "'");
    }
    std::vector<route> routes;
    std::array<char, 256> line{};
    for (unsigned number = 1; gzgets(file, line.data(), line.size()) != nullptr; ++number) {
        if (std::strchr(line.data(), ':') == nullptr) {
            continue;
        }
        char address[64];
        unsigned length = 0;
        in6_addr parsed{};
        if (std::sscanf(line.data(), "%63[0-9a-fA-F:.]/%u", address, &length) != 2 ||
            length > 128 || inet_pton(AF_INET6, address, &parsed) != 1) {
            fail(fmt::format("{}:{}: not a prefix: {}", path, number, line.data()));
        }
        routes.push_back(make_route(number_of(parsed.s6_addr), length));
    }
    gzclose(file);
    if (routes.empty()) {
        fail("no IPv6 prefix in '" + path + "'");
    }
    return routes;
}

// Which next hop an address has; 0: no route.
class interval_list {
  public:
    explicit interval_list(std::vector<route> routes) {
        std::sort(routes.begin(), routes.end(), [](const route& a, const route& b) {
            return a.address != b.address ? a.address < b.address : a.length < b.length;
        });
        begin(0, 0);
        for (const route& r : routes) {
            close_before(r.address);
            begin(r.address, r.nexthop);
            open_.push_back(r);
        }
        while (!open_.empty()) {
            close_last();
        }
    }

    std::uint16_t lookup(u128 address) const {
        const auto next = std::upper_bound(starts_.begin(), starts_.end(), address);
        return nexthops_[static_cast<std::size_t>(next - starts_.begin()) - 1];
    }

  private:
    void begin(u128 at, std::uint16_t nexthop) {
        if (!starts_.empty() && starts_.back() == at) {
            nexthops_.back() = nexthop;
            return;
        }
        starts_.push_back(at);
        nexthops_.push_back(nexthop);
    }
    void close_before(u128 address) {
        while (!open_.empty() && open_.back().last() < address) {
            close_last();
        }
    }
    void close_last() {
        const u128 last = open_.back().last();
        open_.pop_back();
        if (last != ~u128{0}) {
            begin(last + 1, open_.empty() ? std::uint16_t{0} : open_.back().nexthop);
        }
    }

    std::vector<route> open_; // nested prefixes, the innermost last
    std::vector<u128> starts_;
    std::vector<std::uint16_t> nexthops_;
};

// In global unicast space, and not of the bench's own links (2001:db8::/32).
bool usable(u128 address) {
    return address >> 125 == 1 && address >> 96 != 0x20010db8;
}

using sides_of_keys = std::array<std::vector<u128>, 2>;

// Distinct destinations inside prefixes, each side half of them, in random order.
sides_of_keys
draw_keys(const std::vector<route>& routes, const interval_list& table, std::size_t wanted) {
    std::mt19937_64 random(rule_seed);
    sides_of_keys sides;
    const std::size_t each = wanted / 2;
    for (unsigned attempt = 0; attempt < 64; ++attempt) {
        for (std::size_t i = 0; i < wanted; ++i) {
            const route& r = routes[random() % routes.size()];
            const u128 any = u128{random()} << 64 | random();
            const u128 address = r.address | (any & (r.last() ^ r.address));
            const std::uint16_t nexthop = table.lookup(address);
            if (nexthop != 0 && usable(address)) {
                sides[1 - (nexthop & 1)].push_back(address);
            }
        }
        for (auto& keys : sides) {
            std::sort(keys.begin(), keys.end());
            keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
        }
        if (std::min(sides[0].size(), sides[1].size()) >= each) {
            break;
        }
    }
    for (auto& keys : sides) {
        std::shuffle(keys.begin(), keys.end(), random);
        if (keys.size() < each || each == 0) {
            fail("the table is too small for so many distinct destinations; ask for fewer");
        }
        keys.resize(each);
    }
    return sides;
}

void write_keys(const std::string& path, const interval_list& table, const sides_of_keys& sides) {
    output file(path);
    gen::keys_header header{};
    header.magic = gen::keys_magic6;
    header.count = {
        static_cast<std::uint32_t>(sides[0].size()), static_cast<std::uint32_t>(sides[1].size())};
    file.bytes(&header, sizeof header);
    for (const auto& keys : sides) {
        for (const u128 key : keys) {
            file.bytes(bytes_of(key).data(), sizeof(key6));
        }
    }
    for (const auto& keys : sides) {
        for (const u128 key : keys) {
            const std::uint16_t nexthop = table.lookup(key);
            file.bytes(&nexthop, sizeof nexthop);
        }
    }
}

void write_routes(const std::string& directory, const std::vector<route>& routes) {
    output ours(directory + "/pantala.routes");
    output theirs(directory + "/l3fwd6.rules");
    for (const route& r : routes) {
        char text[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, bytes_of(r.address).data(), text, sizeof text);
        const std::string prefix = fmt::format("{}/{}", text, r.length);
        ours.text(fmt::format("{} via 2001:db8:0:{}::1{:02x}\n", prefix, r.nexthop & 1, r.nexthop));
        theirs.text(fmt::format("R{} {}\n", prefix, r.nexthop & 1));
    }
    output(directory + "/l3fwd.rules").text("R192.0.2.0/24 0\n");
}

} // namespace

data_made make_data6(const data_options& options) {
    const std::vector<route> routes =
        options.table.empty() ? made_table() : read_table(options.table);
    std::fprintf(
        stderr, "%zu IPv6 prefixes %s\n", routes.size(), options.table.empty() ? "made" : "read");
    const interval_list table(routes);
    const sides_of_keys sides = draw_keys(routes, table, options.keys);
    const std::size_t drawn = sides[0].size() + sides[1].size();
    std::fprintf(stderr, "%zu distinct destinations drawn\n", drawn);
    write_keys(options.directory + "/keys.bin", table, sides);
    write_routes(options.directory, routes);
    return {routes.size(), drawn};
}

} // namespace pantala::bench
