#include "stack/socket/bsd/bsd_datagram.hpp"

#include "stack/socket/bsd/bsd_address.hpp"
#include "stack/socket/bsd/bsd_ancillary.hpp"
#include "stack/socket/bsd/bsd_connect.hpp"
#include "stack/socket/bsd/bsd_table.hpp"
#include "stack/socket/endpoints.hpp"
#include "stack/socket/net_host.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>

namespace pantala::bsd {
namespace {

constexpr unsigned sends_at_once = 256; // of a socket in a round
constexpr unsigned sends_at_close = 4'096;

} // namespace

datagram_end::datagram_end(reference owner, std::shared_ptr<door> where)
    : in(owner->chosen.receive_buffer), out(owner->chosen.send_buffer), at(std::move(where)),
      owner_(std::move(owner)), v6_only_(owner_->chosen.v6_only), socket_(*this) {}

std::optional<datagram_head> datagram_end::oldest() const {
    datagram_head head;
    if (in.size() < sizeof head) {
        return std::nullopt;
    }
    in.copy(0, std::as_writable_bytes(std::span(&head, 1)));
    return in.size() < sizeof head + head.bytes ? std::nullopt : std::optional(head);
}

// As bsd_socket::kick: either the worker sees what was written before, or it looks once more.
void datagram_end::kick() {
    if (kicked_.exchange(true, std::memory_order_acq_rel)) {
        return;
    }
    kick_.of = shared_from_this();
    kick_.run = [](door_message& message, net_host* host) {
        const auto end = std::move(static_cast<note&>(message).of);
        end->kicked_.exchange(false, std::memory_order_acq_rel);
        if (host != nullptr) {
            end->send_all();
        }
    };
    if (!at->post(kick_)) {
        kick_.of.reset();
        kicked_.store(false, std::memory_order_relaxed);
    }
}

// ---------------------------------------------------------------------------------------------
// The worker.

int datagram_end::open(net_host& host, const endpoint& local, const std::optional<endpoint>& peer) {
    host_ = &host;
    return peer ? host.native().connect(socket_, *peer, local) : host.native().bind(socket_, local);
}

void datagram_end::close() {
    if (owner_ && socket_.is_open()) {
        send_some(sends_at_close); // what was sent before leaves
    }
    socket_.close();
    owner_ = {};
}

void datagram_end::worker_ends() {
    if (owner_) {
        owner_->changed(bit::over);
    }
    close();
}

void datagram_end::socket_of::on_receive(udp_socket& socket, std::span<const datagram> came) {
    datagram_end& self = static_cast<socket_of&>(socket).of;
    for (const datagram& one : came) {
        self.take(one);
    }
    if (came.empty()) { // an ICMP error
        self.owner_->error.store(socket.take_error(), std::memory_order_release);
    }
    self.owner_->changed();
}

// What there is no room for is lost, as everywhere, and counted.
void datagram_end::take(const datagram& one) {
    const datagram_head head{
        .at = one.remote,
        .bytes = static_cast<std::uint32_t>(one.size),
        .traffic_class = one.traffic_class,
        .hop_limit = one.hop_limit,
        .from_here = host_->ip().is_ours(host_->ip().context, to_internal(one.local).address),
        .here = one.local};
    udp::counters& counts = host_->udp.stats;
    const bool wanted = !v6_only_ || !is_v4(one.remote);
    if (!wanted || in.room() < sizeof head + one.size) {
        (wanted ? counts.full : counts.no_port).add(1);
        return;
    }
    in.write(std::as_bytes(std::span(&head, 1)));
    if (one.first.size() == one.size) {
        in.write(one.first);
        return;
    }
    whole_.resize(one.size);
    one.copy(whole_);
    in.write(whole_);
}

int datagram_end::send(const datagram_head& head) {
    const bool to_peer = head.at.port == 0;
    socket_.set_marks({head.traffic_class, head.hop_limit});
    if (head.from_here) {
        return socket_.send_as(head.here, to_peer ? socket_.remote() : head.at, whole_);
    }
    return to_peer ? socket_.send(whole_) : socket_.send_to(head.at, whole_);
}

unsigned datagram_end::send_some(unsigned most) {
    datagram_head head;
    unsigned sent = 0;
    for (; sent < most && out.size() >= sizeof head; ++sent) {
        out.copy(0, std::as_writable_bytes(std::span(&head, 1)));
        if (out.size() < sizeof head + head.bytes) {
            break; // it is still being written: a kick follows
        }
        whole_.resize(head.bytes);
        out.copy(sizeof head, whole_);
        out.consume(sizeof head + head.bytes);
        const int failed = send(head);
        if (failed != 0) {
            owner_->error.store(failed, std::memory_order_release);
        }
    }
    return sent;
}

void datagram_end::send_all() {
    if (!owner_) {
        return;
    }
    const unsigned sent = send_some(sends_at_once);
    if (sent == sends_at_once) {
        kick();
    }
    if (sent != 0) {
        owner_->changed();
    }
}

// ---------------------------------------------------------------------------------------------
// Callers.

namespace {

// errno, if nothing goes on: closed, the host gone, an error that nobody heard of yet.
int state_of(bsd_socket& self, int otherwise) {
    const std::uint32_t state = self.state.load(std::memory_order_acquire);
    if ((state & bit::gone) != 0) {
        return EBADF;
    }
    if ((state & bit::over) != 0) {
        return ECONNABORTED;
    }
    const int why = self.error.exchange(0, std::memory_order_acq_rel);
    return why != 0 ? why : otherwise;
}

// Whoever sends has a port.
int be_bound(bsd_socket& self) {
    if (!self.ends.empty()) {
        return 0;
    }
    const int code = self.bound.port != 0 ? 0 : choose_port(self);
    return code != 0 ? code : open_ends(self, self.bound, std::nullopt);
}

int open_at(
    bsd_socket& self, const std::shared_ptr<door>& at, const endpoint& local,
    const std::optional<endpoint>& peer) {
    const auto end = std::make_shared<datagram_end>(self.share(), at);
    const int code = on_worker(*at, [&](net_host& host) {
        const int failed = end->open(host, local, peer);
        if (failed == 0) {
            at->guests.push_back(end);
            self.name = end->local();
        } else {
            end->close();
        }
        return failed;
    });
    if (code == 0) {
        self.ends.push_back(end);
    }
    return code;
}

} // namespace

int open_ends(bsd_socket& self, const endpoint& local, const std::optional<endpoint>& peer) {
    int code = ENETDOWN;
    for (const std::shared_ptr<door>& at : doors()) {
        code = open_at(self, at, local, peer);
        const bool found = peer && code == 0;
        if (found || (code != 0 && code != EADDRNOTAVAIL)) {
            break;
        }
    }
    if (code != 0) {
        close_ends(self);
        return code;
    }
    static std::atomic<unsigned> turn{0}; // the first one sends
    const auto first = turn.fetch_add(1, std::memory_order_relaxed) % self.ends.size();
    std::rotate(
        self.ends.begin(), self.ends.begin() + static_cast<std::ptrdiff_t>(first), self.ends.end());
    return 0;
}

void close_ends(bsd_socket& self) {
    for (const auto& end : self.ends) {
        on_worker(*end->at, [&](net_host&) { // else the worker has gone, and closed it
            end->close();
            std::erase(end->at->guests, end);
            return 0;
        });
    }
    self.ends.clear();
}

int connect_datagrams(bsd_socket& self, const std::optional<endpoint>& peer) {
    if (!peer && !self.connected_to) {
        return 0;
    }
    int code = self.bound.port != 0 ? 0 : choose_port(self);
    if (code != 0) {
        return code;
    }
    close_ends(self);
    self.error.store(0, std::memory_order_relaxed);
    code = open_ends(self, self.bound, peer);
    if (code == 0) {
        self.connected_to = peer;
    } else if (open_ends(self, self.bound, self.connected_to) != 0) { // as it was
        self.connected_to.reset();
    }
    self.changed(); // who waited for the ends of before
    return code;
}

ssize_t send_datagram(
    bsd_socket& self, std::unique_lock<std::mutex>& hold, pieces& from, int flags,
    const destination& to) {
    datagram_head head{
        .bytes = static_cast<std::uint32_t>(std::min(from.total(), datagram_bytes_max))};
    head.traffic_class = self.chosen.marks.traffic_class;
    head.hop_limit = self.chosen.marks.hop_limit;
    if (to.message != nullptr) {
        if (const int wrong = read_ancillary(*to.message, self.domain, head); wrong != 0) {
            return fail(wrong);
        }
    }
    const std::size_t needed = sizeof head + from.total();
    if (to.address != nullptr) {
        if (const int wrong = read_address(to.address, to.length, self.domain, head.at); wrong) {
            return fail(wrong);
        }
    }
    if (to.address != nullptr && head.at.port == 0) {
        return fail(EINVAL);
    }
    if (to.address != nullptr && self.chosen.v6_only && is_v4(head.at)) {
        return fail(ENETUNREACH);
    }
    const deadline until = deadline::in(self.chosen.send_timeout_ms);
    const bool may_sleep = !self.non_blocking && (flags & MSG_DONTWAIT) == 0;
    for (;;) {
        const std::uint32_t seen = self.changes.load(std::memory_order_acquire);
        if (const int wrong = state_of(self, self.write_shut ? EPIPE : 0); wrong != 0) {
            return fail(wrong);
        }
        // Asked again after each wait: another thread may have connected the socket meanwhile.
        if (to.address == nullptr && !self.connected_to) {
            return fail(EDESTADDRREQ);
        }
        if (const int wrong = be_bound(self); wrong != 0) {
            return fail(wrong);
        }
        datagram_end& end = *self.ends.front();
        if (from.total() > datagram_bytes_max || needed > end.out.capacity()) {
            return fail(EMSGSIZE);
        }
        if (end.out.room() >= needed) {
            end.out.write(std::as_bytes(std::span(&head, 1)));
            for (; !from.complete(); from.advance(from.next().size())) {
                end.out.write(from.next());
            }
            end.kick();
            return static_cast<ssize_t>(from.total());
        }
        if (const int stop = may_sleep ? wait_change(self, hold, seen, until) : EAGAIN; stop != 0) {
            return fail(stop);
        }
    }
}

namespace {

// The oldest of one worker's, if there is any: as much as there is room for. True: done.
bool take_oldest(
    datagram_end& end, pieces& to, bool peek, datagram_facts& facts, std::size_t& bytes) {
    const auto head = end.oldest();
    if (!head) {
        return false;
    }
    std::size_t done = 0;
    while (!to.complete() && done < head->bytes) {
        const auto room = to.next();
        const auto here = room.first(std::min(room.size(), head->bytes - done));
        end.in.copy(sizeof *head + done, here);
        to.advance(here.size());
        done += here.size();
    }
    facts.cut = done < head->bytes;
    facts.head = *head;
    bytes = head->bytes;
    if (!peek) {
        end.in.consume(sizeof *head + head->bytes);
    }
    return true;
}

} // namespace

ssize_t receive_datagram(
    bsd_socket& self, std::unique_lock<std::mutex>& hold, pieces& to, int flags,
    datagram_facts& facts) {
    const deadline until = deadline::in(self.chosen.receive_timeout_ms);
    const bool may_sleep = !self.non_blocking && (flags & MSG_DONTWAIT) == 0;
    const bool peek = (flags & MSG_PEEK) != 0;
    for (;;) {
        const std::uint32_t seen = self.changes.load(std::memory_order_acquire);
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < self.ends.size(); ++i) { // the workers take turns
            datagram_end& end = *self.ends[(self.turn + i) % self.ends.size()];
            if (take_oldest(end, to, peek, facts, bytes)) {
                facts.domain = self.domain;
                facts.wishes = self.chosen.wishes;
                self.turn += peek ? i : i + 1;
                return static_cast<ssize_t>((flags & MSG_TRUNC) != 0 ? bytes : to.done());
            }
        }
        if (const int wrong = state_of(self, 0); wrong != 0) {
            return fail(wrong);
        }
        if (self.read_shut) {
            return 0;
        }
        if (const int stop = may_sleep ? wait_change(self, hold, seen, until) : EAGAIN; stop != 0) {
            return fail(stop);
        }
    }
}

std::size_t next_datagram_bytes(const bsd_socket& self) {
    for (const auto& end : self.ends) {
        if (const auto head = end->oldest()) {
            return head->bytes;
        }
    }
    return 0;
}

std::uint32_t datagram_readiness(bsd_socket& self) {
    const bool over = (self.state.load(std::memory_order_acquire) & bit::over) != 0;
    const bool came =
        std::ranges::any_of(self.ends, [](const auto& end) { return end->oldest().has_value(); });
    std::uint32_t ready = 0;
    if (came || over || self.read_shut) {
        ready |= EPOLLIN;
    }
    const bool room = self.ends.empty() || self.ends.front()->out.room() >=
                                               room_wanted(self.chosen, self.ends.front()->out);
    if (room || over) {
        ready |= EPOLLOUT;
    }
    ready |= self.read_shut ? std::uint32_t{EPOLLRDHUP} : 0;
    ready |= over || (self.read_shut && self.write_shut) ? std::uint32_t{EPOLLHUP} : 0;
    ready |= self.error.load(std::memory_order_acquire) != 0 ? std::uint32_t{EPOLLERR} : 0;
    return ready;
}

} // namespace pantala::bsd
