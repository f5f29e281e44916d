#include "stack/tcp/input/tcp_states.hpp"

#include "stack/tcp/input/tcp_ack.hpp"
#include "stack/tcp/input/tcp_reassembly.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

using namespace wire::tcp_flag;

constexpr std::uint32_t ts_recent_life_ms = 24U * 24 * 3'600 * 1'000; // RFC 7323 5.5

enum class verdict : std::uint8_t { go_on, done };

void acknowledge_now(host& h, conn& c) {
    c.set(conn_flag::ack_now);
    h.want_output(c);
}

// A segment that takes no room in sequence space and does not fit. RFC 9293 3.4 wants an ACK; two
// hosts that each find the other's ACK unfit would go on for ever, so there is one in an interval
// (as in Linux). It takes nothing from what is for other connections.
void answer_invalid(host& h, conn& c, std::uint32_t& last_ms, std::uint32_t interval_ms) {
    if (answer_due(last_ms, interval_ms, h.now_ms())) {
        acknowledge_now(h, c);
    } else {
        h.stats.challenge_limited.add(1);
    }
}

// -- First: the sequence number.

// RFC 7323 5.3 R1: an old duplicate shows by its timestamp.
verdict check_timestamp(host& h, conn& c, const segment_in& segment) {
    if (!c.has(conn_flag::timestamps) || segment.has(rst)) {
        return verdict::go_on;
    }
    if (!segment.options.has_timestamp) { // RFC 7323 3.2: SHOULD drop
        if (segment.has(syn)) {           // but RFC 5961 4.2: a peer that began anew is asked
            return verdict::go_on;
        }
        h.stats.notsdrop.add(1);
        return verdict::done;
    }
    if (!c.has(conn_flag::ts_recent_valid) || !serial_less(segment.options.ts_value, c.ts_recent)) {
        return verdict::go_on;
    }
    if (h.now_ms() - c.ts_recent_ms > ts_recent_life_ms) {
        c.clear(conn_flag::ts_recent_valid);
        return verdict::go_on;
    }
    h.stats.pawsdrop.add(1);
    if (segment.seq_length() > 0 && !segment.has(syn)) {
        acknowledge_now(h, c);
    } else {
        answer_invalid(h, c, c.invalid_ms, h.config.invalid_interval_ms);
    }
    return verdict::done;
}

// A keep-alive (RFC 9293 3.8.4) or a probe of a window (3.8.6.1, MUST-36) as most hosts send them:
// an ACK of nothing new, one before what is expected. What does not know our number cannot look
// like it.
bool is_probe(const conn& c, const segment_in& segment) {
    return segment.seq_length() == 0 && segment.has(ack) && segment.seq + 1 == c.rcv_nxt;
}

// RFC 9293 3.4, table of acceptability. A bare ACK may stand at the very edge: it comes from a peer
// that has filled our window.
bool in_window(const conn& c, const segment_in& segment) {
    const std::uint32_t length = segment.seq_length();
    if (length == 0) {
        return segment.seq >= c.rcv_nxt && segment.seq <= c.rcv_adv;
    }
    return c.rcv_adv != c.rcv_nxt && segment.seq < c.rcv_adv && segment.seq + length > c.rcv_nxt;
}

// Takes payload (and what follows it) off.
void drop_payload(segment_in& segment) {
    segment.length = 0;
    segment.flags &= static_cast<std::uint8_t>(~fin);
}

