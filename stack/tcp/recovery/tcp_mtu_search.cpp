#include "stack/tcp/recovery/tcp_mtu_search.hpp"

#include "engine/base/serial.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_rack.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>
#include <utility>

namespace pantala::tcp {

namespace {

constexpr unsigned probes_max = 3;        // RFC 8899 5.1.2, MAX_PROBES
constexpr unsigned gap_worth_probing = 8; // bytes, as in Linux
constexpr std::uint16_t base_mtu_v6 = 1'280;

bool is_searching(const conn& c) {
    return c.mtu.step == mtu_step::top || c.mtu.step == mtu_step::halving;
}

// Bytes of headers and of the options that every segment has.
unsigned overhead(const conn& c) {
    return (c.key.is_v4() ? 40U : 60U) +
           (c.has(conn_flag::timestamps) ? timestamp_option_bytes : 0U);
}

void search_anew(conn& c) {
    c.mtu.step = mtu_step::top;
    c.mtu.high = c.mtu.top;
    c.mtu.probe = 0;
    c.mtu.losses = 0;
}

// Nothing more for a while; for good where nothing is left to find.
void rest(const host& h, conn& c) {
    const bool complete = c.snd_mss + gap_worth_probing > c.mtu.top;
    c.mtu.step = complete ? mtu_step::off : mtu_step::resting;
    c.mtu.rest_until_ms = h.now_ms() + h.config.mtu_raise_ms;
    c.mtu.probe = 0;
    c.mtu.losses = 0;
}

std::uint32_t next_size(const conn& c) {
    return c.mtu.step == mtu_step::top ? c.mtu.high : (c.snd_mss + c.mtu.high + 1U) / 2;
}

bool is_undisturbed(const conn& c) {
    return c.recovery == recovery_state::open && c.rexmt_shift == 0 && c.lost_bytes == 0 &&
           c.sacked_bytes == 0 && c.rcv_sack_count == 0 && !c.has(conn_flag::dsack_ready) &&
           !c.has(conn_flag::tail_probe);
}

void probe_lost(host& h, conn& c) {
    mtu_search& search = c.mtu;
    const std::uint16_t size = std::exchange(search.probe, std::uint16_t{0});
    h.stats.mtu_probes_lost.add(1);
    if (++search.losses < probes_max) {
        return; // it may have been chance
    }
    search.losses = 0;
    search.high = static_cast<std::uint16_t>(size - 1);
    search.step = mtu_step::halving;
    if (search.high < c.snd_mss + gap_worth_probing) {
        rest(h, c);
    }
}

} // namespace

void mtu_search_begin(const host& h, conn& c) {
    c.mtu = {};
    c.mtu.top = c.snd_mss;
    c.mtu.high = c.snd_mss;
    if (h.config.mtu_probing != mtu_probing::always) {
        return;
    }
    const unsigned base_mtu =
        c.key.is_v4() ? h.config.mtu_base : std::max(h.config.mtu_base, base_mtu_v6);
    const unsigned base =
        std::max<unsigned>(base_mtu, overhead(c) + h.config.mss_min) - overhead(c);
    if (base + gap_worth_probing <= c.snd_mss) {
        c.snd_mss = static_cast<std::uint16_t>(base);
        search_anew(c);
    }
}

void mtu_search_from_here(const host& h, conn& c) {
    if (h.config.mtu_probing != mtu_probing::never) {
        search_anew(c);
    }
}

void mtu_search_needless(const host& h, conn& c) {
    rest(h, c); // for good, unless an ICMP error had cut the size before
}

unsigned mtu_under_way(const conn& c) {
    const unsigned probe = c.mtu.probe != 0 ? c.mtu.probe + overhead(c) : 0;
    return std::max<unsigned>(c.path_mtu, probe);
}

void mtu_search_told(const host& h, conn& c, std::uint32_t fits) {
    mtu_search& search = c.mtu;
    if (h.config.mtu_probing == mtu_probing::never || search.top == 0) {
        return;
    }
    if (!is_searching(c)) {
        rest(h, c);
        return;
    }
    // It is about a probe, or about what was sent before the search began.
    search.high = static_cast<std::uint16_t>(std::min<std::uint32_t>(search.high, fits));
    search.losses = 0;
    search.probe = search.probe > fits ? std::uint16_t{0} : search.probe;
    if (search.high < c.snd_mss + gap_worth_probing) {
        rest(h, c);
    }
}

mtu_answer mtu_search_output(host& h, conn& c) {
    if (c.mtu.step == mtu_step::resting) {
        if (serial_less(h.now_ms(), c.mtu.rest_until_ms)) {
            return mtu_answer::nothing;
        }
        search_anew(c);
    }
    const std::uint32_t size = next_size(c);
    const std::uint32_t needed = size + dup_thresh * c.snd_mss; // with those that show its loss
    if (c.mtu.probe != 0 || size <= c.snd_mss || c.unsent() < needed || usable_window(c) < needed ||
        c.cwnd < needed || !is_undisturbed(c)) {
        return mtu_answer::nothing;
    }
    if (c.in_flight() + size > c.cwnd) {
        return mtu_answer::wait;
    }
    if (!send_larger(h, c, size)) {
        return mtu_answer::nothing;
    }
    c.mtu.probe = static_cast<std::uint16_t>(size);
    c.mtu.probe_end = c.snd_nxt;
    h.stats.mtu_probes.add(1);
    return mtu_answer::sent;
}

void mtu_probe_arrived(host& h, conn& c) {
    mtu_search& search = c.mtu;
    h.stats.mtu_probes_arrived.add(1);
    c.snd_mss = std::exchange(search.probe, std::uint16_t{0});
    c.path_mtu =
        static_cast<std::uint16_t>(std::max<unsigned>(c.path_mtu, c.snd_mss + overhead(c)));
    search.losses = 0;
    if (search.high < c.snd_mss + gap_worth_probing) {
        rest(h, c);
    } else {
        search.step = mtu_step::halving;
    }
}

void mtu_probe_repeated(host& h, conn& c, tcp_seq end) {
    if (c.mtu.probe != 0 && c.mtu.probe_end == end) {
        probe_lost(h, c);
    }
}

bool mtu_probe_alone_lost(host& h, conn& c) {
    if (c.mtu.probe == 0 || c.recovery > recovery_state::disorder) [[likely]] {
        return false;
    }
    const std::uint32_t id = sent_next_lost(h, c);
    if (id == no_id || h.sents[id].end != c.mtu.probe_end || h.sents[id].bytes() != c.lost_bytes) {
        return false;
    }
    probe_lost(h, c);
    recovery_without_congestion(h, c);
    return true;
}

} // namespace pantala::tcp
