// Bytes in and out.
#include "stack/socket/bsd/bsd_address.hpp"
#include "stack/socket/bsd/bsd_ancillary.hpp"
#include "stack/socket/bsd/bsd_connect.hpp"
#include "stack/socket/bsd/bsd_datagram.hpp"
#include "stack/socket/bsd/bsd_pieces.hpp"
#include "stack/socket/bsd/bsd_table.hpp"

#include <pantala/bsd.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <optional>
#include <span>
#include <vector>

namespace pantala::bsd {
namespace {

// With those that ask for nothing here: records end by themselves, neighbours confirm themselves,
// nothing is sent without a copy, no descriptor ever comes.
constexpr int flags_known = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL | MSG_MORE |
                            MSG_FASTOPEN | MSG_TRUNC | MSG_EOR | MSG_CONFIRM | MSG_ZEROCOPY |
                            MSG_CMSG_CLOEXEC;
constexpr std::size_t syn_bytes_max = 16 * 1024; // more than a segment carries

int take_error(bsd_socket& self, int otherwise) {
    const int why = self.error.exchange(0, std::memory_order_acq_rel);
    return why != 0 ? why : otherwise;
}

// errno if nothing can be sent now or ever, EINPROGRESS: not yet, 0: go on.
int may_send(bsd_socket& self) {
    const std::uint32_t state = self.state.load(std::memory_order_acquire);
    if ((state & bit::gone) != 0) {
        return EBADF;
    }
    if (self.what != bsd_socket::kind::conn) {
        return ENOTCONN;
    }
    if ((state & bit::over) != 0 || self.write_shut) {
        return take_error(self, EPIPE);
    }
    return (state & bit::connected) != 0 ? 0 : EINPROGRESS;
}

// Fast Open: a fresh socket connects and sends the begin of `left` with its SYN. 0: what follows is
// a socket that connects, or is done; else errno (EINPROGRESS: it connects, and nothing was sent).
int open_with(bsd_socket& self, pieces& left, const destination& to, bool may_sleep) {
    endpoint where;
    if (self.deferred) {
        where = *self.deferred;
    } else if (to.address == nullptr) {
        return EINVAL; // there is nobody to connect to
    } else if (const int wrong = read_address(to.address, to.length, self.domain, where); wrong) {
        return wrong;
    }
    const std::vector<std::byte> begin = left.copy(syn_bytes_max);
    connect_options how{.fast_open = true, .first = begin};
    const int code = start_connecting(self, where, how);
    if (code != 0) {
        return code;
    }
    left.skip(how.taken);
    return how.taken == 0 && !may_sleep ? EINPROGRESS : 0;
}

// More will follow what is written now.
void begin_more(bsd_socket& self) {
    if (self.more_from.load(std::memory_order_relaxed) == UINT64_MAX) {
        self.more_from.store(self.out->written(), std::memory_order_relaxed);
    }
}

// Nothing follows what was written. True: so what was held back may leave.
bool end_more(bsd_socket& self) {
    if (self.more_from.load(std::memory_order_relaxed) == UINT64_MAX) {
        return false;
    }
    self.more_from.store(UINT64_MAX, std::memory_order_release); // with give_output
    return true;
}

ssize_t send_pieces(int number, std::span<const iovec> from, int flags, destination to = {}) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if ((flags & ~flags_known) != 0) {
        return fail(EOPNOTSUPP);
    }
    if (const int wrong = pieces::check(from); wrong != 0) {
        return fail(wrong);
    }
    pieces left(from);
    left.skip_empty();
    std::unique_lock hold(self->lock);
    if (self->what == bsd_socket::kind::datagram) {
        if ((flags & MSG_MORE) != 0) { // a datagram is what one call gives
            return fail(EOPNOTSUPP);
        }
        return send_datagram(*self, hold, left, flags, to);
    }
    const bool may_sleep = !self->non_blocking && (flags & MSG_DONTWAIT) == 0;
    const deadline until = deadline::in(self->chosen.send_timeout_ms);
    bool opening =
        self->what == bsd_socket::kind::fresh && (self->deferred || (flags & MSG_FASTOPEN) != 0);
    if (opening) {
        if (const int code = open_with(*self, left, to, may_sleep); code != 0) {
            return fail(code);
        }
        opening = left.done() == 0; // else it is as if it were connected
    }
    const bool more = (flags & MSG_MORE) != 0;
    for (;;) {
        const std::uint32_t seen = self->changes.load(std::memory_order_acquire);
        const int state = may_send(*self);
        opening = opening && state == EINPROGRESS;
        if (state != 0 && state != EINPROGRESS) {
            return left.done() != 0 ? static_cast<ssize_t>(left.done()) : fail(state);
        }
        const std::size_t before = left.done();
        if (state == 0 && more) {
            begin_more(*self);
        }
        while (state == 0 && !left.complete()) {
            const auto piece = left.next();
            const std::size_t room = self->room_to_send();
            const std::size_t taken = self->out->write(piece.first(std::min(piece.size(), room)));
            if (taken == 0) {
                break;
            }
            left.advance(taken);
        }
        const bool complete = left.complete() && !opening;
        const bool released = complete && !more && end_more(*self);
        if (released || left.done() != before) {
            self->kick();
        }
        if (complete) {
            return static_cast<ssize_t>(left.done());
        }
        if (const int stop = may_sleep ? wait_change(*self, hold, seen, until) : EAGAIN;
            stop != 0) {
            if (!more && end_more(*self)) {
                self->kick();
            }
            return left.done() != 0 ? static_cast<ssize_t>(left.done()) : fail(stop);
        }
    }
}

// From the ring into the pieces; not `keep`: then from the ring on. Not `copy`: they are thrown
// away instead.
void take_out(byte_ring& from, pieces& to, bool copy, bool keep) {
    std::size_t left = std::min(from.size(), to.total() - to.done());
    for (std::size_t at = 0; left != 0;) {
        const std::size_t here = copy ? std::min(left, to.next().size()) : left;
        if (copy) {
            from.copy(at, to.next().first(here));
            to.advance(here);
        } else {
            to.skip(here);
        }
        left -= here;
        if (keep) {
            at += here;
        } else {
            from.consume(here);
        }
    }
}

// How a stream is read.
struct reading {
    bool peek = false;
    bool whole = false; // MSG_WAITALL
    bool copy = true;   // tcp(7): MSG_TRUNC throws away
};

// Nothing: more must come first. Else what the call returns.
std::optional<ssize_t> read_stream(bsd_socket& self, pieces& room, const reading& how) {
    const std::uint32_t state = self.state.load(std::memory_order_acquire);
    if ((state & bit::gone) != 0 || self.what != bsd_socket::kind::conn) {
        return fail((state & bit::gone) != 0 ? EBADF : ENOTCONN);
    }
    byte_ring& in = *self.in;
    const bool ended = (state & (bit::input_over | bit::over)) != 0 || self.read_shut;
    if (how.peek) {
        const std::size_t there = in.size();
        const bool more = there < std::min(room.total(), in.capacity()) && !ended;
        if (!(how.whole && more) && there != 0) {
            take_out(in, room, how.copy, true);
        }
    } else if (in.size() != 0 && !room.complete()) {
        take_out(in, room, how.copy, false);
        self.taken_from_ring();
    }
    const auto got = static_cast<ssize_t>(room.done());
    if (room.complete() || (got != 0 && (how.peek || !how.whole))) {
        return got;
    }
    if (ended && in.size() == 0) {
        const int why = got == 0 ? take_error(self, 0) : 0;
        return why != 0 ? fail(why) : got;
    }
    return std::nullopt;
}

// What recv may be asked for; 0 or errno.
int check_receive(bsd_socket& self, std::span<const iovec> to, int flags) {
    if ((flags & MSG_OOB) != 0) {
        return EINVAL; // urgent data comes inline: none waits
    }
    if ((flags & MSG_ERRQUEUE) != 0) {
        return EAGAIN; // errors do not queue
    }
    if ((flags & ~flags_known) != 0) {
        return EOPNOTSUPP;
    }
    const bool thrown_away = (flags & MSG_TRUNC) != 0 && self.what != bsd_socket::kind::datagram;
    return thrown_away ? pieces::check_sizes(to) : pieces::check(to);
}

// `facts` of a datagram, else as they are.
ssize_t
receive_pieces(int number, std::span<const iovec> to, int flags, datagram_facts* facts = nullptr) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    std::unique_lock hold(self->lock);
    if (const int wrong = check_receive(*self, to, flags); wrong != 0) {
        return fail(wrong);
    }
    pieces room(to);
    room.skip_empty();
    if (self->what == bsd_socket::kind::datagram) {
        datagram_facts unheeded;
        return receive_datagram(*self, hold, room, flags, facts != nullptr ? *facts : unheeded);
    }
    reading how{
        .peek = (flags & MSG_PEEK) != 0,
        .whole = (flags & MSG_WAITALL) != 0,
        .copy = (flags & MSG_TRUNC) == 0};
    const bool may_sleep = !self->non_blocking && (flags & MSG_DONTWAIT) == 0;
    const deadline until = deadline::in(self->chosen.receive_timeout_ms);
    for (int stop = 0;;) {
        const std::uint32_t seen = self->changes.load(std::memory_order_acquire);
        if (const auto got = read_stream(*self, room, how)) {
            return *got;
        }
        if (stop != 0) {
            return fail(stop);
        }
        stop = may_sleep ? wait_change(*self, hold, seen, until) : EAGAIN;
        how.whole = how.whole && stop == 0; // else what there is
    }
}

