// forward_bench_data: from a routing table, everything that a run of scripts/bench_forward needs.
// Pantala and its rival get the same routes and the same traffic, and the right outcome of every
// destination comes from a lookup here that shares no code with either.
//
//   keys.bin        destinations, and the next hop of each (bench/gen_vdev/gen_keys.hpp)
//   pantala.routes  CIDR via GATEWAY: 63 next hops on two ports
//   l3fwd.rules     R CIDR PORT: l3fwd knows ports only, so next hop n becomes port n & 1
//   l3fwd6.rules    one rule, because l3fwd wants both files
//
// With --ipv6 the same of the table's IPv6 prefixes (forward_data6.cpp); l3fwd.rules has one rule.
//
// Next hops by rule: u = splitmix64(seed + address * 64 + length) as a fraction of 1; next hop
// 1 + floor(63 * u^3). So next hop 1 carries a quarter of the prefixes, and the first eight half.
#include "app/gen/table/synthetic_table.hpp"
#include "bench/forward_data.hpp"
#include "engine/base/byte_order.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <zlib.h>

namespace {

using namespace pantala::bench;

struct route {
    std::uint32_t address; // host order
    std::uint8_t length;
    std::uint16_t nexthop;
};

std::uint16_t nexthop_by_rule(std::uint32_t address, std::uint8_t length) {
    return nexthop_by_hash(splitmix64(rule_seed + std::uint64_t{address} * 64 + length));
}

std::string dotted(std::uint32_t address) {
    return fmt::format(
        "{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

std::vector<route> made_table() {
    std::vector<route> routes;
    for (const pantala::app::ip4_prefix& made : pantala::app::make_synthetic_table(1)) {
        routes.push_back({made.address, made.length, nexthop_by_rule(made.address, made.length)});
    }
    return routes;
}

// The IPv4 prefixes of a CIDR list (gzip or plain), IPv6 ones skipped; anything else is an error.
std::vector<route> read_table(const std::string& path) {
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr) {
        fail("cannot open the table '" + path + "'");
    }
    std::vector<route> routes;
    std::array<char, 256> line{};
    for (unsigned number = 1; gzgets(file, line.data(), line.size()) != nullptr; ++number) {
        if (std::strchr(line.data(), ':') != nullptr || line[0] == '#' || line[0] == '\n') {
            continue;
        }
        char address[32];
        unsigned length = 0;
        in_addr parsed{};
        if (std::sscanf(line.data(), "%31[0-9.]/%u", address, &length) != 2 || length > 32 ||
            inet_pton(AF_INET, address, &parsed) != 1) {
            fail(fmt::format("{}:{}: not a prefix: {}", path, number, line.data()));
        }
        const std::uint32_t host = pantala::be32::from_raw(parsed.s_addr).host();
        const auto bits = static_cast<std::uint8_t>(length);
        routes.push_back({host, bits, nexthop_by_rule(host, bits)});
    }
    gzclose(file);
    if (routes.empty()) {
        fail("no IPv4 prefix in '" + path + "'");
    }
    return routes;
}

// Which next hop an address has: every /24 painted from short prefixes to long ones, longer routes
// slot by slot. 0: no route.
class painted_table {
  public:
    explicit painted_table(std::vector<route> routes) : slots_(std::size_t{1} << 24) {
        std::stable_sort(routes.begin(), routes.end(), [](const route& a, const route& b) {
            return a.length < b.length;
        });
        for (const route& r : routes) {
            r.length <= 24 ? paint(r) : paint_long(r);
        }
    }

    std::uint16_t lookup(std::uint32_t address) const {
        const auto longer = longer_.find(address >> 8);
        return longer == longer_.end() ? slots_[address >> 8] : longer->second[address & 255];
    }

  private:
    void paint(const route& r) {
        const std::size_t first = r.address >> 8;
        std::fill_n(
            slots_.begin() + static_cast<std::ptrdiff_t>(first), std::size_t{1} << (24 - r.length),
            r.nexthop);
    }

    void paint_long(const route& r) {
        auto [at, fresh] = longer_.try_emplace(r.address >> 8);
        if (fresh) {
            at->second.fill(slots_[r.address >> 8]);
        }
        std::fill_n(at->second.begin() + (r.address & 255), 1u << (32 - r.length), r.nexthop);
    }

    std::vector<std::uint16_t> slots_;
    std::unordered_map<std::uint32_t, std::array<std::uint16_t, 256>> longer_;
};

// Addresses that a router does not forward whatever the table says, and the bench's own links.
bool usable(std::uint32_t address) {
    const std::uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224 && (address >> 16) != 0xa9fe &&
           (address >> 17) != (0xc612 >> 1);
}

// Distinct destinations with a route, each side `wanted / 2`, in random order.
std::array<std::vector<std::uint32_t>, 2> draw_keys(
    const std::vector<route>& routes, const painted_table& table, std::size_t wanted,
    bool uniform) {
    std::mt19937_64 random(rule_seed);
    std::array<std::vector<std::uint32_t>, 2> sides;
    const std::size_t each = wanted / 2;
    for (unsigned attempt = 0; attempt < 64; ++attempt) {
        for (std::size_t i = 0; i < wanted; ++i) {
            std::uint64_t bits = random();
            auto address = static_cast<std::uint32_t>(bits);
            if (!uniform) {
                const route& r = routes[(bits >> 32) * routes.size() >> 32];
                address =
                    r.address | (r.length == 0 ? address : address & ~(~0u << (32 - r.length)));
                if (r.length == 32) {
                    address = r.address;
                }
            }
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
        keys.resize(std::min(keys.size(), each));
    }
    if (sides[0].size() != each || sides[1].size() != each) {
        fail("the table is too small for so many distinct destinations; ask for fewer (--keys)");
    }
    return sides;
}

void write_keys(
    const std::string& path, const painted_table& table,
    const std::array<std::vector<std::uint32_t>, 2>& sides) {
    output file(path);
    pantala::gen::keys_header header{};
    header.magic = pantala::gen::keys_magic;
    header.count = {
        static_cast<std::uint32_t>(sides[0].size()), static_cast<std::uint32_t>(sides[1].size())};
    file.bytes(&header, sizeof header);
    for (const auto& keys : sides) {
        std::vector<std::uint32_t> wire(keys.size());
        std::transform(keys.begin(), keys.end(), wire.begin(), [](auto key) {
            return pantala::be32::from(key).raw();
        });
        file.bytes(wire.data(), wire.size() * sizeof wire[0]);
    }
    for (const auto& keys : sides) {
        std::vector<std::uint16_t> expected(keys.size());
        std::transform(keys.begin(), keys.end(), expected.begin(), [&](auto key) {
            return table.lookup(key);
        });
        file.bytes(expected.data(), expected.size() * sizeof expected[0]);
    }
}

void write_routes(const std::string& directory, const std::vector<route>& routes) {
    output ours(directory + "/pantala.routes");
    output theirs(directory + "/l3fwd.rules");
    for (const route& r : routes) {
        const std::string prefix = fmt::format("{}/{}", dotted(r.address), r.length);
        ours.text(fmt::format("{} via 198.18.{}.{}\n", prefix, r.nexthop & 1, 100 + r.nexthop));
        theirs.text(fmt::format("R{} {}\n", prefix, r.nexthop & 1));
    }
    output(directory + "/l3fwd6.rules").text("R2001:db8::/32 0\n");
}

data_made make_data4(const data_options& options, bool uniform) {
    const std::vector<route> routes =
        options.table.empty() ? made_table() : read_table(options.table);
    std::fprintf(
        stderr, "%zu IPv4 prefixes %s\n", routes.size(), options.table.empty() ? "made" : "read");
    const painted_table table(routes);
    const auto sides = draw_keys(routes, table, options.keys, uniform);
    const std::size_t drawn = sides[0].size() + sides[1].size();
    std::fprintf(stderr, "%zu distinct destinations drawn\n", drawn);
    write_keys(options.directory + "/keys.bin", table, sides);
    write_routes(options.directory, routes);
    return {routes.size(), drawn};
}

} // namespace

int main(int argc, char** argv) {
    data_options options;
    bool uniform = false;
    bool ip6 = false;
    CLI::App app("what scripts/bench_forward needs, made from a routing table");
    app.add_option("--table", options.table, "CIDR list, plain or gzip; else a synthetic table");
    app.add_option("--out", options.directory, "directory for the files")
        ->check(CLI::ExistingDirectory);
    app.add_option("--keys", options.keys, "distinct destinations, both ports together");
    CLI::Option* other_draw = app.add_flag(
        "--uniform", uniform,
        "addresses drawn from all that have a route, instead of a prefix first");
    app.add_flag("--ipv6", ip6, "the table's IPv6 prefixes, and IPv6 traffic")
        ->excludes(other_draw);
    CLI11_PARSE(app, argc, argv);

    const data_made made = ip6 ? make_data6(options) : make_data4(options, uniform);
    std::printf(
        "{\"%s\": %zu, \"keys\": %zu}\n", ip6 ? "ipv6_routes" : "ipv4_routes", made.routes,
        made.keys);
    return 0;
}
