#include "bench/fib/churn_router.hpp"

#include "bench/fib/data.hpp"
#include "stack/ether/neighbor/neighbor_command.hpp"

#include <algorithm>

#include <rte_lcore.h>
#include <sched.h>

namespace pantala::bench {

namespace {

constexpr std::uint32_t far_base = 0xac100000; // 172.16.0.0 + index: over the way
constexpr std::uint32_t far_twin = 0xac100100; // 172.16.1.0 + index

[[noreturn]] void fail(const error& why) {
    say("%s", why.text.c_str());
    std::exit(1);
}

template <class T>
T must(result<T> got) {
    if (!got) {
        fail(got.failure());
    }
    return std::move(got).value();
}
void must(const result<void>& got) {
    if (!got) {
        fail(got.failure());
    }
}

// The calling thread runs on these CPUs only.
void pin(const std::vector<unsigned>& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const unsigned cpu : cpus) {
        CPU_SET(cpu, &set);
    }
    sched_setaffinity(0, sizeof set, &set);
}

} // namespace

std::vector<unsigned> usable_cpus() {
    cpu_set_t may;
    CPU_ZERO(&may);
    sched_getaffinity(0, sizeof may, &may);
    std::vector<unsigned> cpus;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &may)) {
            cpus.push_back(cpu);
        }
    }
    return cpus;
}

churn_router::churn_router(const churn_layout& layout)
    : layout_(layout), rib_(must(rib::make(log_))), fabric_(layout.workers),
      lanes_(layout.workers, 64), setting_{fabric_,          lanes_,         sum_,
                                           layout.recursive, &destinations_, false} {
    add_links();
    add_way(1, 10);
    if (layout.both_ways) {
        add_way(2, 20);
    }
    for (unsigned other = 0; other < 2; ++other) {
        hops_[other].resize(layout.peers + 1);
        for (unsigned index = 1; index <= layout.peers; ++index) {
            const bool far = index <= layout.recursive;
            const std::uint32_t base =
                far ? (other ? far_twin : far_base) : (other ? churn_twin : churn_peer);
            const route_target target{nexthop_kind::gateway, base + index, std::nullopt, 1};
            hops_[other][index] = must(rib_->hop({&target, 1}));
        }
    }
}

churn_router::~churn_router() {
    stop();
}

void churn_router::add_links() {
    for (std::uint16_t p = 0; p < 3; ++p) {
        iface made;
        made.port = port_id{p};
        made.mac = {2, 1, 0, 0, 0, static_cast<std::uint8_t>(p)};
        links_[p] = must(rib_->add_interface(made));
        must(rib_->set_up(links_[p], true));
        must(rib_->add_address(links_[p], churn_links[p], p == 0 ? 24 : 16));
    }
}

void churn_router::add_way(unsigned link, std::uint32_t metric) {
    route way;
    way.prefix = {far_base, 16};
    way.protocol = route_protocol::ospf;
    way.metric = metric;
    way.targets = {{nexthop_kind::gateway, churn_ways[link - 1], std::nullopt, 1}};
    must(rib_->replace(way));
}

void churn_router::move_way(bool other) {
    add_way(other ? 2 : 1, 10);
}

void churn_router::turn_link(bool up) {
    must(rib_->set_up(links_[1], up));
}

// Neighbours that are known for good: what is measured is not how they are asked.
void churn_router::add_neighbor(unsigned link, std::uint32_t address) {
    neighbor_command command;
    command.operation = neighbor_operation::add;
    command.key = make_neighbor_key(links_[link], be32::from(address));
    for (unsigned i = 0; i < 4; ++i) {
        command.mac.bytes[2 + i] = static_cast<std::uint8_t>(address >> (24 - 8 * i));
    }
    command.mac.bytes[0] = 2;
    fabric_.control().call(0, command);
    if (!command.done) {
        fail({ENOSPC, "a neighbour has no room"});
    }
}

void churn_router::start(std::vector<destination> made) {
    destinations_ = std::move(made);
    setting_.shares_cpu = layout_.workers >= layout_.cpus.size();
    for (unsigned i = 0; i < layout_.workers; ++i) {
        workers_.push_back(std::make_unique<churn_worker>(setting_, i, *rib_));
    }
    pin({layout_.cpus[0]});
    for (unsigned i = 0; i < layout_.workers; ++i) {
        threads_.emplace_back([this, i, cpu = layout_.cpus[(i + 1) % layout_.cpus.size()]] {
            pin({cpu});
            rte_thread_register(); // for the pool's cache
            workers_[i]->run();
            rte_thread_unregister();
        });
    }
    for (unsigned way = 0; way < 2; ++way) {
        add_neighbor(way + 1, churn_ways[way]);
    }
    for (unsigned index = layout_.recursive + 1; index <= layout_.peers; ++index) {
        add_neighbor(1, churn_peer + index);
        add_neighbor(1, churn_twin + index);
    }
    rib_->pump();
    std::this_thread::sleep_for(std::chrono::milliseconds(50)); // what waited for them is out
}

void churn_router::stop() {
    for (const auto& each : workers_) {
        each->stop();
    }
    for (std::thread& each : threads_) {
        each.join();
    }
    threads_.clear();
    pin(layout_.cpus);
}

void churn_router::start_count() {
    for (const auto& each : workers_) {
        each->start_count();
    }
}

forwarded churn_router::stop_count() {
    forwarded all;
    for (const auto& each : workers_) {
        all.add(each->stop_count());
    }
    return all;
}

bool churn_router::alike() const {
    return std::all_of(workers_.begin(), workers_.end(), [&](const auto& each) {
        return each->replica().hash() == rib_->hash();
    });
}

} // namespace pantala::bench
