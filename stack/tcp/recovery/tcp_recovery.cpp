#include "stack/tcp/recovery/tcp_recovery.hpp"

#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/recovery/tcp_rack.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

// -- Reduction and its undoing.

// Remembers what a reduction takes, so that it can be given back.
void prepare_undo(conn& c) {
    c.prior_cwnd = c.cwnd;
    c.prior_ssthresh = c.ssthresh;
    c.undo_marker = c.snd_una;
    c.undo_resent = 0;
    c.resent_stamp = 0;
    c.set(conn_flag::undo_ready);
}

// RFC 3168 6.1.2: the receiver hears of every reduction, for whatever reason, and what it marked
// before it hears asks for no other.
void tell_reduction(conn& c) {
    if (c.has(conn_flag::ecn)) {
        c.ecn_end = c.snd_nxt;
        c.set(conn_flag::ecn_cwr);
    }
}

void start_reduction(host& h, conn& c, cut_cause cause) {
    prepare_undo(c);
    tell_reduction(c);
    c.high_seq = c.snd_nxt;
    c.recover_fs = std::max(c.snd_nxt - c.snd_una, 1U);
    c.prr_delivered = 0;
    c.prr_out = 0;
    c.ssthresh = congestion_cut(h, c, cause);
}

void undo_reduction(host& h, conn& c) {
    c.cwnd = std::max(c.cwnd, c.prior_cwnd);
    c.ssthresh = std::max(c.ssthresh, c.prior_ssthresh);
    c.clear(conn_flag::undo_ready | conn_flag::f_rto);
    sent_none_lost(h, c);
    c.dupacks = 0;
    if (!c.has(conn_flag::sack)) {
        c.sacked_bytes = 0;
    }
    c.rexmt_shift = 0;
    c.clear(conn_flag::ecn_cwr);
    c.ecn_end = c.snd_una - 1; // what is marked from now on counts
    c.recovery = c.sacked_bytes > 0 ? recovery_state::disorder : recovery_state::open;
    h.stats.sndrexmitbad.add(1);
    congestion_notify(h, c, congestion_event::undone);
}

// RFC 3522 3.2: the ACK echoes a time before the first retransmission, so it answers the original.
bool eifel_says_spurious(const conn& c, const ack_result& result) {
    return c.resent_stamp != 0 && result.has_echo && result.ts_echo != 0 &&
           serial_less(result.ts_echo, c.resent_stamp);
}

// Takes the reduction back if every retransmission proved needless (D-SACK), or the first did
// (timestamps).
bool try_undo(host& h, conn& c, const ack_result& result) {
    if (!c.has(conn_flag::undo_ready)) {
        return false;
    }
    if (result.advanced && eifel_says_spurious(c, result)) {
        h.stats.undo_eifel.add(1);
    } else if (result.dsack && c.resent_stamp != 0 && c.undo_resent == 0) {
        h.stats.undo_dsack.add(1);
    } else {
        return false;
    }
    undo_reduction(h, c);
    return true;
}

void end_recovery(conn& c) {
    c.cwnd = std::max(std::min(c.cwnd, c.ssthresh), std::uint32_t{c.snd_mss});
    if (c.recovery == recovery_state::recovery || c.recovery == recovery_state::reduced) {
        c.cwnd = std::max(c.ssthresh, std::uint32_t{c.snd_mss}); // RFC 6937 section 3
    }
    rack_recovery_ended(c);
    c.recovery = c.sacked_bytes > 0 ? recovery_state::disorder : recovery_state::open;
    c.dupacks = 0;
}

// -- Proportional rate reduction (RFC 6937 section 3): how much this ACK lets out.
void pace_by_prr(conn& c, const ack_result& result, bool force_one) {
    std::uint32_t delivered = result.delivered;
    if (!c.has(conn_flag::sack)) { // RFC 9937: duplicate ACKs can be made up
        const std::uint32_t left = c.recover_fs - std::min(c.recover_fs, c.prr_delivered);
        delivered = std::min(delivered, left);
    }
    c.prr_delivered += delivered;
    const std::uint32_t pipe = c.in_flight();
    std::uint64_t send = 0;
    if (pipe > c.ssthresh) {
        const std::uint64_t target =
            (std::uint64_t{c.prr_delivered} * c.ssthresh + c.recover_fs - 1) / c.recover_fs;
        send = target > c.prr_out ? target - c.prr_out : 0;
    } else {
        std::uint64_t limit = std::max<std::uint64_t>(
            c.prr_delivered > c.prr_out ? c.prr_delivered - c.prr_out : 0, delivered);
        if (result.advanced && c.lost_bytes <= result.lost_before) {
            limit += c.snd_mss; // slow start part only while nothing more is lost (SSRB)
        }
        send = std::min<std::uint64_t>(c.ssthresh - pipe, limit);
    }
    if (force_one) {
        send = std::max<std::uint64_t>(send, c.snd_mss);
    }
    c.cwnd = static_cast<std::uint32_t>(std::min<std::uint64_t>(pipe + send, 1U << 30));
}

