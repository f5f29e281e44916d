#include "stack/tcp/recovery/tcp_rack.hpp"

#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

constexpr std::uint8_t rack_wnd_mult_max = 20; // reo_wnd is capped by SRTT anyway
constexpr std::uint8_t rack_wnd_persist_recoveries = 16;
constexpr std::uint32_t reordering_max = 255;
constexpr std::uint32_t worst_delayed_ack_us = 200'000; // TLP.max_ack_delay
constexpr std::uint32_t probe_timeout_unknown_us = 1'000'000;

// RACK_sent_after of section 6.2: later in time, and by sequence where the time is the same.
bool sent_after(std::uint64_t ns1, tcp_seq end1, std::uint64_t ns2, tcp_seq end2) {
    return ns1 > ns2 || (ns1 == ns2 && end1 > end2);
}

// Section 6.2 step 4: RACK_update_reo_wnd.
std::uint32_t reorder_window_us(const conn& c) {
    if (!c.has(conn_flag::rack_reordering)) {
        if (c.recovery >= recovery_state::recovery ||
            c.sacked_bytes >= dup_thresh * std::uint32_t{c.snd_mss}) {
            return 0;
        }
    }
    const std::uint64_t window = std::uint64_t{c.min_rtt_us / 4} * c.rack_wnd_mult;
    return static_cast<std::uint32_t>(
        c.has(conn_flag::rtt_seen) ? std::min<std::uint64_t>(window, c.srtt()) : window);
}

} // namespace

void rack_delivered(
    host& h, conn& c, const sent_segment& segment, const ack_result& result, bool by_sack) {
    const auto rtt_us = static_cast<std::uint32_t>(
        std::min<std::uint64_t>((h.now.ns - segment.xmit_ns) / ns_per_us, 0x7fffffff));
    if (segment.has(sent_flag::ever_resent)) {
        // Which transmission does the ACK answer? If it echoes a time before the last one, or comes
        // sooner than any round trip, then not the last. A SACK's echo speaks of the left edge, not
        // of the segment (RFC 7323 4.3), and says nothing here: else a tail loss probe that fills
        // no gap would teach nothing.
        const auto sent_ts = static_cast<std::uint32_t>(segment.xmit_ns / ns_per_ms) + c.ts_offset;
        if ((!by_sack && result.has_echo && serial_less(result.ts_echo, sent_ts)) ||
            rtt_us < c.min_rtt_us) {
            return;
        }
    }
    c.rack_rtt_us = rtt_us;
    if (!c.has(conn_flag::rack_valid) ||
        sent_after(segment.xmit_ns, segment.end, c.rack_xmit_ns, c.rack_end_seq)) {
        c.rack_xmit_ns = segment.xmit_ns;
        c.rack_end_seq = segment.end;
    }
    // Step 3: RACK_detect_reordering.
    if (!c.has(conn_flag::rack_valid) || segment.end > c.rack_fack) {
        c.rack_fack = segment.end;
    } else if (segment.end < c.rack_fack && !segment.has(sent_flag::ever_resent)) {
        c.set(conn_flag::rack_reordering);
        const std::uint32_t distance = (c.rack_fack - segment.start + c.snd_mss - 1) / c.snd_mss;
        c.reordering = static_cast<std::uint8_t>(
            std::clamp<std::uint32_t>(distance, c.reordering, reordering_max));
    }
    c.set(conn_flag::rack_valid);
}

void rack_adapt(conn& c, const ack_result& result) {
    if (result.dsack && !is_ahead(c, c.rack_dsack_round)) {
        c.rack_dsack_round = c.snd_nxt;
        c.rack_wnd_mult =
            static_cast<std::uint8_t>(std::min<int>(c.rack_wnd_mult + 1, rack_wnd_mult_max));
        c.rack_wnd_persist = rack_wnd_persist_recoveries;
    }
}

void rack_recovery_ended(conn& c) {
    if (c.rack_wnd_persist > 0 && --c.rack_wnd_persist == 0) {
        c.rack_wnd_mult = 1;
    }
}