verdict check_sequence(host& h, conn& c, segment_in& segment) {
    if (in_window(c, segment)) {
        return verdict::go_on;
    }
    if (segment.has(rst)) {
        return verdict::done;
    }
    if (segment.seq == c.rcv_nxt && c.rcv_adv == c.rcv_nxt && segment.has(ack)) {
        // A probe of our closed window: its ACK still counts (RFC 9293 3.10.7.4).
        h.stats.rcvwinprobe.add(1);
        drop_payload(segment);
        acknowledge_now(h, c);
        return verdict::go_on;
    }
    if (segment.length > 0) {
        if (segment.seq < c.rcv_nxt) {
            h.stats.rcvduppack.add(1);
            note_duplicate(h, c, segment.seq, seq_min(segment.seq + segment.length, c.rcv_nxt));
        } else {
            h.stats.rcvpackafterwin.add(1);
            h.stats.rcvbyteafterwin.add(segment.length);
        }
    }
    if (segment.seq_length() > 0 && !segment.has(syn)) {
        c.quick_acks = std::max<std::uint8_t>(c.quick_acks, 1);
        acknowledge_now(h, c);
    } else if (segment.has(syn)) {
        send_challenge_ack(h, c); // RFC 5961 4.2
    } else if (is_probe(c, segment)) {
        answer_invalid(h, c, c.probed_ms, h.config.probe_interval_ms);
    } else {
        answer_invalid(h, c, c.invalid_ms, h.config.invalid_interval_ms);
    }
    return verdict::done;
}

// -- Second: RST (RFC 5961 section 3.2). The sequence number is in the window.
verdict check_reset(host& h, conn& c, const segment_in& segment) {
    if (!segment.has(rst)) {
        return verdict::go_on;
    }
    if (segment.seq != c.rcv_nxt) {
        h.stats.badrst.add(1);
        send_challenge_ack(h, c);
        return verdict::done;
    }
    h.stats.rcvrst.add(1);
    h.stats.drops.add(1);
    const bool was_open =
        c.state != conn_state::syn_received || c.fast_open == fast_open_step::pending;
    fast_open_settle(h, c, true);
    h.finish(c, was_open ? conn_error::reset : conn_error::refused);
    return verdict::done;
}

// -- Fourth: SYN (RFC 5961 section 4.2): never accepted in a connection, always questioned.
verdict check_syn(host& h, conn& c, const segment_in& segment) {
    if (!segment.has(syn)) {
        return verdict::go_on;
    }
    h.stats.badsyn.add(1);
    send_challenge_ack(h, c);
    return verdict::done;
}

// RFC 7323 4.3 (2): TS.Recent follows the segment that the last ACK asked for; one that has become
// worthless (5.5), any.
void keep_timestamp(host& h, conn& c, const segment_in& segment) {
    if (c.has(conn_flag::timestamps) && segment.options.has_timestamp &&
        segment.seq <= c.last_ack &&
        (!serial_less(segment.options.ts_value, c.ts_recent) ||
         !c.has(conn_flag::ts_recent_valid))) {
        c.ts_recent = segment.options.ts_value;
        c.ts_recent_ms = h.now_ms();
        c.set(conn_flag::ts_recent_valid);
    }
}

// RFC 3168 6.1.3: echo CE in every ACK until the sender says CWR.
void keep_ecn(host& h, conn& c, const segment_in& segment) {
    if (!c.has(conn_flag::ecn)) {
        return;
    }
    if (c.congestion == congestion_kind::dctcp) {
        // RFC 8257 3.2: every change of CE ends the run of segments that one ACK may speak for.
        if (segment.ce != c.has(conn_flag::ecn_echo)) {
            if (c.rcv_unacked > 0) {
                send_ack(h, c); // with the state they had
            }
            segment.ce ? c.set(conn_flag::ecn_echo) : c.clear(conn_flag::ecn_echo);
        }
        h.stats.ecn_ce.add(segment.ce ? 1 : 0);
        return;
    }
    if (segment.has(cwr)) {
        c.clear(conn_flag::ecn_echo);
    }
    if (segment.ce) {
        h.stats.ecn_ce.add(1);
        c.set(conn_flag::ecn_echo);
        c.quick_acks = std::max<std::uint8_t>(c.quick_acks, 1);
    }
}

// -- Fifth: ACK, by state.

bool our_fin_acknowledged(const conn& c) {
    return c.has(conn_flag::fin_sent) && c.snd_una == c.snd_nxt;
}