// Whence it came; nothing of a stream, whose peer is known.
void write_sender(const datagram_facts& facts, sockaddr* to, socklen_t& length) {
    if (facts.domain == 0 || to == nullptr) {
        length = 0;
        return;
    }
    write_address(facts.head.at, facts.domain, to, &length);
}

// 0 or errno.
int check_message(const msghdr* message) {
    if (message == nullptr || (message->msg_iov == nullptr && message->msg_iovlen != 0)) {
        return EFAULT;
    }
    return message->msg_iovlen > IOV_MAX ? EMSGSIZE : 0;
}

} // namespace

ssize_t send(int number, const void* bytes, std::size_t count, int flags) {
    const iovec one{const_cast<void*>(bytes), count}; // only read
    return send_pieces(number, {&one, 1}, flags);
}

ssize_t sendto(
    int number, const void* bytes, std::size_t count, int flags, const sockaddr* to,
    socklen_t length) {
    const iovec one{const_cast<void*>(bytes), count}; // only read
    return send_pieces(number, {&one, 1}, flags, {.address = to, .length = length});
}

ssize_t recv(int number, void* bytes, std::size_t count, int flags) {
    const iovec one{bytes, count};
    return receive_pieces(number, {&one, 1}, flags);
}

ssize_t sendmsg(int number, const msghdr* message, int flags) {
    if (const int wrong = check_message(message); wrong != 0) {
        return fail(wrong);
    }
    return send_pieces(
        number, {message->msg_iov, message->msg_iovlen}, flags,
        {static_cast<const sockaddr*>(message->msg_name), message->msg_namelen, message});
}

