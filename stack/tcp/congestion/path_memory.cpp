#include "stack/tcp/congestion/path_memory.hpp"

#include "stack/route/host_cache/host_cache.hpp"
#include "stack/tcp/recovery/tcp_rtt.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

// What a connection that sent less says of a window is chance.
constexpr std::uint32_t segments_to_judge = 4;
constexpr std::uint32_t never_cut = 0x7fff'ffff; // ssthresh of congestion_start

std::uint32_t least_initial_window(const conn& c) { // RFC 3390 section 1
    const std::uint32_t mss = c.snd_mss;
    return std::min(4 * mss, std::max(2 * mss, 4'380U));
}

path_metrics found_by(const conn& c) {
    path_metrics found;
    if (c.has(conn_flag::rtt_seen)) {
        found.srtt_us = c.srtt();
        found.rttvar_us = c.rttvar_us >> 2;
    }
    if (c.delivered >= std::uint64_t{segments_to_judge} * c.snd_mss) {
        found.ssthresh = c.ssthresh == never_cut ? 0 : c.ssthresh;
        // In the middle of a recovery the window is no measure, where it leads to is.
        found.cwnd = c.recovery == recovery_state::open ? c.cwnd : found.ssthresh;
    }
    return found;
}

} // namespace

void path_attach(host& h, conn& c) {
    if (h.paths.hosts == nullptr) {
        return;
    }
    c.remembered = h.paths.hosts->attach(c.key.remote, h.now);
    const path_metrics known = h.paths.hosts->remembered(c.remembered, h.now);
    if (known.srtt_us != 0) {
        c.srtt_us = known.srtt_us << 3;
        c.rttvar_us = known.rttvar_us << 2;
        c.rto_us = std::max(c.rto_us, rto_of(c, h.config));
        h.stats.usedrtt.add(1);
    }
}

void path_seed(host& h, conn& c) {
    if (!c.remembered.is_somewhere()) {
        return;
    }
    const path_metrics known = h.paths.hosts->remembered(c.remembered, h.now);
    if (known.ssthresh != 0) {
        c.ssthresh = std::max(known.ssthresh, c.cwnd);
        h.stats.usedssthresh.add(1);
    }
    if (known.cwnd != 0 && known.cwnd < c.cwnd) {
        c.cwnd = std::max(known.cwnd, std::min(c.cwnd, least_initial_window(c)));
        h.stats.usedcwnd.add(1);
    }
}

void path_release(host& h, conn& c) {
    if (!c.remembered.is_somewhere()) {
        return;
    }
    const path_metrics found = found_by(c);
    h.stats.cachedrtt.add(found.srtt_us != 0 ? 1 : 0);
    h.stats.cachedssthresh.add(found.ssthresh != 0 ? 1 : 0);
    h.paths.hosts->release(c.remembered, found, h.now);
    c.remembered = {};
}

} // namespace pantala::tcp