// Without a good ACK the segment ends here, before anything it says is learnt.
verdict check_ack(host& h, conn& c, const segment_in& segment) {
    if (!segment.has(ack)) {
        return verdict::done;
    }
    if (c.state != conn_state::syn_received) [[likely]] {
        return ack_acceptable(h, c, segment.ack) ? verdict::go_on : verdict::done;
    }
    if (!(c.snd_una < segment.ack && segment.ack <= c.snd_nxt)) {
        send_reset(h, {&segment.key, segment.seq, segment.ack, 0, true});
        return verdict::done;
    }
    return verdict::go_on;
}

void ack_in_syn_received(host& h, conn& c, const segment_in& segment) {
    c.snd_wnd = window_of(c, segment);
    c.max_snd_wnd = c.snd_wnd;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = segment.ack;
    establish(h, c);
}

verdict ack_in_fin_wait_1(host& h, conn& c) {
    if (our_fin_acknowledged(c)) {
        c.state = conn_state::fin_wait_2;
        if (c.has(conn_flag::orphan)) {
            timer_arm(h, c, conn_timer::msl2, h.config.finwait2_ms);
        }
    }
    return verdict::go_on;
}

verdict ack_in_closing(host& h, conn& c) {
    if (!our_fin_acknowledged(c)) {
        return verdict::go_on;
    }
    enter_time_wait(h, c);
    return verdict::done;
}

verdict ack_in_last_ack(host& h, conn& c) {
    if (!our_fin_acknowledged(c)) {
        return verdict::go_on;
    }
    h.finish(c, conn_error::none);
    return verdict::done;
}

verdict take_ack_field(host& h, conn& c, const segment_in& segment) {
    if (c.state == conn_state::syn_received) {
        ack_in_syn_received(h, c, segment);
    }
    process_ack(h, c, segment);
    if (c.fast_open != fast_open_step::none) { // after a simultaneous open
        fast_open_answered(h, c, segment);
    }
    switch (c.state) {
    case conn_state::fin_wait_1:
        return ack_in_fin_wait_1(h, c);
    case conn_state::closing:
        return ack_in_closing(h, c);
    case conn_state::last_ack:
        return ack_in_last_ack(h, c);
    default:
        return verdict::go_on;
    }
}

// -- Seventh: the text. (Sixth, URG: taken as ordinary data, RFC 6093; the pointer is not looked
// at.)

// Leaves of the segment what is new and inside the window.
void trim_to_window(host& h, conn& c, segment_in& segment) {
    if (segment.seq < c.rcv_nxt) {
        const std::uint32_t old = std::min(c.rcv_nxt - segment.seq, segment.length);
        h.stats.rcvpartduppack.add(1);
        h.stats.rcvpartdupbyte.add(old);
        note_duplicate(h, c, segment.seq, segment.seq + old);
        std::uint32_t left = old; // rte_pktmbuf_adj stays inside the first mbuf
        while (left >= segment.packet->data_len && segment.packet->next != nullptr) {
            left -= segment.packet->data_len;
            rte_mbuf* rest = segment.packet->next;
            rest->pkt_len = segment.packet->pkt_len - segment.packet->data_len;
            rest->nb_segs = static_cast<std::uint16_t>(segment.packet->nb_segs - 1);
            segment.packet->next = nullptr;
            segment.packet->nb_segs = 1;
            h.consume(segment.packet);
            segment.packet = rest;
        }
        rte_pktmbuf_adj(segment.packet, static_cast<std::uint16_t>(left));
        segment.seq += old;
        segment.length -= old;
    }
    const tcp_seq end = segment.seq + segment.length;
    if (end > c.rcv_adv) {
        const std::uint32_t beyond = std::min(end - c.rcv_adv, segment.length);
        h.stats.rcvpackafterwin.add(1);
        h.stats.rcvbyteafterwin.add(beyond);
        segment.length -= beyond;
        segment.flags &= static_cast<std::uint8_t>(~fin); // it lies beyond as well
        acknowledge_now(h, c);
    }
    // What the IP layer left of the packet behind our part goes with the chain's end.
    if (segment.packet->pkt_len > segment.length) {
        trim_chain(h, segment.packet, segment.length);
    }
}

