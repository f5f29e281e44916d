#include "stack/socket/bsd/bsd_socket.hpp"

#include "stack/socket/net_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pantala::bsd {

constinit std::atomic<std::uint32_t> any_change{0};
constinit std::atomic<std::uint32_t> any_sleepers{0};

namespace {

// A closed socket whose bytes are not all TCP's yet is no orphan to it. A peer that takes none of
// them so long has no use for them: as long as TCP waits for one that is silent.
constexpr std::uint32_t closed_patience_ms = 600'000;

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void wake(std::atomic<std::uint32_t>& word, std::atomic<std::uint32_t>& sleepers) {
    word.fetch_add(1, std::memory_order_seq_cst); // then the sleepers: with sleep_while
    if (sleepers.load(std::memory_order_seq_cst) != 0) {
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
    }
}

} // namespace

void wake_all() {
    wake(any_change, any_sleepers);
}

bool sleep_while(
    std::atomic<std::uint32_t>& word, std::atomic<std::uint32_t>& sleepers, std::uint32_t seen,
    const deadline& until) {
    const std::int64_t left = until.left_ms();
    timespec limit{};
    limit.tv_sec = static_cast<time_t>(left / 1'000);
    limit.tv_nsec = static_cast<long>(left % 1'000 * 1'000'000);
    sleepers.fetch_add(1, std::memory_order_seq_cst); // then the word: with wake
    const long failed = syscall(
        SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, left < 0 ? nullptr : &limit, nullptr, 0);
    const bool interrupted = failed != 0 && errno == EINTR;
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return !interrupted;
}

int wait_change(
    bsd_socket& socket, std::unique_lock<std::mutex>& hold, std::uint32_t seen,
    const deadline& until) {
    if (until.left_ms() == 0) {
        return EAGAIN;
    }
    hold.unlock();
    const bool slept = sleep_while(socket.changes, socket.sleepers, seen, until);
    hold.lock();
    return slept ? 0 : EINTR;
}

reference::reference(const reference& other) : of_(other.of_) {
    if (of_ != nullptr) {
        of_->references_.fetch_add(1, std::memory_order_relaxed);
    }
}

reference::~reference() {
    if (of_ != nullptr && of_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        delete of_;
    }
}

bsd_socket::~bsd_socket() { // the connection is closed: an open one holds a reference
    take_arrived();
}

// ---------------------------------------------------------------------------------------------
// Callers.

// Either the worker sees what was written before, or it runs the message once more: both sides
// exchange `kicked_`.
void bsd_socket::kick() {
    if (worker == nullptr || kicked_.exchange(true, std::memory_order_acq_rel)) {
        return;
    }
    references_.fetch_add(1, std::memory_order_relaxed); // the message's
    kick_.of = this;
    kick_.run = [](door_message& message, net_host* host) {
        const reference self(static_cast<note&>(message).of);
        self->kicked_.exchange(false, std::memory_order_acq_rel);
        if (host != nullptr) {
            self->pump();
        }
    };
    if (!worker->post(kick_)) { // nobody will look any more: the host's end says so
        references_.fetch_sub(1, std::memory_order_relaxed);
        kicked_.store(false, std::memory_order_relaxed);
    }
}

std::size_t bsd_socket::room_to_send() const {
    const std::size_t room = out->room();
    const std::size_t used = out->capacity() - room;
    return used < chosen.send_buffer ? std::min(room, chosen.send_buffer - used) : 0;
}

void bsd_socket::taken_from_ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst); // with take_input: it sees room, or we its
    if (in_full.load(std::memory_order_relaxed) &&       // flag
        in_full.exchange(false, std::memory_order_relaxed)) {
        kick();
    }
}

void bsd_socket::make_rings() {
    in = std::make_unique<byte_ring>(chosen.receive_buffer);
    out = std::make_unique<byte_ring>(chosen.send_buffer);
}

void bsd_socket::publish_rings() {
    worker_out_.store(out.get(), std::memory_order_release);
    worker_in_.store(in.get(), std::memory_order_release); // with pump
}

void bsd_socket::adopt() {
    make_rings();
    publish_rings();
    kick();
}

void bsd_socket::give_up() {
    wants_close.store(true, std::memory_order_release);
    changed(bit::gone);
    kick();
}

