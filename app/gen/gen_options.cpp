#include "app/gen/gen_options.hpp"

#include "app/gen/probe.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace pantala::app {

namespace {

constexpr const char* imix = "64:7,590:4,1514:1";
constexpr unsigned weight_max = 64;

bool take_number(std::string_view text, unsigned& number) {
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failed == std::errc{} && end == text.data() + text.size();
}

// Spreads the sizes so that no run of one is longer than need be: each step takes the size that is
// furthest behind its share.
std::vector<std::uint16_t> interleave(const std::vector<std::pair<unsigned, unsigned>>& weighted) {
    unsigned total = 0;
    for (const auto& [size, weight] : weighted) {
        total += weight;
    }
    std::vector<int> credit(weighted.size(), 0);
    std::vector<std::uint16_t> pattern;
    for (unsigned step = 0; step < total; ++step) {
        std::size_t most = 0;
        for (std::size_t i = 0; i < weighted.size(); ++i) {
            credit[i] += static_cast<int>(weighted[i].second);
            most = credit[i] > credit[most] ? i : most;
        }
        credit[most] -= static_cast<int>(total);
        pattern.push_back(static_cast<std::uint16_t>(weighted[most].first));
    }
    return pattern;
}

} // namespace

result<std::uint64_t> parse_rate(const std::string& text) {
    if (text == "max") {
        return std::uint64_t{0};
    }
    char* end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    const std::string unit = end;
    value *= unit == "k" ? 1e3 : unit == "M" ? 1e6 : unit == "G" ? 1e9 : 1;
    const bool known = unit.empty() || unit == "k" || unit == "M" || unit == "G";
    if (end == text.c_str() || !known || !std::isfinite(value) || value > 1e12 ||
        (value != 0 && value < 1)) {
        return error{
            EINVAL, fmt::format("--rate '{}': packets a second such as 250k, 1.5M or max", text)};
    }
    return static_cast<std::uint64_t>(value);
}

result<std::vector<std::uint16_t>> parse_sizes(const std::string& text) {
    const std::string whole = text == "imix" ? imix : text;
    std::vector<std::pair<unsigned, unsigned>> weighted;
    std::size_t pattern = 0;
    for (const std::string& part : CLI::detail::split(whole, ',')) {
        const auto colon = part.find(':');
        unsigned size = 0;
        unsigned weight = 1;
        const std::string_view view = part;
        const bool good =
            take_number(view.substr(0, colon), size) &&
            (colon == std::string::npos || take_number(view.substr(colon + 1), weight)) &&
            size >= probe_bytes_min && size <= probe_bytes_max && weight >= 1 &&
            weight <= weight_max;
        pattern += weight;
        if (!good || pattern > pattern_max) {
            return error{
                EINVAL, fmt::format(
                            "--size '{}': frame bytes without checksum, {} to {}, "
                            "as SIZE[:WEIGHT],... or imix",
                            text, probe_bytes_min, probe_bytes_max)};
        }
        weighted.emplace_back(size, weight);
    }
    if (weighted.empty()) {
        return error{EINVAL, "--size: which?"};
    }
    return interleave(weighted);
}

result<std::vector<gen_words::searched>> parse_searches(const std::string& text) {
    const bool mix = text == "imix" || text.find(':') != std::string::npos;
    std::vector<gen_words::searched> all;
    for (const std::string& part :
         mix ? std::vector<std::string>{text} : CLI::detail::split(text, ',')) {
        auto sizes = parse_sizes(part);
        if (!sizes) {
            return sizes.failure();
        }
        all.push_back({part, std::move(*sizes)});
    }
    return all;
}