verdict take_text(host& h, conn& c, segment_in& segment) {
    if (segment.length == 0) {
        return verdict::go_on;
    }
    if (c.state != conn_state::established && c.state != conn_state::fin_wait_1 &&
        c.state != conn_state::fin_wait_2) {
        return verdict::go_on; // after the peer's FIN: RFC 9293 3.10.7.4, "should not occur"
    }
    if (c.has(conn_flag::orphan)) {
        // RFC 9293 3.6 MUST-13, RFC 2525 2.17: nobody will read it; the peer must learn.
        // With the number that the peer's ACK names: a number beyond what it has would only be
        // challenged (RFC 5961 3.2).
        h.stats.rcvafterclose.add(1);
        send_reset(h, {&segment.key, segment.seq, segment.ack, 0, true});
        h.finish(c, conn_error::aborted);
        return verdict::done;
    }
    trim_to_window(h, c, segment);
    if (segment.length > 0) {
        rte_mbuf* payload = segment.packet;
        segment.packet = nullptr;
        receive_payload(h, c, segment.seq, payload);
    }
    return verdict::go_on;
}

// -- Eighth: FIN.

void take_fin_in_order(host& h, conn& c) {
    c.rcv_nxt += 1;
    c.rcv_adv = seq_max(c.rcv_adv, c.rcv_nxt);
    c.set(conn_flag::fin_received);
    c.clear(conn_flag::fin_waiting);
    early_clear(h, c); // nothing can follow a FIN
    acknowledge_now(h, c);
    h.tell(c, conn_event::readable);
    switch (c.state) {
    case conn_state::syn_received:
    case conn_state::established:
        c.state = conn_state::close_wait;
        break;
    case conn_state::fin_wait_1: // ours is not acknowledged, or this were FIN-WAIT-2
        c.state = conn_state::closing;
        break;
    case conn_state::fin_wait_2:
        enter_time_wait(h, c);
        break;
    default:
        break;
    }
}

void take_fin(host& h, conn& c, const segment_in& segment) {
    if (c.has(conn_flag::fin_received)) {
        return;
    }
    if (segment.has(fin) && !c.has(conn_flag::fin_waiting)) {
        c.set(conn_flag::fin_waiting);
        c.rcv_fin = segment.seq + segment.length;
    }
    if (!c.has(conn_flag::fin_waiting)) {
        return;
    }
    if (c.rcv_nxt >= c.rcv_fin) {
        take_fin_in_order(h, c);
    } else if (segment.has(fin)) {
        acknowledge_now(h, c); // too early: tell what is missing
    }
}

// In SYN-RECEIVED after a simultaneous open the peer's SYN-ACK repeats its SYN, which we have (RFC
// 9293 figure 8): the rest of the segment counts.
void strip_known_syn(const conn& c, segment_in& segment) {
    if (c.state == conn_state::syn_received && segment.has(syn) && segment.has(ack) &&
        segment.seq == c.irs) {
        segment.flags &= static_cast<std::uint8_t>(~syn);
        segment.seq += 1;
        segment.options.sack_count = 0; // means nothing beside a SYN
    }
}

// Our SYN-ACK to a Fast Open was lost: the client repeats its SYN, without data (RFC 7413 4.2.2).
bool is_repeated_syn(const conn& c, const segment_in& segment) {
    return c.fast_open == fast_open_step::pending && segment.has(syn) && !segment.has(ack | rst) &&
           segment.seq == c.irs;
}

