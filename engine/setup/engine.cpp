#include "engine/setup/engine.hpp"

#include "engine/setup/packet_pool.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>

namespace pantala {

namespace {

constexpr unsigned mbuf_cache = 256;   // buffers kept by an lcore, so that the pool is met rarely
constexpr unsigned spare_mbufs = 4096; // waiting packets, fragments, packets of our own

unsigned mbufs_for(const engine_settings& settings, unsigned workers) {
    if (settings.mbufs != 0) {
        return settings.mbufs;
    }
    const unsigned queues = 2 * workers * settings.ports_planned;
    return queues * settings.descriptors + (workers + 1) * 2 * mbuf_cache +
           (workers - 1) * settings.handoff_capacity + spare_mbufs;
}

std::uint64_t system_seed() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
}

} // namespace

engine::engine(const engine_settings& settings, std::vector<worker_place> places)
    : settings_(settings), places_(std::move(places)),
      sum_(std::make_unique<toeplitz>(rss_key_symmetric)),
      fabric_(static_cast<unsigned>(places_.size())),
      lanes_(static_cast<unsigned>(places_.size()), settings.handoff_capacity) {}

result<std::unique_ptr<engine>>
engine::make(const engine_settings& settings, std::vector<worker_place> places) {
    if (places.empty() || places.size() > workers_max) {
        return error{
            EINVAL, "there must be 1 to " + std::to_string(workers_max) +
                        " workers; EAL has one for each lcore besides its main one (--lcores)"};
    }
    if (settings.handoff_capacity < 16 || !std::has_single_bit(settings.handoff_capacity)) {
        return error{EINVAL, "the hand-off queue's size must be a power of two, 16 or more"};
    }
    std::unique_ptr<engine> made(new engine(settings, std::move(places)));
    static unsigned pools = 0; // control only
    const unsigned count = mbufs_for(settings, made->workers());
    made->pool_ = make_packet_pool(
        "pantala" + std::to_string(pools++), count, mbuf_cache, settings.mbuf_bytes);
    if (made->pool_ == nullptr) {
        return error{
            rte_errno, "no memory for " + std::to_string(count) + " packet buffers of " +
                           std::to_string(settings.mbuf_bytes) + " bytes (" +
                           std::strerror(rte_errno) + "); give EAL more with -m MEGABYTES"};
    }
    const std::uint64_t seed = settings.seed != 0 ? settings.seed : system_seed();
    const rig_parts parts{
        .lanes = made->lanes_, .sum = *made->sum_, .pool = made->pool_, .clock = made->clock_};
    for (std::uint16_t i = 0; i < made->workers(); ++i) {
        made->rigs_.push_back(
            std::make_unique<worker_rig>(made->fabric_.endpoint(i), parts, seed + i));
        made->rigs_.back()->packets.set_policy(settings.dispatch);
        made->rigs_.back()->tx_count = 0;
    }
    made->jobs_.resize(made->workers());
    return made;
}

engine::~engine() {
    stop();
    for (const port_report& port : ports_) {
        close_port(port.id);
    }
    rigs_.clear(); // they hold buffers of the pool, and so do bad networks
    impaired_rx_.clear();
    impaired_tx_.clear();
    rte_mempool_free(pool_);
}

result<port_report> engine::add_port(port_id id, const port_settings& settings) {
    PANTALA_ASSERT(!running_);
    port_settings wanted = settings;
    wanted.interrupts = settings.interrupts && settings_.idle.policy == idle_policy::adaptive;
    auto opened = open_port(id, wanted, workers(), pool_);
    if (opened) {
        bind_rx(*opened, settings.impair);
        bind_tx(*opened, settings.impair);
        ports_.push_back(*opened);
    }
    return opened;
}

// With a queue for each worker, queue w is w's. With fewer, they go round, beginning elsewhere for
// each port, and every packet is steered.
void engine::bind_rx(const port_report& port, const impair_settings& impair) {
    const bool steered = port.rx_queues < workers();
    for (std::uint16_t q = 0; q < port.rx_queues; ++q) {
        const unsigned reader = steered ? (port.id.value + q) % workers() : q;
        queue_binding& binding = bindings_.emplace_back();
        binding.port = port.id;
        binding.queue = q;
        rx_function device = receive;
        void* context = &binding;
        if (impair.any()) {
            const std::uint64_t seed = rigs_[reader]->random.next();
            context = &impaired_rx_.emplace_back(device, context, impair, seed, pool_);
            device = impaired_rx::receive;
        }
        rigs_[reader]->rx.emplace_back(port.id, device, context, steered);
        if (port.rx_interrupts) {
            jobs_[reader].wakers.push_back({port.id, q, &rigs_[reader]->rx.back()});
        } else {
            jobs_[reader].polled = true;
        }
    }
}