// -- Without SACK each duplicate ACK stands for one segment that arrived (RFC 5681 3.2 in the form
//    of an emulated SACK count).
void count_dupack(conn& c) {
    c.dupacks = static_cast<std::uint8_t>(std::min(c.dupacks + 1, 255));
    const std::uint32_t out = c.snd_nxt - c.snd_una;
    const std::uint32_t room = out > c.snd_mss ? out - c.snd_mss : 0;
    c.sacked_bytes = std::min(c.sacked_bytes + c.snd_mss, room);
}

bool is_dupack(const conn& c, const ack_result& result) {
    // RFC 5681 section 2: outstanding data, no data, ACK number and window unchanged.
    return !result.advanced && !result.data_in_segment && !result.window_changed &&
           c.snd_una != c.snd_nxt;
}

void mark_head_lost(host& h, conn& c) {
    const std::uint32_t id = c.by_seq.head;
    if (id != no_id && !h.sents[id].has(sent_flag::sacked)) {
        sent_mark_lost(h, c, id);
    }
}

// After a timeout duplicate ACKs stand for what was sent since, new data of F-RTO first: it has
// left the network, so that the repair goes on (RFC 5682 2.1 step 3.a) and no second timeout is
// needed.
void sackless_in_loss(conn& c, const ack_result& result) {
    const bool both = c.snd_una < c.high_seq && c.high_seq < c.snd_nxt;
    const std::uint32_t since = both ? c.snd_nxt - c.high_seq : 0;
    c.sacked_bytes = std::min(c.sacked_bytes + (is_dupack(c, result) ? c.snd_mss : 0U), since);
}

void sackless_on_ack(host& h, conn& c, ack_result& result) {
    if (c.recovery == recovery_state::loss) {
        sackless_in_loss(c, result);
        return;
    }
    if (result.advanced) {
        // RFC 6937 section 3: duplicate ACKs have counted what they stood for, but none of them the
        // hole that is closed now.
        const std::uint32_t hole = std::min<std::uint32_t>(result.delivered, c.snd_mss);
        result.delivered -= std::min(result.delivered, c.sacked_bytes);
        result.delivered = std::max(result.delivered, hole);
        // RFC 6582 3.2 step 3: a partial ACK deflates by what it acknowledged, plus one segment.
        const std::uint32_t gone =
            result.acked_bytes > c.snd_mss ? result.acked_bytes - c.snd_mss : 0;
        c.sacked_bytes -= std::min(c.sacked_bytes, gone);
        const std::uint32_t out = c.snd_nxt - c.snd_una;
        c.sacked_bytes = std::min(c.sacked_bytes, out > c.snd_mss ? out - c.snd_mss : 0);
        if (c.recovery == recovery_state::recovery && c.snd_una < c.high_seq) {
            mark_head_lost(h, c);
        } else if (c.recovery <= recovery_state::reduced) {
            c.dupacks = 0;
            c.sacked_bytes = 0;
        }
    } else if (is_dupack(c, result)) {
        h.stats.rcvdupack.add(1);
        count_dupack(c);
        result.delivered += c.snd_mss;
        // RFC 6582 3.2 step 2: only above the last recovery, else these are echoes of it.
        if (c.dupacks == dup_thresh && c.recovery <= recovery_state::reduced &&
            !is_ahead(c, c.high_seq)) {
            mark_head_lost(h, c);
        }
    }
}

// -- States.

void start_repair(host& h, conn& c) {
    (c.has(conn_flag::sack) ? h.stats.sack_recovery_episode : h.stats.newreno_recovery_episode)
        .add(1);
    if (c.recovery != recovery_state::reduced) {
        start_reduction(h, c, cut_cause::loss);
    } else { // already cut for ECN in this window
        c.high_seq = c.snd_nxt;
        c.clear(conn_flag::undo_ready);
    }
    c.clear(conn_flag::tail_probe);
    c.recovery = recovery_state::recovery;
}

// A loss is found.
void enter_recovery(host& h, conn& c) {
    if (c.recovery == recovery_state::reduced) {
        c.ssthresh = congestion_cut_again(c);
    }
    start_repair(h, c);
}