void arrives_synchronized(host& h, conn& c, segment_in& segment) {
    strip_known_syn(c, segment);
    if (is_repeated_syn(c, segment)) {
        h.stats.sc_dupsyn.add(1);
        send_syn(h, c);
        return;
    }
    if (check_timestamp(h, c, segment) == verdict::done ||
        check_sequence(h, c, segment) == verdict::done ||
        check_reset(h, c, segment) == verdict::done || check_syn(h, c, segment) == verdict::done ||
        check_ack(h, c, segment) == verdict::done) {
        return;
    }
    c.last_heard_ms = h.now_ms();
    c.keep_probes = 0;
    keep_timestamp(h, c, segment);
    keep_ecn(h, c, segment);
    if (take_ack_field(h, c, segment) == verdict::done ||
        take_text(h, c, segment) == verdict::done) {
        return;
    }
    take_fin(h, c, segment);
}

// RFC 1191 3, RFC 8201 4. `told`: what the next hop carries. False: nothing new.
bool take_path_mtu(host& h, conn& c, std::uint16_t told) {
    const bool v4 = c.key.is_v4();
    const std::uint16_t floor = v4 ? cut_below_mtu : 1'280; // so small segments are an attack
    // An IPv4 path may be narrower than that (68 bytes, RFC 791 3.2): there routers have to cut, or
    // nothing would ever arrive.
    const bool cut = v4 && told < floor && !c.may_be_cut;
    const std::uint16_t mtu = std::max(told, floor);
    if (mtu >= mtu_under_way(c) && !cut) {
        return false;
    }
    h.stats.pmtu_updates.add(1);
    c.path_mtu = std::min(c.path_mtu, mtu);
    c.may_be_cut = c.may_be_cut || cut;
    if (c.state == conn_state::syn_sent && c.fast_open == fast_open_step::sent) {
        // The data of the SYN did not fit: a plain one at once.
        fast_open_unanswered(h, c);
        send_syn(h, c);
        return true;
    }
    const unsigned options = c.has(conn_flag::timestamps) ? timestamp_option_bytes : 0;
    const unsigned fits = mss_to_offer(h, c.key, mtu) - options;
    const unsigned headers = (v4 ? 40U : 60U) + options;
    const unsigned passed = cut ? std::max<unsigned>(told, headers) - headers : fits;
    c.snd_mss = static_cast<std::uint16_t>(std::min<unsigned>(c.snd_mss, fits));
    for (std::uint32_t id = c.by_seq.head; id != no_id; id = h.sents[id].seq_next) {
        if (!h.sents[id].has(sent_flag::sacked) && h.sents[id].payload() > passed) {
            sent_mark_lost(h, c, id); // too big to have arrived
            h.stats.mturesent.add(1);
        }
    }
    if (c.may_be_cut) {
        c.mtu = {}; // what is cut on its way says nothing of the path
    } else {
        mtu_search_told(h, c, fits);
    }
    recovery_without_congestion(h, c);
    h.want_output(c);
    return true;
}

} // namespace

void segment_arrives(host& h, conn& c, segment_in& segment) {
    if (c.state == conn_state::syn_sent) {
        arrives_in_syn_sent(h, c, segment);
    } else {
        arrives_synchronized(h, c, segment);
    }
}

bool icmp_arrives(host& h, conn& c, const icmp_error& error) {
    // RFC 5927 section 4: what it quotes must be in flight.
    if (error.seq < c.snd_una || error.seq >= c.snd_nxt) {
        h.stats.icmp_ignored.add(1);
        return false;
    }
    if (error.meaning == icmp_meaning::too_big) {
        return take_path_mtu(h, c, error.mtu);
    }
    // RFC 5461: hard errors abort only a connection that is not yet open. Nobody is there who
    // listens (port or protocol unreachable): to the application that is what a reset is.
    if (error.meaning == icmp_meaning::hard && !c.synchronized()) {
        h.stats.conndrops.add(1);
        fast_open_unanswered(h, c);
        h.finish(c, conn_error::refused);
        return true;
    }
    c.soft_error = 1;
    return true;
}

} // namespace pantala::tcp