std::uint32_t rack_detect(host& h, conn& c) {
    if (!c.has(conn_flag::rack_valid)) {
        return 0;
    }
    const std::uint64_t patience_ns =
        (std::uint64_t{c.rack_rtt_us} + reorder_window_us(c)) * ns_per_us;
    std::uint64_t wait_ns = 0;
    std::uint32_t next = no_id;
    for (std::uint32_t id = c.by_time.head; id != no_id; id = next) {
        const sent_segment& segment = h.sents[id];
        next = segment.time_next;
        if (!sent_after(c.rack_xmit_ns, c.rack_end_seq, segment.xmit_ns, segment.end)) {
            break;
        }
        const std::uint64_t due_ns = segment.xmit_ns + patience_ns;
        if (due_ns <= h.now.ns) {
            h.stats.sack_lostrexmt.add(segment.has(sent_flag::resent) ? 1 : 0);
            sent_mark_lost(h, c, id);
            h.stats.rack_lost.add(1);
        } else {
            wait_ns = std::max(wait_ns, due_ns - h.now.ns);
        }
    }
    return static_cast<std::uint32_t>((wait_ns + ns_per_us - 1) / ns_per_us);
}

bool tail_probe_wanted(const host&, const conn& c) {
    // Section 7.2: SACK in use, something outstanding, nothing of it SACKed, no recovery, and no
    // probe out already. A connection in the handshake has no tail.
    return c.has(conn_flag::sack) && c.synchronized() && c.by_seq.head != no_id &&
           c.sacked_bytes == 0 && c.recovery == recovery_state::open &&
           !c.has(conn_flag::tail_probe) && c.rexmt_shift == 0;
}

std::uint32_t tail_probe_timeout_us(const conn& c) {
    if (!c.has(conn_flag::rtt_seen)) {
        return probe_timeout_unknown_us;
    }
    const std::uint32_t twice = 2 * c.srtt();
    return c.sent_count == 1 ? twice + worst_delayed_ack_us : twice;
}

void tail_probe_send(host& h, conn& c) {
    const std::uint32_t usable = usable_window(c);
    bool sent = false;
    if (c.unsent() > 0 && usable > 0) {
        const std::uint32_t bytes = std::min({c.unsent(), usable, std::uint32_t{c.snd_mss}});
        sent = send_new(h, c, bytes);
        if (sent) {
            c.set(conn_flag::tail_probe_new);
        }
    }
    if (!sent && c.by_seq.tail != no_id) {
        const sent_segment& last = h.sents[c.by_seq.tail];
        if (!last.has(sent_flag::sacked) && send_again(h, c, c.by_seq.tail)) {
            c.clear(conn_flag::tail_probe_new);
            h.stats.tlpresends.add(1);
            h.stats.tlpresend_bytes.add(last.payload());
            sent = true;
        }
    }
    if (sent) {
        c.set(conn_flag::tail_probe);
        c.tail_probe_end = c.snd_nxt;
        h.stats.tlp_probes.add(1);
    }
}

bool tail_probe_acked(host& h, conn& c, tcp_seq ack, const ack_result& result) {
    if (!c.has(conn_flag::tail_probe) || ack < c.tail_probe_end) {
        return false;
    }
    if (c.has(conn_flag::tail_probe_new) || result.dsack) {
        // New data arrived, or both copies did: nothing was lost.
        c.clear(conn_flag::tail_probe);
        return false;
    }
    if (ack > c.tail_probe_end) { // no duplicate was reported: the probe repaired a loss
        c.clear(conn_flag::tail_probe);
        h.stats.tlp_recovered.add(1);
        return true;
    }
    if (!result.advanced && !result.window_changed && !result.data_in_segment &&
        result.sacked_bytes == 0) {
        c.clear(conn_flag::tail_probe); // a bare duplicate ACK: the peer got both copies
    }
    return false; // the first ACK of the probe: wait for what follows
}

} // namespace pantala::tcp