// ---------------------------------------------------------------------------------------------
// The worker.

void bsd_socket::changed(std::uint32_t bits) {
    state.fetch_or(bits, std::memory_order_release);
    wake(changes, sleepers);
    wake_all();
}

void bsd_socket::let_go() {
    conn_.close();
    if (std::exchange(held_by_worker_, false)) {
        const reference last(this);
    }
}

void bsd_socket::apply_options(net_host& host) {
    conn_.set_no_delay(chosen.no_delay);
    conn_.set_cork(chosen.cork);
    conn_.set_keep_alive(chosen.keep_alive);
    conn_.set_keep_times(
        static_cast<std::uint16_t>(chosen.keep_idle_s),
        static_cast<std::uint16_t>(chosen.keep_interval_s),
        static_cast<std::uint8_t>(chosen.keep_count));
    conn_.set_user_timeout(chosen.user_timeout_ms);
    has_user_timeout_ = chosen.user_timeout_ms != 0;
    if (!conn_.is_open()) {
        return;
    }
    const tcp::conn_handle handle = net_host::handle_of(conn_);
    if (chosen.congestion) { // else it keeps what it began with, whatever the host's is now
        tcp::set_congestion(host.tcp, handle, *chosen.congestion);
    }
    if (!chosen.pacing_chosen) {
        return;
    }
    const bool limited = chosen.max_pacing_rate != pacing_unlimited;
    tcp::set_pacing(
        host.tcp, handle, limited || host.tcp.config.pacing,
        limited ? std::max<std::uint64_t>(chosen.max_pacing_rate, 1) : 0);
}

// From the connection to the callers. True: something moved.
bool bsd_socket::take_input(byte_ring& to) {
    bool moved = false;
    for (auto piece = conn_.peek(); !piece.empty(); piece = conn_.peek()) {
        const std::size_t taken = to.write(piece);
        if (taken == 0) {
            in_full.store(true, std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_seq_cst); // with taken_from_ring
            if (to.room() == 0) {
                break;
            }
            continue;
        }
        conn_.consume(taken);
        moved = true;
    }
    return moved;
}

bool bsd_socket::give_output(byte_ring& from) {
    bool moved = false;
    for (;;) {
        // Before the look: what it lets go was all written before, and is then seen.
        const std::uint64_t released = more_from.load(std::memory_order_acquire); // with end_more
        auto piece = from.peek();
        const std::uint64_t at = from.consumed();
        if (piece.empty()) {
            release_held(released >= at);
            return moved;
        }
        const std::uint64_t plain = more_from.load(std::memory_order_relaxed); // published by write
        const bool more = at >= plain;
        release_held(at == plain); // what lies before it was let go meanwhile
        piece =
            piece.first(more ? piece.size() : std::min<std::uint64_t>(piece.size(), plain - at));
        const std::size_t sent = conn_.write(piece, more);
        held_ = more;
        from.consume(sent);
        moved = moved || sent != 0;
        if (sent < piece.size()) {
            return moved;
        }
    }
}

void bsd_socket::release_held(bool now) {
    if (held_ && now) {
        conn_.write({});
        held_ = false;
    }
}

// Runs under a reference of the caller's, or the worker's own.
void bsd_socket::pump() {
    if (!held_by_worker_) {
        return;
    }
    byte_ring* to = worker_in_.load(std::memory_order_acquire); // with adopt
    byte_ring* from = worker_out_.load(std::memory_order_acquire);
    const bool closing = wants_close.load(std::memory_order_acquire);
    if (closing) {
        // What nobody will read makes the close a reset (RFC 2525 2.17).
        const bool unread = (to != nullptr && to->size() != 0) || conn_.readable() != 0;
        if (to == nullptr || unread || wants_abort.load(std::memory_order_relaxed)) {
            conn_.abort();
            let_go();
            return;
        }
    }
    if (to == nullptr) { // not accepted yet: TCP keeps it
        if (ended_) {
            changed(bit::over | bit::input_over);
        }
        return;
    }
    bool moved = !closing && take_input(*to);
    moved = give_output(*from) || moved;
    const bool all_sent = from->size() == 0;
    if (!shut_ && all_sent && wants_shutdown.load(std::memory_order_acquire)) {
        shut_ = true;
        conn_.shutdown_write();
    }
    if (closing && !all_sent && !has_user_timeout_ && !std::exchange(patient_, true)) {
        // TCP counts from the last byte that the peer took, which may be long ago.
        const std::uint64_t stalled_ms = (conn_.worker().now_ns() - conn_.taken_ns()) / ns_per_ms;
        conn_.set_user_timeout(static_cast<std::uint32_t>(
            std::min<std::uint64_t>(stalled_ms + closed_patience_ms, UINT32_MAX)));
    }
    std::uint32_t bits = conn_.at_end() ? bit::input_over : 0;
    const bool over = ended_ && (conn_.readable() == 0 || closing);
    bits |= over ? bit::over | bit::input_over : 0;
    if (moved || (bits & ~state.load(std::memory_order_relaxed)) != 0) {
        changed(bits);
    }
    if (over || (closing && all_sent)) {
        let_go();
    }
}