void add_gen_options(CLI::App& app, gen_words& words) {
    app.add_option("--tx", words.tx, "port to send on: bus:PATH, a PCI address or a vdev");
    app.add_option("--rx", words.rx, "port to receive on; may be the same");
    app.add_option(
        "--next", words.next,
        "whom to send to, the router: its IPv4 address, which ARP asks for, or its Ethernet "
        "address");
    app.add_option("--from", words.from, "source address; ARP for it is answered")
        ->capture_default_str();
    app.add_option("--table", words.table, "draw destinations from this CIDR list");
    app.add_option("--limit", words.limit, "only so many of its prefixes");
    app.add_option("--to", words.to, "destination prefix, instead of a table; may be repeated");
    app.add_option("--flows", words.flows, "different destinations")
        ->capture_default_str()
        ->check(CLI::Range(1U, 16'000'000U));
    app.add_option("--seed", words.seed, "of the destinations")->capture_default_str();
    app.add_option(
           "--gateways", words.gateways,
           "expect each packet at the gateway that a slow lookup by the skewed rule gives "
           "of so many")
        ->check(CLI::Range(0U, gateways_max));
    app.add_option(
        "--churn-seed", words.churn_seed,
        "a packet may also arrive at the gateway by the rule with this seed");
    app.add_option("--gateway-base", words.gateway_base, "Ethernet address of gateway 0")
        ->capture_default_str();
    app.add_option(
        "--gateway-ip", words.gateway_ip,
        "answer ARP for gateway 0 at this address, and for the others at those that follow");
    app.add_option(
           "--size", words.sizes,
           "frame bytes: SIZE[:WEIGHT],... or imix; --search takes sizes without weights one "
           "after another")
        ->capture_default_str();
    app.add_option("--rate", words.rate, "packets a second, 0 or max: as fast as possible")
        ->capture_default_str();
    app.add_option("--duration,--seconds", words.seconds, "how long; a trial's time with --search")
        ->capture_default_str();
    app.add_option("--count", words.count, "stop after so many packets");
    app.add_flag("--routed", words.routed, "the time to live must be one less on arrival");
    app.add_flag("--search", words.search, "find the highest rate without loss (RFC 2544)");
    app.add_option("--resolution", words.resolution, "of the search, as a share")
        ->capture_default_str()
        ->check(CLI::Range(0.001, 0.5));
    app.add_flag("--serve", words.serve, "do as the control socket says");
}

namespace {

result<void> set_next(const gen_words& words, generator_options& options) {
    if (words.next.empty()) {
        return words.tx.empty() ? result<void>()
                                : error{
                                      EINVAL, "gen: --tx wants --next, the router's IPv4 or "
                                              "Ethernet address to send to"};
    }
    if (auto address = parse_ip4(words.next)) {
        options.next_ip = *address;
        return {};
    }
    auto mac = parse_mac(words.next);
    if (!mac) {
        return error{
            EINVAL, fmt::format(
                        "--next '{}': the router's IPv4 or Ethernet address (what is sent is "
                        "IPv4)",
                        words.next)};
    }
    options.next = *mac;
    return {};
}

} // namespace

result<generator_options>
generator_settings(gen_words& words, const std::vector<std::string>& eal) {
    generator_options options;
    auto rate = parse_rate(words.rate);
    auto sizes = parse_sizes(words.sizes);
    auto from = parse_ip4(words.from);
    auto base = parse_mac(words.gateway_base);
    auto gateway_ip =
        words.gateway_ip.empty() ? result<std::uint32_t>(0U) : parse_ip4(words.gateway_ip);
    auto searches = parse_searches(words.sizes);
    for (const error* failure :
         {rate ? nullptr : &rate.failure(), sizes ? nullptr : &sizes.failure(),
          from ? nullptr : &from.failure(), base ? nullptr : &base.failure(),
          gateway_ip ? nullptr : &gateway_ip.failure(), searches ? nullptr : &searches.failure()}) {
        if (failure != nullptr) {
            return *failure;
        }
    }
    if (auto set = set_next(words, options); !set) {
        return set.failure();
    }
    for (const std::string& text : words.to) {
        auto prefix = parse_destination(text);
        if (!prefix) {
            return prefix.failure();
        }
        options.flows.to.push_back(*prefix);
    }
    words.packet_rate = *rate;
    options.tx = words.tx;
    options.rx = words.rx;
    options.gateway_ip = *gateway_ip;
    words.searches = std::move(*searches);
    options.from = *from;
    options.sizes = *sizes;
    options.gateway_base = *base;
    options.routed = words.routed;
    options.eal = eal;
    options.float_lcores = std::none_of(eal.begin(), eal.end(), [](const std::string& one) {
        return one.starts_with("-l") || one.starts_with("-c") || one.starts_with("--lcores");
    });
    options.flows.table = words.table;
    options.flows.limit = words.limit;
    options.flows.flows = words.flows;
    options.flows.seed = words.seed;
    options.flows.gateways = words.gateways;
    options.flows.churn_seed = words.churn_seed;
    return options;
}

} // namespace pantala::app
