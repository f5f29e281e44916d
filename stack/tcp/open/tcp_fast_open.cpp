#include "stack/tcp/open/tcp_fast_open.hpp"

#include "engine/base/serial.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/output/tcp_send_queue.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pantala::tcp {

namespace {

constexpr std::uint32_t minute_ms = 60'000;
constexpr unsigned pause_doublings_max = 10;

bool same_cookie(std::span<const std::uint8_t> got, const fast_open_cookie& good) {
    return got.size() == good.size() && std::memcmp(got.data(), good.data(), good.size()) == 0;
}

void note_failure(host& h, const conn& c) {
    fast_open_server& server = h.fast_opens.enter(c.key.remote, h.now_ms());
    const unsigned doublings = std::min<unsigned>(server.failures, pause_doublings_max);
    server.paused_until_ms = h.now_ms() + (h.config.fast_open_pause_ms << doublings);
    server.paused_port = c.key.remote_port;
    server.failures = static_cast<std::uint8_t>(std::min(server.failures + 1, 255));
}

} // namespace

// ---------------------------------------------------------------------------------------------
// The server's side.

fast_open_cookie
make_fast_open_cookie(siphash_key secret, const flow_key& key, std::uint64_t period) {
    siphash24 sum(secret);
    for (const ip_address& address : {key.remote, key.local}) {
        sum.word(address.words[0]);
        sum.word(address.words[1]);
    }
    sum.word(period);
    const std::uint64_t value = sum.finish(0, 40);
    fast_open_cookie cookie;
    static_assert(sizeof value == sizeof cookie);
    std::memcpy(cookie.data(), &value, sizeof value);
    return cookie;
}

std::optional<unsigned> fast_open_cookie_age(
    siphash_key secret, const flow_key& key, std::uint64_t period,
    std::span<const std::uint8_t> cookie) {
    for (unsigned age = 0; age < 2 && age <= period; ++age) {
        if (same_cookie(cookie, make_fast_open_cookie(secret, key, period - age))) {
            return age;
        }
    }
    return std::nullopt;
}

std::uint64_t fast_open_period(const host& h) {
    return h.now.ms() / std::max(h.config.fast_open_period_ms, 1U);
}

void fast_open_queue::turn(std::uint32_t now_ms) {
    const std::uint32_t now_minute = now_ms / minute_ms;
    if (now_minute != minute) {
        resets_before = now_minute == minute + 1 ? resets : 0;
        resets = 0;
        minute = now_minute;
    }
}

bool fast_open_queue::has_room(std::uint32_t now_ms) {
    turn(now_ms);
    return std::uint64_t{pending} + resets + resets_before < limit;
}

void fast_open_queue::note_reset(std::uint32_t now_ms) {
    turn(now_ms);
    ++resets;
}

fast_open_verdict fast_open_judge(host& h, const segment_in& syn, std::uint32_t listening) {
    const wire::tcp_options& options = syn.options;
    fast_open_queue& queue = h.listeners[listening].fast_open;
    if (options.fast_open == nullptr || queue.limit == 0 || !h.config.fast_open_server) {
        return {};
    }
    if (options.fast_open_bytes == 0) { // RFC 7413 4.2.1: a request
        return {.grant = true, .accept = false};
    }
    const auto age = fast_open_cookie_age(
        h.secrets.fast_open, syn.key, fast_open_period(h),
        {options.fast_open, options.fast_open_bytes});
    if (!age) { // RFC 7413 4.1.2: the data is not looked at, and the client gets a good one
        h.stats.fo_cookies_bad.add(1);
        return {.grant = true, .accept = false};
    }
    if (!queue.has_room(h.now_ms())) { // RFC 7413 4.2.2, step 2; 5.1
        h.stats.fo_overflow.add(1);
        return {};
    }
    return {.grant = *age != 0, .accept = true};
}

void fast_open_begin(host& h, conn& c, std::uint32_t listening) {
    c.fast_open = fast_open_step::pending;
    c.fast_open_listener = listening;
    ++h.listeners[listening].fast_open.pending;
    h.stats.fo_accepts.add(1);
}

void fast_open_settle(host& h, conn& c, bool by_reset) {
    if (c.fast_open != fast_open_step::pending) {
        return;
    }
    fast_open_queue& queue = h.listeners[c.fast_open_listener].fast_open;
    --queue.pending;
    if (by_reset) {
        queue.note_reset(h.now_ms());
    }
    c.fast_open = fast_open_step::taken;
}

// ---------------------------------------------------------------------------------------------
// The client's side.

bool fast_open_server::is_paused(l4_port port, std::uint32_t now_ms) const {
    return failures != 0 && paused_port == port && serial_less(now_ms, paused_until_ms);
}

fast_open_cache::fast_open_cache(std::uint32_t servers, siphash_key key)
    : key_(key), mask_(std::bit_ceil(std::max(servers / ways, 1U)) - 1) {
    // Zero pages, and "nobody's", until they are written.
    memory_.reset(std::calloc((std::size_t{mask_} + 1) * ways, sizeof(fast_open_server)));
    PANTALA_ASSERT(memory_ != nullptr);
}

fast_open_server* fast_open_cache::set_of(const ip_address& address) {
    siphash13 sum(key_);
    sum.word(address.words[0]);
    sum.word(address.words[1]);
    const std::uint64_t set = sum.finish(0, 16) & mask_;
    return static_cast<fast_open_server*>(memory_.get()) + set * ways;
}