void bsd_socket::conn_of::on_event(tcp_socket& socket, std::uint8_t events) {
    bsd_socket& self = static_cast<conn_of&>(socket).of;
    const reference alive = self.share();
    if ((events & socket_event::connected) != 0) {
        self.changed(bit::connected);
    }
    if ((events & socket_event::closed) != 0) {
        self.ended_ = true;
        self.error.store(socket.error(), std::memory_order_release);
    }
    self.pump();
    if (self.ended_ && socket.error() == ECONNABORTED && self.held_by_worker_) { // the host's end
        self.changed(bit::over | bit::input_over);
        self.let_go();
    }
}

int bsd_socket::connect(net_host& host, const endpoint& to, connect_options& how) {
    if (held_by_worker_) { // an attempt that ended before its rings came
        let_go();
    }
    // Here and not with the caller: what the last attempt's kick still has to say was said before.
    state.fetch_and(bit::gone, std::memory_order_relaxed);
    worker_in_.store(nullptr, std::memory_order_relaxed); // of an attempt before; adopt follows
    worker_out_.store(nullptr, std::memory_order_relaxed);
    how.local = bound;
    how.segment_size = static_cast<std::uint16_t>(chosen.segment_size);
    const int code = host.native().connect(conn_, to, how);
    if (code == 0) {
        apply_options(host);
        more_from.store(UINT64_MAX, std::memory_order_relaxed);
        held_ = false;
        ended_ = false;
        shut_ = false;
        held_by_worker_ = true;
        references_.fetch_add(1, std::memory_order_relaxed);
    }
    return code;
}

tcp_socket* bsd_socket::accept(void* context, sockets&) {
    auto& at = *static_cast<listener_at*>(context);
    bsd_socket& listener = *at.listener;
    const unsigned most = listener.backlog.load(std::memory_order_relaxed);
    if (listener.waiting.load(std::memory_order_relaxed) >= most) {
        return nullptr; // a reset: whoever floods a listener costs no memory
    }
    listener.waiting.fetch_add(1, std::memory_order_relaxed);
    auto* fresh = new bsd_socket; // its count is the worker's
    fresh->held_by_worker_ = true;
    fresh->worker = at.worker;
    fresh->what = kind::conn;
    fresh->state.store(bit::connected, std::memory_order_relaxed);
    fresh->references_.fetch_add(1, std::memory_order_relaxed); // the list's
    bsd_socket* first = listener.arrived.load(std::memory_order_relaxed);
    do {
        fresh->next_arrived = first;
    } while (!listener.arrived.compare_exchange_weak(
        first, fresh, std::memory_order_release, std::memory_order_relaxed)); // with take_arrived
    listener.changed(bit::accepting);
    return &fresh->conn_;
}

void bsd_socket::take_arrived() {
    state.fetch_and(~bit::accepting, std::memory_order_relaxed);
    bsd_socket* newest = arrived.exchange(nullptr, std::memory_order_acquire); // with accept
    const auto at = static_cast<std::ptrdiff_t>(accepted.size());
    while (newest != nullptr) {
        bsd_socket* before = newest->next_arrived;
        accepted.insert(accepted.begin() + at, reference(newest));
        newest = before;
    }
}

} // namespace pantala::bsd