ssize_t
recvfrom(int number, void* bytes, std::size_t count, int flags, sockaddr* from, socklen_t* length) {
    if (from != nullptr && length == nullptr) {
        return fail(EFAULT);
    }
    const iovec one{bytes, count};
    datagram_facts facts;
    const ssize_t got = receive_pieces(number, {&one, 1}, flags, &facts);
    if (got >= 0 && from != nullptr) {
        write_sender(facts, from, *length);
    }
    return got;
}

ssize_t recvmsg(int number, msghdr* message, int flags) {
    if (const int wrong = check_message(message); wrong != 0) {
        return fail(wrong);
    }
    datagram_facts facts;
    const ssize_t got =
        receive_pieces(number, {message->msg_iov, message->msg_iovlen}, flags, &facts);
    if (got >= 0) {
        message->msg_flags = facts.cut ? MSG_TRUNC : 0;
        write_ancillary(facts, *message);
        write_sender(facts, static_cast<sockaddr*>(message->msg_name), message->msg_namelen);
    }
    return got;
}

int sendmmsg(int number, mmsghdr* messages, unsigned count, int flags) {
    if (messages == nullptr && count != 0) {
        return fail(EFAULT);
    }
    int done = 0;
    for (mmsghdr& one : std::span(messages, std::min(count, unsigned{IOV_MAX}))) {
        const ssize_t sent = bsd::sendmsg(number, &one.msg_hdr, flags);
        if (sent < 0) {
            break;
        }
        one.msg_len = static_cast<unsigned>(sent);
        ++done;
    }
    return done != 0 || count == 0 ? done : -1;
}

namespace {

bool has_error(int number) {
    const reference self = find_socket(number);
    return !self || self->error.load(std::memory_order_acquire) != 0;
}

} // namespace

int recvmmsg(int number, mmsghdr* messages, unsigned count, int flags) {
    if (messages == nullptr && count != 0) {
        return fail(EFAULT);
    }
    int done = 0;
    for (mmsghdr& one : std::span(messages, std::min(count, unsigned{IOV_MAX}))) {
        if (done != 0 && has_error(number)) { // for the next call
            break;
        }
        const int now = done == 0 ? 0 : flags & MSG_WAITFORONE;
        const ssize_t got = bsd::recvmsg(
            number, &one.msg_hdr, (flags & ~MSG_WAITFORONE) | (now != 0 ? MSG_DONTWAIT : 0));
        if (got < 0) {
            break;
        }
        one.msg_len = static_cast<unsigned>(got);
        ++done;
    }
    return done != 0 || count == 0 ? done : -1;
}

ssize_t write(int number, const void* bytes, std::size_t count) {
    return bsd::send(number, bytes, count, 0);
}

ssize_t read(int number, void* bytes, std::size_t count) {
    return bsd::recv(number, bytes, count, 0);
}

ssize_t writev(int number, const iovec* pieces, int count) {
    if (count < 0 || count > IOV_MAX) {
        return fail(EINVAL);
    }
    return pieces == nullptr && count != 0
               ? fail(EFAULT)
               : send_pieces(number, {pieces, static_cast<std::size_t>(count)}, 0);
}

ssize_t readv(int number, const iovec* pieces, int count) {
    if (count < 0 || count > IOV_MAX) {
        return fail(EINVAL);
    }
    return pieces == nullptr && count != 0
               ? fail(EFAULT)
               : receive_pieces(number, {pieces, static_cast<std::size_t>(count)}, 0);
}

} // namespace pantala::bsd
