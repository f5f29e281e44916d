#include "app/gen/generator.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

namespace pantala::app {

namespace {

constexpr unsigned pool_mbufs = 16384;
constexpr unsigned pool_mbufs_long = 8192; // of frames longer than an ordinary buffer
constexpr unsigned pool_cache = 256;
constexpr std::uint32_t room_min = 2048; // of a buffer
constexpr unsigned memory_mb = 128;
constexpr std::chrono::seconds arp_patience{5};
constexpr std::uint16_t descriptors = 2048;

error port_error(std::string_view what, std::uint16_t port, int code) {
    return error{-code, fmt::format("port {}: {}: {}", port, what, rte_strerror(-code))};
}

std::uint64_t missed(std::uint16_t port) {
    rte_eth_stats stats{};
    return rte_eth_stats_get(port, &stats) == 0 ? stats.imissed + stats.rx_nombuf : 0;
}

unsigned mbufs_of(std::uint32_t frame_bytes) {
    return frame_bytes <= room_min ? pool_mbufs : pool_mbufs_long;
}

// EAL's memory for frames of so many bytes: the buffers with their heads, and what the rest takes.
unsigned memory_mb_for(std::uint32_t frame_bytes) {
    const std::uint64_t buffers = std::uint64_t{mbufs_of(frame_bytes)} * (frame_bytes + 512);
    return std::max(memory_mb, 64 + static_cast<unsigned>(buffers >> 20));
}

// What the device carries as it is: its arguments may have said.
std::uint16_t own_mtu(std::uint16_t port) {
    std::uint16_t mtu = 0;
    return rte_eth_dev_get_mtu(port, &mtu) == 0 && mtu != 0 ? mtu : RTE_ETHER_MTU;
}

std::uint16_t limited(std::uint16_t wanted, const rte_eth_desc_lim& limits) {
    const std::uint16_t most = limits.nb_max == 0 ? wanted : limits.nb_max;
    return std::clamp<std::uint16_t>(wanted, std::min(limits.nb_min, most), most);
}

} // namespace

mac_address gateway_mac(const mac_address& base, unsigned number) {
    mac_address mac = base;
    const unsigned low = (unsigned{base[4]} << 8 | base[5]) + number;
    mac[4] = static_cast<std::uint8_t>(low >> 8);
    mac[5] = static_cast<std::uint8_t>(low);
    return mac;
}

result<std::unique_ptr<generator>> generator::open(const generator_options& options) {
    std::unique_ptr<generator> made(new generator);
    const auto began = std::chrono::steady_clock::now();
    if (auto started = made->start(options); !started) {
        return started.failure();
    }
    made->setup_seconds_ =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return made;
}

result<void> generator::start(const generator_options& options) {
    launch_settings launch;
    launch.program = options.program;
    launch.workers = unsigned{!options.tx.empty()} + !options.rx.empty();
    const auto take = [&](const std::string& text, std::optional<device>& into) -> result<void> {
        auto parsed = parse_device(text, static_cast<unsigned>(launch.eal.size()));
        if (!parsed) {
            return parsed.failure();
        }
        into = *parsed;
        launch.eal.push_back(parsed->argument);
        return {};
    };
    if (options.tx.empty() && options.rx.empty()) {
        return error{EINVAL, "gen: name a port with --tx, --rx or both"};
    }
    if (auto good = options.tx.empty() ? result<void>() : take(options.tx, tx_device_); !good) {
        return good;
    }
    if (options.rx == options.tx) {
        rx_device_ = tx_device_;
    } else if (auto good = options.rx.empty() ? result<void>() : take(options.rx, rx_device_);
               !good) {
        return good;
    }
    longest_ = *std::max_element(options.sizes.begin(), options.sizes.end());
    launch.memory_mb = memory_mb_for(longest_);
    auto flows = make_flows(options.flows, options.watch);
    if (!flows) {
        return flows.failure();
    }
    flows_ = std::move(*flows);
    if (options.float_lcores) {
        launch.eal.push_back(floating_lcores(1 + launch.workers));
    }
    launch.eal.insert(launch.eal.end(), options.eal.begin(), options.eal.end());
    auto started = eal_session::start(launch);
    if (!started) {
        return started.failure();
    }
    eal_ = std::move(*started);
    if (auto ready = start_ports(options); !ready) {
        return ready;
    }
    start_lcores(options);
    return find_next(options);
}

namespace {
constexpr std::uint32_t buffer_most = UINT16_MAX - RTE_PKTMBUF_HEADROOM - 2 * RTE_VLAN_HLEN;
} // namespace

// The ports, and the longest frame that they are to carry: what is sent, and what their own MTU
// lets others send.
result<void> generator::find_ports(const generator_options& options) {
    frame_most_ = *std::max_element(options.sizes.begin(), options.sizes.end());
    const auto find = [&](const std::optional<device>& wanted,
                          std::optional<std::uint16_t>& port) -> result<void> {
        if (!wanted) {
            return {};
        }
        auto found = find_port(*wanted);
        if (!found) {
            return found.failure();
        }
        port = *found;
        frame_most_ = std::max<std::uint32_t>(frame_most_, own_mtu(*port) + RTE_ETHER_HDR_LEN);
        return {};
    };
    auto found = find(tx_device_, tx_port_);
    if (found) {
        found = find(rx_device_, rx_port_);
    }
    frame_most_ = std::min<std::uint32_t>(frame_most_, buffer_most); // a port may carry more
    return found;
}

result<void> generator::make_pool() {
    const std::uint16_t room = static_cast<std::uint16_t>(
        RTE_PKTMBUF_HEADROOM +
        std::clamp<std::uint32_t>(
            frame_most_ + 2 * RTE_VLAN_HLEN, room_min, UINT16_MAX - RTE_PKTMBUF_HEADROOM));
    const unsigned mbufs = mbufs_of(frame_most_);
    pool_ = rte_pktmbuf_pool_create("gen", mbufs, pool_cache, 0, room, SOCKET_ID_ANY);
    if (pool_ == nullptr) {
        return error{
            rte_errno, fmt::format(
                           "no memory for {} packets of {} bytes: {} (give more "
                           "with '-- -m MIB')",
                           mbufs, room, rte_strerror(rte_errno))};
    }
    return {};
}

result<void> generator::start_ports(const generator_options& options) {
    if (auto found = find_ports(options); !found) {
        return found;
    }
    if (auto made = make_pool(); !made) {
        return made;
    }
    if (tx_port_) {
        if (auto started = start_port(*tx_port_, rx_port_ == tx_port_); !started) {
            return started;
        }
    }
    return rx_port_ && rx_port_ != tx_port_ ? start_port(*rx_port_, true) : result<void>();
}

result<void> generator::configure_port(std::uint16_t port) {
    rte_eth_dev_info info{};
    rte_eth_conf conf{};
    if (int code = rte_eth_dev_info_get(port, &info); code != 0) {
        return port_error("no information", port, code);
    }
    const std::uint32_t wanted = frame_most_ - RTE_ETHER_HDR_LEN;
    const std::uint16_t own = own_mtu(port);
    const std::uint32_t most = std::max(info.max_mtu, own);
    if (longest_ > most + RTE_ETHER_HDR_LEN) {
        return error{
            EINVAL, fmt::format(
                        "port {} ({}): frames of {} bytes want an MTU of {}; it carries at most "
                        "{}: choose a smaller --size",
                        port, info.driver_name, longest_, longest_ - RTE_ETHER_HDR_LEN, most)};
    }
    conf.rxmode.mtu = std::min(wanted, most);
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    if (int code = rte_eth_dev_configure(port, 1, 1, &conf); code != 0) {
        return port_error("cannot be configured", port, code);
    }
    int code = rte_eth_rx_queue_setup(
        port, 0, limited(descriptors, info.rx_desc_lim), SOCKET_ID_ANY, nullptr, pool_);
    if (code == 0) {
        code = rte_eth_tx_queue_setup(
            port, 0, limited(descriptors, info.tx_desc_lim), SOCKET_ID_ANY, nullptr);
    }
    return code == 0 ? result<void>() : port_error("its queues are refused", port, code);
}

result<void> generator::start_port(std::uint16_t port, bool receives) {
    if (auto configured = configure_port(port); !configured) {
        return configured;
    }
    if (int code = rte_eth_dev_start(port); code != 0) {
        return port_error("does not start", port, code);
    }
    started_.push_back(port);
    if (receives) { // the sink is every gateway at once
        if (int code = rte_eth_promiscuous_enable(port); code != 0 && code != -ENOTSUP) {
            return port_error("cannot take every frame (promiscuous)", port, code);
        }
    }
    return {};
}

std::vector<arp_station::owned>
generator::gateways_answered(const generator_options& options) const {
    std::vector<arp_station::owned> answers;
    for (unsigned i = 0; options.gateway_ip != 0 && i < std::max(1U, options.flows.gateways); ++i) {
        answers.push_back({options.gateway_ip + i, {gateway_mac(options.gateway_base, i)}});
    }
    return answers;
}

void generator::start_receiver(const generator_options& options, unsigned lcore) {
    receiver::settings how;
    how.port = *rx_port_;
    how.routed = options.routed;
    for (unsigned i = 0; i < options.flows.gateways; ++i) {
        how.gateways.push_back({gateway_mac(options.gateway_base, i)});
    }
    if (rx_port_ == tx_port_) {
        how.inbox = &inbox_;
    } else {
        rx_station_ = std::make_unique<arp_station>(arp_station::settings{
            .port = *rx_port_, .pool = pool_, .answers = gateways_answered(options)});
        how.station = rx_station_.get();
    }
    receiver_ = std::make_unique<receiver>(how, flows_);
    receiver_job_.start(lcore, *receiver_);
}

void generator::start_transmitter(const generator_options& options, unsigned lcore) {
    transmitter::settings how;
    how.port = *tx_port_;
    how.pool = pool_;
    rte_ether_addr own{};
    rte_eth_macaddr_get(*tx_port_, &own);
    std::copy_n(own.addr_bytes, 6, how.source.bytes.begin());
    how.next.bytes = options.next;
    how.source_address = options.from;
    how.sizes = options.sizes;
    std::vector<arp_station::owned> answers = {{options.from, how.source}};
    if (rx_port_ == tx_port_) {
        const auto more = gateways_answered(options);
        answers.insert(answers.end(), more.begin(), more.end());
        how.inbox = &inbox_;
    }
    tx_station_ = std::make_unique<arp_station>(
        arp_station::settings{.port = *tx_port_, .pool = pool_, .answers = std::move(answers)});
    how.station = tx_station_.get();
    next_ = options.next;
    transmitter_ = std::make_unique<transmitter>(how, flows_.flows);
    transmitter_job_.start(lcore, *transmitter_);
}

void generator::start_lcores(const generator_options& options) {
    unsigned lcore = rte_get_next_lcore(-1U, 1, 0);
    if (rx_port_) {
        start_receiver(options, lcore);
        lcore = rte_get_next_lcore(lcore, 1, 0);
    }
    if (tx_port_) {
        start_transmitter(options, lcore);
    }
}

// The Ethernet address of options.next_ip, by ARP.
result<void> generator::find_next(const generator_options& options) {
    if (options.next_ip == 0 || !tx_station_) {
        return {};
    }
    const std::string name = format_ip4(options.next_ip);
    const std::string doing = "asking who has " + name;
    const auto ends = std::chrono::steady_clock::now() + arp_patience;
    tx_station_->ask(options.next_ip);
    while (!tx_station_->answer()) {
        if (options.watch && !options.watch(doing, 0, 0)) {
            return error{EINTR, "interrupted"};
        }
        if (std::chrono::steady_clock::now() > ends) {
            return error{
                ETIMEDOUT,
                fmt::format(
                    "nobody answered ARP for {} on {} within {} s: is it there, and is {} (--from) "
                    "an address on its link? Or say its Ethernet address: --next MAC",
                    name, options.tx, arp_patience.count(), format_ip4(options.from))};
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    next_ = tx_station_->answer()->bytes;
    transmitter_->set_next({next_});
    return {};
}

generator::~generator() {
    if (transmitter_) {
        transmitter_->stop();
    }
    if (receiver_) {
        receiver_->stop();
    }
    transmitter_job_.end();
    receiver_job_.end();
    for (const std::uint16_t port : started_) {
        rte_eth_dev_stop(port);
        rte_eth_dev_close(port);
    }
    if (pool_ != nullptr) {
        rte_mempool_free(pool_);
    }
}

result<void> generator::begin(std::uint8_t stream) {
    if (!receiver_) {
        return error{EINVAL, "this gen has no --rx"};
    }
    missed_before_ = missed(*rx_port_);
    if (!receiver_->begin(stream)) {
        return error{ETIMEDOUT, "the receiving lcore does not answer"};
    }
    return {};
}

result<void> generator::send(const send_order& order) {
    if (!transmitter_) {
        return error{EINVAL, "this gen has no --tx"};
    }
    if (transmitter_->busy()) {
        return error{EBUSY, "the generator is sending already"};
    }
    if (!(order.seconds >= 0.001 && order.seconds <= 86400 * 366.0)) {
        return error{EINVAL, "seconds: from 0.001 to a year"};
    }
    const bool fits = std::all_of(order.sizes.begin(), order.sizes.end(), [&](std::uint16_t size) {
        return size >= probe_bytes_min && size <= frame_most_;
    });
    if (!fits || order.sizes.size() > pattern_max) {
        return error{
            EINVAL, fmt::format(
                        "sizes: from {} to {} bytes, at most {} of them", probe_bytes_min,
                        frame_most_, pattern_max)};
    }
    transmitter_->start(
        {.stream = order.stream,
         .packets_per_second = order.rate,
         .duration_tsc =
             static_cast<std::uint64_t>(order.seconds * static_cast<double>(rte_get_tsc_hz())),
         .packets = order.packets,
         .sizes = order.sizes});
    return {};
}

void generator::cancel() {
    if (transmitter_) {
        transmitter_->cancel();
    }
}

result<sender_state> generator::sender() const {
    if (!transmitter_) {
        return error{EINVAL, "this gen has no --tx"};
    }
    sender_state state;
    state.busy = transmitter_->busy();
    state.sent = transmitter_->sent();
    state.port_full = transmitter_->port_full();
    state.seconds = transmitter_->seconds();
    return state;
}

result<sink_state> generator::sink() const {
    if (!receiver_) {
        return error{EINVAL, "this gen has no --rx"};
    }
    const receiver::tally& counts = receiver_->counts();
    const auto us = [&](double fraction) {
        return static_cast<double>(counts.latency_tsc.percentile(fraction)) * 1e6 /
               static_cast<double>(rte_get_tsc_hz());
    };
    sink_state state;
    state.received = counts.received.read();
    state.bytes = counts.bytes.read();
    state.duplicate = counts.duplicate.read();
    state.reordered = counts.reordered.read();
    state.late = counts.late.read();
    state.misrouted = counts.misrouted.read();
    state.corrupt = counts.corrupt.read();
    state.foreign = receiver_->foreign();
    state.missed = missed(*rx_port_) - missed_before_;
    state.p50_us = us(0.5);
    state.p90_us = us(0.9);
    state.p99_us = us(0.99);
    state.p999_us = us(0.999);
    state.max_us = us(1.0);
    return state;
}

trial_ends generator::ends() {
    return {
        .begin = [this](std::uint8_t stream) { return begin(stream); },
        .send = [this](const send_order& order) { return send(order); },
        .sender = [this] { return sender(); },
        .sink = [this] { return sink(); },
        .cancel =
            [this] {
                cancel();
                return result<void>();
            },
    };
}

} // namespace pantala::app
