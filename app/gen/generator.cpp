#include "app/gen/generator.hpp"

#include <algorithm>
#include <chrono>

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
constexpr unsigned pool_cache = 256;
constexpr unsigned memory_mb = 128;
constexpr std::uint16_t descriptors = 2048;

error port_error(std::string_view what, std::uint16_t port, int code) {
    return error{-code, fmt::format("port {}: {}: {}", port, what, rte_strerror(-code))};
}

std::uint64_t missed(std::uint16_t port) {
    rte_eth_stats stats{};
    return rte_eth_stats_get(port, &stats) == 0 ? stats.imissed + stats.rx_nombuf : 0;
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
    launch.memory_mb = memory_mb;
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
    auto flows = make_flows(options.flows);
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
    return {};
}

result<void> generator::start_ports(const generator_options& options) {
    const std::uint16_t room = static_cast<std::uint16_t>(
        RTE_PKTMBUF_HEADROOM +
        std::max<unsigned>(2048, *std::max_element(options.sizes.begin(), options.sizes.end())));
    pool_ = rte_pktmbuf_pool_create("gen", pool_mbufs, pool_cache, 0, room, SOCKET_ID_ANY);
    if (pool_ == nullptr) {
        return error{
            rte_errno, fmt::format(
                           "no memory for {} packets of {} bytes: {} (give more "
                           "with '-- -m MIB')",
                           pool_mbufs, room, rte_strerror(rte_errno))};
    }
    if (tx_device_) {
        auto port = start_port(*tx_device_, !options.rx.empty() && options.rx == options.tx);
        if (!port) {
            return port.failure();
        }
        tx_port_ = *port;
    }
    if (rx_device_ && options.rx == options.tx) {
        rx_port_ = tx_port_;
    } else if (rx_device_) {
        auto port = start_port(*rx_device_, true);
        if (!port) {
            return port.failure();
        }
        rx_port_ = *port;
    }
    return {};
}

result<std::uint16_t> generator::start_port(const device& wanted, bool receives) {
    auto found = find_port(wanted);
    if (!found) {
        return found;
    }
    const std::uint16_t port = *found;
    rte_eth_dev_info info{};
    rte_eth_conf conf{};
    if (int code = rte_eth_dev_info_get(port, &info); code != 0) {
        return port_error("no information", port, code);
    }
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
    if (code == 0) {
        code = rte_eth_dev_start(port);
    }
    if (code != 0) {
        return port_error("does not start", port, code);
    }
    started_.push_back(port);
    if (receives) { // the sink is every gateway at once
        if (code = rte_eth_promiscuous_enable(port); code != 0 && code != -ENOTSUP) {
            return port_error("cannot take every frame (promiscuous)", port, code);
        }
    }
    return port;
}

void generator::start_lcores(const generator_options& options) {
    unsigned lcore = rte_get_next_lcore(-1U, 1, 0);
    if (rx_port_) {
        receiver::settings how;
        how.port = *rx_port_;
        how.routed = options.routed;
        for (unsigned i = 0; i < options.flows.gateways; ++i) {
            how.gateways.push_back({gateway_mac(options.gateway_base, i)});
        }
        receiver_ = std::make_unique<receiver>(how, flows_);
        receiver_job_.start(lcore, *receiver_);
        lcore = rte_get_next_lcore(lcore, 1, 0);
    }
    if (tx_port_) {
        transmitter::settings how;
        how.port = *tx_port_;
        how.pool = pool_;
        rte_ether_addr own{};
        rte_eth_macaddr_get(*tx_port_, &own);
        std::copy_n(own.addr_bytes, 6, how.source.bytes.begin());
        how.next.bytes = options.next;
        how.source_address = options.from;
        how.sizes = options.sizes;
        transmitter_ = std::make_unique<transmitter>(how, flows_.flows);
        transmitter_job_.start(lcore, *transmitter_);
    }
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
    transmitter_->start(
        {.stream = order.stream,
         .packets_per_second = order.rate,
         .duration_tsc =
             static_cast<std::uint64_t>(order.seconds * static_cast<double>(rte_get_tsc_hz())),
         .packets = order.packets});
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
    };
}

} // namespace pantala::app
