// Statistics of a net_shmif port. Queues only ever count up; a reset remembers where they stood.
#include "engine/dpdk/versions.hpp"
#include "pmd/port/bus_port.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace pantala::bus {

namespace {

struct rx_name {
    const char* name;
    counter rx_counters::*field;
};
struct tx_name {
    const char* name;
    counter tx_counters::*field;
};

// The extended statistics: these names, per queue as rx_q0_missed, and summed as rx_missed.
constexpr std::array rx_names = {
    rx_name{"packets", &rx_counters::packets},
    rx_name{"bytes", &rx_counters::bytes},
    rx_name{"missed", &rx_counters::missed},
    rx_name{"too_long", &rx_counters::too_long},
    rx_name{"garbled", &rx_counters::garbled},
    rx_name{"no_mbuf", &rx_counters::no_mbuf},
    rx_name{"filtered", &rx_counters::filtered},
    rx_name{"multicast", &rx_counters::multicast},
    rx_name{"lock_busy", &rx_counters::lock_busy},
    rx_name{"lock_taken_over", &rx_counters::lock_taken_over},
};
constexpr std::array tx_names = {
    tx_name{"packets", &tx_counters::packets},
    tx_name{"bytes", &tx_counters::bytes},
    tx_name{"too_long", &tx_counters::too_long},
    tx_name{"lost", &tx_counters::lost},
    tx_name{"waited", &tx_counters::waited},
    tx_name{"expelled", &tx_counters::expelled},
    tx_name{"rings", &tx_counters::rings},
    tx_name{"lock_busy", &tx_counters::lock_busy},
    tx_name{"lock_taken_over", &tx_counters::lock_taken_over},
};

// All counters in a fixed order: receive queues, then transmit queues.
std::vector<std::uint64_t> raw_counters(const port& self) {
    std::vector<std::uint64_t> values;
    values.reserve(self.rx.size() * rx_names.size() + self.tx.size() * tx_names.size());
    for (const auto& queue : self.rx) {
        for (const rx_name& one : rx_names) {
            values.push_back(queue ? (queue->counters.*one.field).get() : 0);
        }
    }
    for (const auto& queue : self.tx) {
        for (const tx_name& one : tx_names) {
            values.push_back(queue ? (queue->counters.*one.field).get() : 0);
        }
    }
    return values;
}

// What was counted since the last reset. A queue that was set up anew counts from 0 again.
std::vector<std::uint64_t> counters_since_reset(const port& self) {
    std::vector<std::uint64_t> values = raw_counters(self);
    for (std::size_t i = 0; i < values.size() && i < self.stats_base.size(); ++i) {
        values[i] -= std::min(values[i], self.stats_base[i]);
    }
    return values;
}

int stats_get(rte_eth_dev* device, rte_eth_stats* stats, dpdk::queue_stats* queues) {
    const port& self = port_of(device);
    const std::vector<std::uint64_t> all = counters_since_reset(self);
    const std::uint64_t* at = all.data();
    for (std::size_t queue = 0; queue < self.rx.size(); ++queue, at += rx_names.size()) {
        stats->ipackets += at[0];
        stats->ibytes += at[1];
        stats->imissed += at[2];
        stats->ierrors += at[3] + at[4];
        stats->rx_nombuf += at[5];
        if (queues != nullptr && queue < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
            queues->q_ipackets[queue] = at[0];
            queues->q_ibytes[queue] = at[1];
            queues->q_errors[queue] = at[2] + at[3] + at[4];
        }
    }
    for (std::size_t queue = 0; queue < self.tx.size(); ++queue, at += tx_names.size()) {
        stats->opackets += at[0];
        stats->obytes += at[1];
        stats->oerrors += at[2] + at[3];
        if (queues != nullptr && queue < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
            queues->q_opackets[queue] = at[0];
            queues->q_obytes[queue] = at[1];
        }
    }
    return 0;
}

int stats_reset(rte_eth_dev* device) {
    port& self = port_of(device);
    self.stats_base = raw_counters(self);
    return 0;
}

std::size_t xstats_count(const port& self) {
    return rx_names.size() * (self.rx.size() + 1) + tx_names.size() * (self.tx.size() + 1);
}

// One direction: the sums, then queue after queue.
void list_xstats(
    const std::uint64_t* from, std::size_t kinds, std::size_t queues, rte_eth_xstat*& to,
    std::uint64_t& id) {
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        std::uint64_t sum = 0;
        for (std::size_t queue = 0; queue < queues; ++queue) {
            sum += from[queue * kinds + kind];
        }
        *to++ = {id++, sum};
    }
    for (std::size_t i = 0; i < queues * kinds; ++i) {
        *to++ = {id++, from[i]};
    }
}

int xstats_get(rte_eth_dev* device, rte_eth_xstat* stats, unsigned count) {
    const port& self = port_of(device);
    const std::size_t have = xstats_count(self);
    if (stats == nullptr || count < have) {
        return static_cast<int>(have);
    }
    const std::vector<std::uint64_t> all = counters_since_reset(self);
    std::uint64_t id = 0;
    list_xstats(all.data(), rx_names.size(), self.rx.size(), stats, id);
    list_xstats(
        all.data() + rx_names.size() * self.rx.size(), tx_names.size(), self.tx.size(), stats, id);
    return static_cast<int>(have);
}

template <class Names>
void list_names(const char* way, const Names& names, std::size_t queues, rte_eth_xstat_name*& to) {
    for (const auto& one : names) {
        std::snprintf(to++->name, RTE_ETH_XSTATS_NAME_SIZE, "shmif_%s_%s", way, one.name);
    }
    for (std::size_t queue = 0; queue < queues; ++queue) {
        for (const auto& one : names) {
            std::snprintf(
                to++->name, RTE_ETH_XSTATS_NAME_SIZE, "shmif_%s_q%zu_%s", way, queue, one.name);
        }
    }
}

int xstats_names(rte_eth_dev* device, rte_eth_xstat_name* names, unsigned count) {
    const port& self = port_of(device);
    const std::size_t have = xstats_count(self);
    if (names == nullptr || count < have) {
        return static_cast<int>(have);
    }
    list_names("rx", rx_names, self.rx.size(), names);
    list_names("tx", tx_names, self.tx.size(), names);
    return static_cast<int>(have);
}

} // namespace

void add_stats_ops(eth_dev_ops& ops) {
    ops.stats_get = dpdk::stats_get<stats_get>;
    ops.stats_reset = stats_reset;
    ops.xstats_get = xstats_get;
    ops.xstats_reset = stats_reset;
    ops.xstats_get_names = xstats_names;
}

} // namespace pantala::bus
