#include "stack/tcp/open/tcp_ports.hpp"

#include "stack/tcp/open/tcp_isn.hpp"
#include "stack/tcp/tcp_host.hpp"

namespace pantala::tcp {

bool is_taken(const host& h, const flow_key& key, std::uint64_t hash) {
    const std::uint32_t id =
        h.table.find(hash, [&](std::uint32_t candidate) { return h.conns[candidate].key == key; });
    const std::uint32_t waiting = h.time_waits.find(hash);
    return id != no_id || (waiting != no_id && !may_take_over(h, waiting)) ||
           h.syns.find(hash, key) != no_id;
}

bool choose_port(host& h, flow_key& key, std::uint64_t& hash) {
    const std::uint32_t range = h.config.port_last - h.config.port_first + 1U;
    const std::uint32_t begin = port_offset(h.secrets.port, key) + h.port_next;
    for (std::uint32_t tries = 0; tries < range; ++tries) {
        const auto port = static_cast<std::uint16_t>(h.config.port_first + (begin + tries) % range);
        key.local_port = l4_port::from(port);
        hash = key.hash(h.secrets.table);
        const bool home = h.paths.comes_home == nullptr || h.paths.comes_home(h.paths.context, key);
        if (home && !is_taken(h, key, hash)) {
            h.port_next += tries + 1;
            return true;
        }
    }
    return false;
}

tcp_seq first_sequence(host& h, const conn& c) {
    const std::uint32_t waiting = h.time_waits.find(c.hash);
    if (waiting == no_id) {
        return initial_sequence(h.secrets.isn, c.key, h.now);
    }
    const tcp_seq above = h.time_waits.records[waiting].snd_nxt;
    h.time_waits.remove(waiting);
    h.stats.tw_taken_over.add(1);
    return initial_sequence_above(h.secrets.isn, c.key, h.now, above);
}

} // namespace pantala::tcp