// A loss while nothing was known to be wrong.
bool on_ack_undisturbed(host& h, conn& c, const ack_result& result) {
    if (c.lost_bytes > 0 && mtu_probe_alone_lost(h, c)) {
        return false;
    }
    if (c.lost_bytes > 0) {
        enter_recovery(h, c);
        return true;
    }
    (void)result;
    if (c.recovery != recovery_state::reduced) {
        c.recovery = c.sacked_bytes > 0 ? recovery_state::disorder : recovery_state::open;
    }
    return false;
}

// RFC 5682 section 2.1 (SACK: 3.1): after a timeout, do ACKs answer what was sent only once?
// True: the timeout was spurious and is undone.
bool f_rto_on_ack(host& h, conn& c, ack_result& result) {
    if (!c.has(conn_flag::f_rto)) {
        return false;
    }
    // Step 3.b. An ACK that covers the retransmission as well says nothing of what lies behind it,
    // which may have arrived long ago (step 2: one more ACK is waited for).
    if (result.original_delivered && !result.resent_acked) {
        h.stats.frto_spurious.add(1);
        if (c.has(conn_flag::undo_ready)) {
            undo_reduction(h, c);
            return true;
        }
    }
    if (c.snd_nxt > c.high_seq) { // new data was sent in step 2.b
        if (result.sacked_bytes > 0 || result.advanced || !result.window_changed) {
            c.clear(conn_flag::f_rto); // step 3.a: the loss was real
        }
    } else if (result.advanced && c.snd_una < c.high_seq) { // step 2.b: try new data
        c.high_seq = c.snd_nxt;
        if (c.unsent() == 0) {
            c.clear(conn_flag::f_rto);
        }
    } else { // step 2.a: a duplicate ACK, or one for all that was out
        c.clear(conn_flag::f_rto);
    }
    return false;
}

// BSD's bad-retransmit window: an ACK sooner than half a round trip after the first retransmission
// cannot answer it.
bool too_soon_for_retransmission(const host& h, const conn& c, const ack_result& result) {
    return result.advanced && c.rexmt_shift == 1 && !c.has(conn_flag::timestamps) &&
           c.has(conn_flag::undo_ready) && h.now_us() - c.resent_at_us < c.srtt() / 2;
}

void on_ack_loss(host& h, conn& c, ack_result& result) {
    if (f_rto_on_ack(h, c, result) || try_undo(h, c, result)) {
        return;
    }
    if (too_soon_for_retransmission(h, c, result)) {
        h.stats.undo_badrexmt.add(1);
        undo_reduction(h, c);
        return;
    }
    if (c.snd_una >= c.high_seq && !c.has(conn_flag::f_rto)) {
        c.clear(conn_flag::undo_ready);
        end_recovery(c);
    }
}

void on_ack_recovery(host& h, conn& c, const ack_result& result) {
    if (try_undo(h, c, result)) {
        return;
    }
    if (c.snd_una >= c.high_seq) {
        // RFC 6582 3.2: without SACK stay until something above RecoveryPoint is acknowledged, or
        // late duplicates would start a false recovery.
        if (c.has(conn_flag::sack) || c.snd_una > c.high_seq || c.snd_una == c.snd_nxt) {
            end_recovery(c);
        }
        return;
    }
    pace_by_prr(c, result, false);
}

void on_ack_reduced(conn& c, const ack_result& result) {
    if (c.snd_una >= c.high_seq) {
        end_recovery(c);
    } else {
        pace_by_prr(c, result, false);
    }
}

// RFC 3168 section 6.1.2: ECE is like a loss, once a window, with nothing to send again. It goes on
// until CWR has arrived, which leaves with the first byte above ecn_end.
void on_ece(host& h, conn& c) {
    if (c.uncut && !is_ahead(c, c.ecn_end)) { // a repair that is no congestion: the mark is some
        h.stats.ecn_rcwnd.add(1);
        c.ssthresh = congestion_cut(h, c, cut_cause::mark);
        c.cwnd = std::min(c.cwnd, c.ssthresh);
        c.uncut = false;
        tell_reduction(c);
    }
    if (c.recovery >= recovery_state::recovery) {
        c.clear(conn_flag::undo_ready); // the cut for a loss is also this mark's, and stands
        return;
    }
    if (c.recovery == recovery_state::reduced || is_ahead(c, c.ecn_end) || c.snd_una == c.ecn_end) {
        return;
    }
    h.stats.ecn_rcwnd.add(1);
    start_reduction(h, c, cut_cause::mark);
    c.clear(conn_flag::undo_ready);
    c.recovery = recovery_state::reduced;
}

void arm_reorder_timer(host& h, conn& c, std::uint32_t wait_us) {
    if (wait_us != 0) {
        timer_arm_rexmt(h, c, rexmt_kind::reorder, wait_us);
    }
}

} // namespace