fast_open_server* fast_open_cache::find(const ip_address& address) {
    fast_open_server* set = set_of(address);
    const auto* end = set + ways;
    auto* found = std::find_if(
        set, set + ways, [&](const fast_open_server& one) { return one.address == address; });
    return found == end ? nullptr : found;
}

fast_open_server& fast_open_cache::enter(const ip_address& address, std::uint32_t now_ms) {
    fast_open_server* found = find(address);
    if (found == nullptr) {
        fast_open_server* set = set_of(address);
        found = std::min_element(set, set + ways, [](const auto& one, const auto& other) {
            const bool free = one.address == ip_address{};
            const bool other_free = other.address == ip_address{};
            return free != other_free ? free : serial_less(one.used_ms, other.used_ms);
        });
        *found = {};
        found->address = address;
    }
    found->used_ms = now_ms;
    return *found;
}

std::uint32_t fast_open_plan(host& h, conn& c) {
    fast_open_server* server = h.fast_opens.find(c.key.remote);
    if (!h.config.fast_open_client ||
        (server != nullptr && server->is_paused(c.key.remote_port, h.now_ms()))) {
        return 0;
    }
    if (server == nullptr || server->cookie_bytes == 0) { // RFC 7413 4.2.1
        c.fast_open = fast_open_step::asked;
        h.stats.fo_cookies_asked.add(1);
        return 0;
    }
    server->used_ms = h.now_ms();
    c.fast_open = fast_open_step::sent;
    h.stats.fo_syns_sent.add(1);
    // RFC 7413 4.2.2: what the server offered last, or the default. Room for all options that a SYN
    // may have, some of which the way may add.
    const std::uint16_t fallback = c.key.is_v4() ? 536 : 1'220;
    const std::uint16_t offered = server->mss != 0 ? server->mss : fallback;
    return mss_for(h, c.key, offered, c.path_mtu) - wire::tcp_options_bytes_max;
}

void fast_open_option(host& h, const conn& c, wire::tcp_options& options) {
    static constexpr std::uint8_t no_cookie = 0;
    if (c.fast_open == fast_open_step::asked) {
        options.fast_open = &no_cookie;
        options.fast_open_bytes = 0;
    } else if (c.fast_open == fast_open_step::sent) {
        const fast_open_server* server = h.fast_opens.find(c.key.remote);
        if (server != nullptr && server->cookie_bytes != 0) {
            options.fast_open = server->cookie.data();
            options.fast_open_bytes = server->cookie_bytes;
        }
    }
}

void fast_open_data(host& h, conn& c, segment_out& segment) {
    const std::uint32_t bytes = c.unsent();
    if (c.fast_open != fast_open_step::sent || bytes == 0) {
        return;
    }
    settle_cursor(c);
    const tcp_seq end = c.snd_nxt + bytes;
    if (!sent_append(h, c, c.snd_nxt, end, c.snd_cursor, c.snd_cursor_offset, sent_flag::push)) {
        return; // it follows the handshake
    }
    segment.data = c.snd_cursor;
    segment.data_offset = c.snd_cursor_offset;
    segment.payload = bytes;
    advance_cursor(c, bytes);
    c.snd_nxt = end;
    h.stats.sndpack.add(1);
    h.stats.sndbyte.add(bytes);
}

void fast_open_answered(host& h, conn& c, const segment_in& segment) {
    const fast_open_step step = c.fast_open;
    if (step != fast_open_step::asked && step != fast_open_step::sent &&
        step != fast_open_step::unheard) {
        return;
    }
    const wire::tcp_options& options = segment.options;
    const bool syn = segment.has(wire::tcp_flag::syn);
    const bool fresh = syn && options.fast_open != nullptr && options.fast_open_bytes != 0;
    if (fresh) { // RFC 7413 4.1.3
        fast_open_server& server = h.fast_opens.enter(c.key.remote, h.now_ms());
        std::copy_n(options.fast_open, options.fast_open_bytes, server.cookie.begin());
        server.cookie_bytes = options.fast_open_bytes;
        h.stats.fo_cookies_got.add(1);
    }
    fast_open_server* server = h.fast_opens.find(c.key.remote);
    if (syn && server != nullptr && options.has_mss) {
        server->mss = options.mss;
    }
    c.fast_open = fast_open_step::none;
    if (c.by_seq.head == no_id) { // there was no data, or it has arrived
        const bool data = c.snd_una > c.iss + 1;
        if (data) {
            h.stats.fo_syns_taken.add(1);
            c.fast_open = fast_open_step::acked;
        }
        if (server != nullptr && step == fast_open_step::sent) {
            server->failures = 0;
        }
        return;
    }
    // Nothing else can be out: it is lost, and no sign of congestion.
    h.stats.fo_refused.add(1);
    const bool none_taken = c.snd_una == c.iss + 1;
    if (!fresh && none_taken && step == fast_open_step::sent) { // RFC 7413 4.1.3.1
        note_failure(h, c);
    }
    for (std::uint32_t id = c.by_seq.head; id != no_id; id = h.sents[id].seq_next) {
        if (!h.sents[id].has(sent_flag::sacked)) { // after a simultaneous open
            sent_mark_lost(h, c, id);
        }
    }
    recovery_without_congestion(h, c);
    h.want_output(c);
}

void fast_open_unanswered(host& h, conn& c) {
    if (c.fast_open == fast_open_step::asked || c.fast_open == fast_open_step::sent) {
        c.fast_open = fast_open_step::unheard;
        h.stats.fo_unanswered.add(1);
        note_failure(h, c);
    }
}

} // namespace pantala::tcp
