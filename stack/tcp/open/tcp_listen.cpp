#include "stack/tcp/open/tcp_listen.hpp"

#include "stack/tcp/congestion/path_memory.hpp"
#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/input/tcp_reassembly.hpp"
#include "stack/tcp/input/tcp_states.hpp"
#include "stack/tcp/open/tcp_isn.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_rtt.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/tcp/tcp_user.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

using namespace wire::tcp_flag;

std::uint32_t clock_for(const host& h, const flow_key& key) {
    return h.now_ms() + timestamp_offset(h, key);
}

std::uint16_t listen_window(const host& h) {
    return static_cast<std::uint16_t>(std::min(h.config.rcv_buffer, 65'535U));
}

void send_syn_ack(host& h, const syn_entry& entry, std::uint32_t ts_value) {
    segment_out answer{.key = &entry.key, .seq = entry.iss, .ack = entry.irs + 1};
    answer.flags = syn | ack;
    answer.flags |= entry.ecn ? ece : std::uint8_t{0};
    answer.window = listen_window(h);
    wire::tcp_options options;
    options.has_mss = true;
    options.mss = mss_to_offer(h, entry.key, entry.path_mtu);
    options.sack_permitted = entry.sack;
    options.has_window_scale = entry.window_scale;
    options.window_scale = window_shift_for(h);
    options.has_timestamp = entry.timestamps;
    options.ts_value = ts_value;
    options.ts_echo = entry.ts_recent;
    fast_open_cookie cookie;
    if (entry.fast_open) {
        cookie = make_fast_open_cookie(h.secrets.fast_open, entry.key, fast_open_period(h));
        options.fast_open = cookie.data();
        options.fast_open_bytes = cookie.size();
        h.stats.fo_cookies_given.add(1);
    }
    answer.options_bytes = static_cast<std::uint8_t>(
        wire::write_tcp_syn_options(answer.options, options, h.config.option_order));
    if (send_segment(h, answer)) {
        h.stats.sndctrl.add(1);
    }
}

syn_entry
entry_from(const host& h, const segment_in& segment, std::uint64_t hash, std::uint32_t listening) {
    const wire::tcp_options& options = segment.options;
    syn_entry entry;
    entry.listener = listening;
    entry.key = segment.key;
    entry.hash = hash;
    entry.account = h.memory.account_of(segment.key.remote);
    entry.irs = segment.seq;
    entry.began_ms = h.now_ms();
    entry.asked_us = std::max(h.now_us(), 1U);
    entry.timestamps = options.has_timestamp && h.config.timestamps;
    entry.ts_recent = entry.timestamps ? options.ts_value : 0;
    entry.sack = options.sack_permitted && h.config.sack;
    entry.window_scale = options.has_window_scale && h.config.window_scale;
    entry.snd_wscale = std::min<std::uint8_t>(options.window_scale, wire::tcp_window_scale_max);
    entry.ecn = segment.has(ece) && segment.has(cwr) && h.config.ecn_accept;
    entry.peer_mss = options.has_mss ? options.mss : (segment.key.is_v4() ? 536 : 1'220);
    entry.path_mtu = mtu_for(h, segment.key, h.listeners[listening].segment_size);
    return entry;
}

void answer_with_cookie(host& h, syn_entry& entry) {
    h.stats.sc_sendcookie.add(1);
    h.cookies_until_ms = h.now_ms() + cookie_periods_valid * cookie_period_ms;
    h.cookies_sent = true;
    entry.iss = make_cookie(h.secrets.cookie, entry.key, entry.irs, entry.peer_mss, h.now);
    const syn_cookie memory{
        entry.peer_mss, entry.snd_wscale, entry.window_scale, entry.sack, entry.ecn};
    if (!entry.timestamps) { // nothing to remember these by
        entry.sack = false;
        entry.window_scale = false;
        entry.ecn = false;
    }
    send_syn_ack(h, entry, cookie_timestamp(memory, clock_for(h, entry.key)));
}

// A peer with so many connections opens no more (`limits::peer_conns`).
bool has_all_it_may(host& h, std::uint32_t account) {
    return h.sizes.peer_conns != 0 && h.memory.conns(account) >= h.sizes.peer_conns;
}

// What an entry means that finds the cache so full.
counter& counter_for(host& h, syn_full full) {
    switch (full) {
    case syn_full::bucket:
        return h.stats.sc_bucketoverflow;
    case syn_full::peer:
        return h.stats.sc_peeroverflow;
    case syn_full::listener:
        return h.stats.sc_listeneroverflow;
    case syn_full::cache:
        return h.stats.sc_cacheoverflow;
    case syn_full::no:
        break;
    }
    return h.stats.sc_added;
}

bool queue_full(const host& h, std::uint32_t id) {
    return h.listeners[id].accepted.count >= h.listeners[id].backlog;
}

// A connection as the handshake agreed on it; the final ACK is then processed as any segment.
conn* conn_from(host& h, const syn_entry& entry) {
    conn* fresh = h.new_conn();
    if (fresh == nullptr) {
        return nullptr;
    }
    conn& c = *fresh;
    init_conn(h, c, entry.key, entry.path_mtu);
    c.hash = entry.hash;
    c.state = conn_state::syn_received;
    c.set(conn_flag::passive);
    c.iss = entry.iss;
    c.snd_una = entry.iss;
    c.snd_nxt = entry.iss + 1;
    c.snd_end = entry.iss + 1;
    c.high_seq = entry.iss;
    c.ecn_end = entry.iss;
    c.rack_dsack_round = entry.iss;
    c.irs = entry.irs;
    c.rcv_nxt = entry.irs + 1;
    c.last_ack = c.rcv_nxt;
    c.rcv_adv = c.rcv_nxt + listen_window(h);
    c.rexmt_shift = entry.retries;
    segment_in spoken; // negotiates with what the SYN said
    spoken.flags = syn | (entry.ecn ? ece | cwr : 0);
    spoken.options.has_mss = true;
    spoken.options.mss = entry.peer_mss;
    spoken.options.sack_permitted = entry.sack;
    spoken.options.has_window_scale = entry.window_scale;
    spoken.options.window_scale = entry.snd_wscale;
    spoken.options.has_timestamp = entry.timestamps;
    spoken.options.ts_value = entry.ts_recent;
    if (entry.ecn) {
        c.set(conn_flag::ecn);
    }
    negotiate(h, c, spoken);
    if (!h.insert(c)) {
        h.release(c);
        return nullptr;
    }
    return fresh;
}

// RFC 7413 4.2.2, server, steps 4 and 5: the data of the SYN goes to the application, and the
// SYN-ACK acknowledges it. False: there is no room for a connection, or no record for the SYN-ACK,
// without which its number would be the first byte's.
bool open_at_once(host& h, segment_in& segment, const syn_entry& entry) {
    if (h.sents.used() == h.sents.capacity()) {
        h.stats.sndnomem.add(1);
        return false;
    }
    conn* fresh = conn_from(h, entry);
    if (fresh == nullptr) {
        h.stats.connfull.add(1);
        return false;
    }
    conn& c = *fresh;
    c.snd_nxt = c.iss; // the SYN-ACK goes out below
    c.snd_wnd = segment.window;
    c.max_snd_wnd = c.snd_wnd;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = c.iss;
    c.fast_open_grant = entry.fast_open;
    fast_open_begin(h, c, entry.listener);
    congestion_start(h, c);
    path_seed(h, c);
    h.stats.accepts.add(1);
    accept_push(h, c, entry.listener);
    if (segment.length > 0) {
        rte_mbuf* payload = segment.packet;
        segment.packet = nullptr;
        receive_payload(h, c, c.rcv_nxt, payload);
        c.clear(conn_flag::ack_now);
        timer_disarm(c, conn_timer::delack);
        c.rcv_unacked = 0;
    }
    h.stats.fo_cookies_given.add(c.fast_open_grant ? 1 : 0);
    send_syn(h, c);
    timer_arm(h, c, conn_timer::keep, h.config.keepinit_ms);
    timer_arm_rexmt(h, c, rexmt_kind::rto, rto_backed_off_us(h, c));
    return true;
}

void took(reopening* again) {
    if (again != nullptr) {
        again->done = true;
    }
}

tcp_seq passive_sequence(const host& h, const flow_key& key, const reopening* again) {
    return again == nullptr ? initial_sequence(h.secrets.isn, key, h.now)
                            : initial_sequence_above(h.secrets.isn, key, h.now, again->above);
}

void take_syn(
    host& h, segment_in& segment, std::uint64_t hash, std::uint32_t id, reopening* again) {
    syn_entry entry = entry_from(h, segment, hash, id);
    if (entry.path_mtu == 0) {
        h.stats.sc_dropped.add(1); // no way back to the peer
        return;
    }
    if (has_all_it_may(h, entry.account)) {
        h.stats.sc_peerlimit.add(1);
        return;
    }
    const fast_open_verdict fast = fast_open_judge(h, segment, id);
    entry.fast_open = fast.grant;
    if (fast.accept && !queue_full(h, id) && segment.length <= listen_window(h)) {
        entry.iss = passive_sequence(h, entry.key, again);
        if (open_at_once(h, segment, entry)) {
            took(again);
            return;
        }
    }
    const syn_full full = h.syns.full_for(entry);
    // A cookie is our first number and cannot begin where the old connection wants it to (RFC
    // 6191): who reopens gets an entry.
    if (h.config.syn_cookies && full != syn_full::no && again == nullptr) {
        answer_with_cookie(h, entry);
        return;
    }
    entry.iss = passive_sequence(h, entry.key, again);
    counter_for(h, full).add(1);
    if (h.syns.add(entry) == no_id) {
        h.stats.sc_dropped.add(1);
        return;
    }
    took(again);
    send_syn_ack(h, entry, clock_for(h, entry.key));
}

// A SYN for a half-open flow: the same again (our SYN-ACK was lost), or a new one.
void take_duplicate_syn(host& h, const segment_in& segment, std::uint32_t id) {
    h.stats.sc_dupsyn.add(1);
    syn_entry& entry = h.syns.entries[id];
    if (segment.seq == entry.irs) {
        if (entry.timestamps && segment.options.has_timestamp) {
            entry.ts_recent = segment.options.ts_value;
        }
        send_syn_ack(h, entry, clock_for(h, entry.key));
        return;
    }
    // Another number: a stranger's, or a peer that began anew. An ACK makes the latter reset what
    // it no longer knows (RFC 5961 section 4.2), and its next SYN finds the way free.
    if (!may_challenge(h, entry.challenged_ms, static_cast<std::uint16_t>(entry.account))) {
        return;
    }
    segment_out challenge{.key = &entry.key, .seq = entry.iss + 1, .ack = entry.irs + 1};
    challenge.flags = ack;
    challenge.window = listen_window(h);
    if (send_segment(h, challenge)) {
        h.stats.sndacks.add(1);
    }
}

// The handshake is complete: a connection for the accept queue.
void complete(host& h, segment_in& segment, const syn_entry& entry) {
    conn* c = conn_from(h, entry);
    if (c == nullptr) {
        h.stats.connfull.add(1);
        return;
    }
    // RFC 6298 section 3, 5.7: a SYN-ACK that was sent once times the round trip. A cookie
    // remembers nothing of the kind.
    const std::uint32_t rtt_us = h.now_us() - entry.asked_us;
    if (entry.asked_us != 0 && entry.retries == 0 && rtt_us != 0) {
        rtt_sample(*c, h.config, rtt_us);
        min_rtt_sample(*c, rtt_us, h.now_ms());
    }
    h.stats.sc_completed.add(1);
    h.stats.accepts.add(1);
    accept_push(h, *c, entry.listener);
    segment_arrives(h, *c, segment);
    if (c->state == conn_state::syn_received) [[unlikely]] { // refused after all: not for ever
        timer_arm(h, *c, conn_timer::keep, h.config.keepinit_ms);
    }
}

// The third segment, for an entry of the cache.
void take_ack(host& h, segment_in& segment, std::uint32_t id) {
    const syn_entry entry = h.syns.entries[id];
    const bool old = entry.timestamps && segment.options.has_timestamp &&
                     serial_less(segment.options.ts_value, entry.ts_recent);
    if (old || segment.ack != entry.iss + 1) {
        h.stats.sc_badack.add(1);
        if (!old) { // RFC 9293 3.10.7.4, SYN-RECEIVED
            send_reset(h, {&segment.key, segment.seq, segment.ack, 0, true});
        }
        return;
    }
    // What the connection would drop must not make it: nothing would stand behind it.
    if (entry.timestamps && !segment.options.has_timestamp) { // RFC 7323 3.2, as check_timestamp
        h.stats.notsdrop.add(1);
        return;
    }
    // RFC 9293 3.4: it must lie in the window our SYN-ACK told; at its very edge, empty.
    const tcp_seq edge = entry.irs + 1 + listen_window(h);
    if (segment.seq < entry.irs + 1 || segment.seq > edge ||
        (segment.seq == edge && segment.seq_length() > 0)) {
        h.stats.sc_badack.add(1);
        return;
    }
    if (queue_full(h, entry.listener)) {
        h.stats.listendrop.add(1); // the entry stays: the peer, or our SYN-ACK, tries again
        return;
    }
    if (has_all_it_may(h, entry.account)) { // many half-open ones were begun below the limit
        h.stats.sc_peerlimit.add(1);
        return;
    }
    h.syns.remove(id);
    complete(h, segment, entry);
}

// The third segment of a handshake that only the cookie remembers.
bool take_cookie(host& h, segment_in& segment, std::uint64_t hash, std::uint32_t listening) {
    if (!h.cookies_sent || serial_less(h.cookies_until_ms, h.now_ms())) {
        return false; // none can be valid: nothing to guess
    }
    const tcp_seq irs = segment.seq - 1;
    const auto mss = check_cookie(h.secrets.cookie, segment.key, irs, segment.ack - 1, h.now);
    if (!mss) {
        // Perhaps a later segment of a good handshake that overtook the one with the cookie: no
        // reset, the peer will send both again.
        h.stats.sc_badcookie.add(1);
        return true;
    }
    h.stats.sc_recvcookie.add(1);
    if (has_all_it_may(h, h.memory.account_of(segment.key.remote))) {
        h.stats.sc_peerlimit.add(1);
        return true;
    }
    if (queue_full(h, listening)) {
        h.stats.listendrop.add(1);
        return true;
    }
    syn_entry entry;
    entry.key = segment.key;
    entry.hash = hash;
    entry.listener = listening;
    entry.iss = segment.ack - 1;
    entry.irs = irs;
    entry.peer_mss = *mss;
    entry.path_mtu = mtu_for(h, segment.key, h.listeners[listening].segment_size);
    if (segment.options.has_timestamp && h.config.timestamps) {
        syn_cookie memory;
        read_cookie_timestamp(segment.options.ts_echo, memory);
        entry.timestamps = true;
        entry.ts_recent = segment.options.ts_value;
        entry.window_scale = memory.window_scale && h.config.window_scale;
        entry.snd_wscale = std::min<std::uint8_t>(memory.snd_wscale, wire::tcp_window_scale_max);
        entry.sack = memory.sack && h.config.sack;
        entry.ecn = memory.ecn && h.config.ecn_accept;
    }
    complete(h, segment, entry);
    return true;
}

void take_reset(host& h, const segment_in& segment, std::uint32_t id) {
    const syn_entry& entry = h.syns.entries[id];
    if (segment.seq == entry.irs + 1) { // RFC 5961 3.2: exactly, or not at all
        h.stats.sc_reset.add(1);
        h.syns.remove(id);
    }
}

} // namespace

std::uint64_t listener_hash(const ip_endpoint& local) {
    std::uint64_t mixed = local.port.value.raw() * 0x9e3779b97f4a7c15;
    for (const std::uint64_t word : local.address.words) {
        mixed = (mixed ^ (mixed >> 29) ^ word) * 0x9e3779b97f4a7c15;
    }
    return mixed ^ (mixed >> 32);
}

std::uint32_t listener_at(const host& h, const ip_endpoint& local) {
    return h.listeners_by_endpoint.find(
        listener_hash(local), [&](std::uint32_t id) { return h.listeners[id].local == local; });
}

std::uint32_t find_listener(const host& h, const flow_key& key) {
    static constexpr ip_address any_v4 = ip_address::from(wire::ipv4_address{});
    const std::uint32_t exact = listener_at(h, {key.local, key.local_port});
    if (exact != no_id) {
        return exact;
    }
    if (key.is_v4()) { // 0.0.0.0 takes only IPv4, [::] both
        const std::uint32_t v4 = listener_at(h, {any_v4, key.local_port});
        if (v4 != no_id) {
            return v4;
        }
    }
    const std::uint32_t both = listener_at(h, {ip_address{}, key.local_port});
    return both != no_id && key.is_v4() && h.listeners[both].v6_only ? no_id : both;
}

bool listen_input(host& h, segment_in& segment, std::uint64_t hash, reopening* again) {
    const std::uint32_t half = h.syns.find(hash, segment.key);
    if (half != no_id) {
        if (segment.has(rst)) {
            take_reset(h, segment, half);
        } else if (segment.has(syn) && !segment.has(ack)) {
            take_duplicate_syn(h, segment, half);
        } else if (segment.has(ack) && !segment.has(syn)) {
            take_ack(h, segment, half);
        }
        return true;
    }
    const std::uint32_t listening = find_listener(h, segment.key);
    if (listening == no_id) {
        return false;
    }
    // RFC 9293 3.10.7.2: RST is ignored, ACK is answered by a reset, SYN begins.
    if (segment.has(rst)) {
        return true;
    }
    if (segment.has(ack)) {
        return !segment.has(syn) && take_cookie(h, segment, hash, listening);
    }
    if (segment.has(syn) && !segment.has(fin)) {
        take_syn(h, segment, hash, listening, again);
    }
    return true;
}

void listen_icmp(host& h, const flow_key& key, std::uint64_t hash, tcp_seq seq) {
    const std::uint32_t id = h.syns.find(hash, key);
    // RFC 5927: the quoted number must be ours. Once is not enough after a SYN-ACK was repeated.
    if (id != no_id && h.syns.entries[id].iss == seq && h.syns.entries[id].retries > 0) {
        h.stats.sc_unreach.add(1);
        h.syns.remove(id);
    }
}

unsigned listen_expire(host& h, unsigned budget) {
    unsigned used = 0;
    for (; used < budget; ++used) {
        const std::uint32_t id = h.syns.due(h.now_ms(), h.config.syn_ack_interval_ms);
        if (id == no_id) {
            break;
        }
        syn_entry& entry = h.syns.entries[id];
        if (entry.retries >= std::min(h.config.syn_ack_retries, syn_ack_retries_max)) {
            h.stats.sc_timed_out.add(1);
            h.syns.remove(id);
            continue;
        }
        h.stats.sc_retransmitted.add(1);
        send_syn_ack(h, entry, clock_for(h, entry.key));
        h.syns.retry_later(id, h.now_ms());
    }
    return used;
}

void listen_forget(host& h, std::uint32_t listening) {
    for (std::uint32_t id = h.syns.oldest_of_listener(listening); id != no_id;
         id = h.syns.oldest_of_listener(listening)) {
        h.syns.remove(id);
    }
}

} // namespace pantala::tcp