void recovery_sent(conn& c, std::uint32_t bytes) {
    if (c.recovery == recovery_state::recovery || c.recovery == recovery_state::reduced) {
        c.prr_out += bytes;
    }
}

bool recovery_on_ack(host& h, conn& c, tcp_seq ack, ack_result& result) {
    if (result.ece && c.has(conn_flag::ecn)) {
        on_ece(h, c);
    }
    if (tail_probe_acked(h, c, ack, result) && c.recovery == recovery_state::open) {
        // RFC 8985 7.4.2: the congestion response, without a recovery.
        start_reduction(h, c, cut_cause::loss);
        c.clear(conn_flag::undo_ready);
        c.recovery = recovery_state::reduced;
    }
    std::uint32_t wait_us = 0;
    if (c.has(conn_flag::sack)) {
        rack_adapt(c, result);
        if (c.recovery != recovery_state::loss || !c.has(conn_flag::f_rto)) {
            wait_us = rack_detect(h, c);
        }
    } else {
        sackless_on_ack(h, c, result);
    }
    switch (c.recovery) {
    case recovery_state::loss:
        on_ack_loss(h, c, result);
        break;
    case recovery_state::recovery:
        on_ack_recovery(h, c, result);
        break;
    case recovery_state::reduced:
        if (!on_ack_undisturbed(h, c, result)) {
            on_ack_reduced(c, result);
            break;
        }
        pace_by_prr(c, result, true);
        break;
    case recovery_state::open:
    case recovery_state::disorder:
        if (result.dsack && try_undo(h, c, result)) {
            break;
        }
        if (on_ack_undisturbed(h, c, result)) {
            pace_by_prr(c, result, true);
        }
        break;
    }
    arm_reorder_timer(h, c, wait_us);
    return wait_us != 0;
}

void recovery_on_reorder_timeout(host& h, conn& c) {
    h.stats.rack_reo_timeo.add(1);
    const ack_result nothing{.lost_before = c.lost_bytes};
    const std::uint32_t wait_us = rack_detect(h, c);
    if (c.lost_bytes > 0 && c.recovery <= recovery_state::reduced) {
        if (!mtu_probe_alone_lost(h, c)) {
            enter_recovery(h, c);
            pace_by_prr(c, nothing, true);
        }
    } else if (c.lost_bytes > nothing.lost_before && c.recovery == recovery_state::recovery) {
        pace_by_prr(c, nothing, true);
    }
    arm_reorder_timer(h, c, wait_us);
}

void recovery_without_congestion(host& h, conn& c) {
    if (c.lost_bytes == 0 || c.recovery >= recovery_state::recovery) {
        return;
    }
    if (c.recovery == recovery_state::reduced) { // a cut for something else: it goes on as it is
        start_repair(h, c);
    } else {
        c.high_seq = c.snd_nxt;
        c.clear(conn_flag::undo_ready | conn_flag::f_rto | conn_flag::tail_probe);
        c.recovery = recovery_state::loss;
        c.uncut = true;
        c.ssthresh = std::max(c.ssthresh, c.cwnd); // else the end of it would cut the window there
    }
    timer_restart_rexmt(h, c); // a tail loss probe is no part of a repair (RFC 8985 7.2)
}

void recovery_on_timeout(host& h, conn& c) {
    // RFC 5681 3.1: ssthresh is cut once for a loss, not again for a lost retransmission; and the
    // first timeout of an episode remembers what to restore.
    const bool uncut = c.recovery != recovery_state::loss || c.uncut;
    const bool first = c.rexmt_shift == 0 && ((uncut && c.recovery != recovery_state::recovery) ||
                                              c.snd_una >= c.high_seq);
    if (uncut) {
        prepare_undo(c);
        tell_reduction(c);
        c.ssthresh = congestion_cut(h, c, cut_cause::loss);
        c.resent_at_us = h.now_us();
        c.uncut = false;
    }
    // RFC 5682 section 3.1 step 1: only for the first timeout, and in no recovery.
    if (first && c.sent_count > 0) {
        c.set(conn_flag::f_rto);
    } else {
        c.clear(conn_flag::f_rto);
    }
    c.clear(conn_flag::tail_probe);
    if (!c.has(conn_flag::sack)) {
        c.sacked_bytes = 0;
        c.dupacks = 0;
    }
    sent_all_lost(h, c);
    c.high_seq = c.snd_nxt;
    c.recovery = recovery_state::loss;
    c.cwnd = c.snd_mss; // loss window, RFC 5681 3.1
    congestion_notify(h, c, congestion_event::timeout);
}

} // namespace pantala::tcp