void engine::bind_tx(const port_report& port, const impair_settings& impair) {
    for (std::uint16_t w = 0; w < workers(); ++w) {
        queue_binding& binding = bindings_.emplace_back();
        binding.port = port.id;
        binding.queue = w;
        worker_rig& rig = *rigs_[w];
        const bool has_queue = w < port.tx_queues;
        if (!has_queue) {
            binding.packets = &rig.packets;
            binding.owner = worker_id{static_cast<std::uint16_t>(w % port.tx_queues)};
        }
        tx_function device = has_queue ? transmit : hand_over;
        void* context = &binding;
        if (impair.any() && has_queue) {
            context = &impaired_tx_.emplace_back(device, context, impair, rig.random.next(), pool_);
            device = impaired_tx::send;
        }
        rig.tx[port.id.value].bind(device, context, &rig.drops);
        rig.tx_count = std::max<unsigned>(rig.tx_count, port.id.value + 1u);
    }
}

std::uint16_t engine::receive(void* binding, rte_mbuf** packets, std::uint16_t room) {
    const auto& from = *static_cast<const queue_binding*>(binding);
    return rte_eth_rx_burst(from.port.value, from.queue, packets, room);
}

std::uint16_t engine::transmit(void* binding, rte_mbuf** packets, std::uint16_t count) {
    const auto& to = *static_cast<const queue_binding*>(binding);
    return rte_eth_tx_burst(to.port.value, to.queue, packets, count);
}

std::uint16_t engine::hand_over(void* binding, rte_mbuf** packets, std::uint16_t count) {
    const auto& to = *static_cast<const queue_binding*>(binding);
    for (std::uint16_t i = 0; i < count; ++i) {
        packets[i]->port = to.port.value;
    }
    return static_cast<std::uint16_t>(to.packets->try_queue(protocol_tx, to.owner, packets, count));
}

int engine::thread_main(void* argument) {
    job& work = *static_cast<job*>(argument);
    PANTALA_ASSERT(work.rig->running.load(std::memory_order_acquire)); // with launch
    work.rig->idle.open(work.idle, work.wakers, work.polled);
    work.run(*work.rig, work.stack);
    work.rig->idle.close();
    work.rig->running.store(false, std::memory_order_release); // with stop
    return 0;
}

result<void> engine::launch(const std::vector<void*>& stacks, run_function run) {
    PANTALA_ASSERT(!running_);
    running_ = true;
    for (std::uint16_t w = 0; w < workers(); ++w) {
        rigs_[w]->stop.store(false, std::memory_order_relaxed);
        job& work = jobs_[w];
        work.rig = rigs_[w].get();
        work.stack = stacks[w];
        work.run = run;
        work.idle = settings_.idle;
        work.idle.shared_cpu = places_[w].shared_cpu;
        rigs_[w]->running.store(true, std::memory_order_release); // with thread_main
        const int code = rte_eal_remote_launch(thread_main, &work, places_[w].lcore);
        if (code != 0) {
            rigs_[w]->running.store(false, std::memory_order_relaxed);
            stop();
            return error{
                -code, "worker " + std::to_string(w) + " does not start on lcore " +
                           std::to_string(places_[w].lcore) + " (" + std::strerror(-code) +
                           "): the lcore must exist (--lcores) and be free"};
        }
    }
    return {};
}

void engine::stop() {
    if (!running_) {
        return;
    }
    for (const auto& rig : rigs_) {
        rig->stop.store(true, std::memory_order_relaxed);
        rig->messages.bell().ring();
    }
    for (const worker_place& place : places_) {
        rte_eal_wait_lcore(place.lcore);
    }
    for (const auto& rig : rigs_) {
        PANTALA_ASSERT(!rig->running.load(std::memory_order_acquire)); // with thread_main
    }
    running_ = false;
}

} // namespace pantala
