#include "app/host/tcp_load.hpp"

#include "app/host/http_reader.hpp"

#include <algorithm>
#include <array>

#include <rte_cycles.h>

namespace pantala::app {

namespace {

constexpr unsigned opens_a_round = 32;
// The first connection goes alone, and the clock starts when something is heard of it: until the
// neighbour is known, a burst of SYNs would mostly be dropped and come again a second later.
constexpr std::uint64_t patience_ns = 10 * ns_per_s;
constexpr std::uint64_t retry_ns = 100 * ns_per_us; // after a connection could not be begun

} // namespace

struct tcp_load::conn : tcp_socket {
    explicit conn(tcp_load& load) : tcp_socket(on_event), of(load) {}

    unsigned waiting() const { return asked - answers; }

    tcp_load& of;
    std::uint64_t opened_tsc = 0;
    std::uint64_t asked_total = 0;
    unsigned asked = 0; // modulo 2^32, as `answers`
    unsigned answers = 0;
    std::uint64_t echo_bytes = 0; // of the message under way
    bool over = false;
    std::array<std::uint64_t, load_pipeline_max> asked_tsc{};
    http_reader reader;
};

tcp_load::tcp_load(load_settings settings, sockets& here)
    : here_(here), settings_(std::move(settings)), scale_(rte_get_tsc_hz()),
      known_(std::make_unique<http_head_memory>()) {
    here.each_round(each_round, this);
}

tcp_load::~tcp_load() {
    here_.forget(this);
}

void tcp_load::each_round(void* self, sockets& here) {
    static_cast<tcp_load*>(self)->step(here);
}

void tcp_load::step(sockets& here) {
    for (conn* one : ended_) {
        conns_.give(*one);
    }
    ended_.clear();
    const std::uint64_t now = here.now_ns();
    began_ns_ = began_ns_ == 0 ? now : began_ns_;
    if (!heard_ && now - began_ns_ < patience_ns) {
        open_some(here, 1);
        return here.wake_at(now + retry_ns);
    }
    while (phase_ == phase::starting || (phase_ != phase::done && now >= until_ns_)) {
        phase_ = static_cast<phase>(static_cast<unsigned>(phase_) + 1);
        until_ns_ = now + (phase_ == phase::warming ? settings_.warmup_ns : settings_.duration_ns);
    }
    if (phase_ == phase::done) {
        return finished_.store(true, std::memory_order_release); // with finished()
    }
    open_some(here, settings_.connections);
    here.wake_at(open_ < settings_.connections ? now + retry_ns : until_ns_);
}

void tcp_load::open_some(sockets& here, unsigned wanted) {
    for (unsigned i = 0; i < opens_a_round && open_ < wanted; ++i) {
        conn& fresh = conns_.take(*this);
        fresh.asked_total = 0;
        fresh.asked = fresh.answers = 0;
        fresh.echo_bytes = 0;
        fresh.over = false;
        fresh.reader.reset();
        fresh.opened_tsc = rte_rdtsc();
        if (here.connect(fresh, settings_.target) != 0) {
            counts_.failed.add(measuring() ? 1 : 0);
            conns_.give(fresh);
            return;
        }
        fresh.set_no_delay(true);
        ++open_;
    }
}

void tcp_load::on_event(tcp_socket& socket, std::uint8_t events) {
    auto& self = static_cast<conn&>(socket);
    tcp_load& load = self.of;
    load.heard_ = true;
    if ((events & socket_event::connected) != 0) {
        if (load.measuring()) {
            load.counts_.opened.add(1);
            load.counts_.connect_ns.record(load.scale_.to_ns(rte_rdtsc() - self.opened_tsc));
        }
        load.ask(self);
    }
    if (load.settings_.kind == load_kind::http) {
        load.read_http(self);
    } else {
        load.read_echo(self);
    }
    if (self.is_open() && (self.at_end() || (events & socket_event::closed) != 0)) {
        load.end(self, self.over && self.waiting() == 0 && self.error() == 0);
    }
}

// As many requests as may be under way.
void tcp_load::ask(conn& self) {
    const std::uint64_t most = settings_.requests_a_conn;
    while (self.waiting() < settings_.pipeline && !self.over && phase_ != phase::done) {
        const bool last = most != 0 && self.asked_total + 1 == most;
        const std::string& text = last ? settings_.last_request : settings_.request;
        if (self.room() < text.size()) {
            return; // never with a sensible pipeline: the answers free the room
        }
        self.asked_tsc[self.asked % load_pipeline_max] = rte_rdtsc();
        self.write(std::as_bytes(std::span(text)));
        ++self.asked;
        ++self.asked_total;
        self.over = last;
    }
}

void tcp_load::answered(conn& self) {
    if (measuring()) {
        const std::uint64_t asked = self.asked_tsc[self.answers % load_pipeline_max];
        counts_.requests.add(1);
        counts_.latency_ns.record(scale_.to_ns(rte_rdtsc() - asked));
    }
    ++self.answers;
    if (self.over && self.waiting() == 0 && settings_.kind == load_kind::echo) {
        end(self, true);
    } else {
        ask(self);
    }
}

void tcp_load::read_http(conn& self) {
    for (auto piece = self.peek(); !piece.empty(); piece = self.peek()) {
        std::size_t used = 0;
        const auto said = self.reader.read(piece, used, *known_);
        self.consume(used);
        counts_.bytes.add(measuring() ? used : 0);
        if (said == http_reader::outcome::answer && self.waiting() > 0) {
            counts_.bad.add(measuring() && self.reader.status() != 200 ? 1 : 0);
            answered(self);
        } else if (said != http_reader::outcome::more) {
            counts_.bad.add(measuring() ? 1 : 0);
            return end(self, false);
        }
    }
}

void tcp_load::read_echo(conn& self) {
    for (auto piece = self.peek(); !piece.empty(); piece = self.peek()) {
        const std::size_t used =
            std::min<std::uint64_t>(piece.size(), settings_.request.size() - self.echo_bytes);
        self.consume(used);
        counts_.bytes.add(measuring() ? used : 0);
        self.echo_bytes += used;
        if (self.echo_bytes == settings_.request.size()) {
            self.echo_bytes = 0;
            if (self.waiting() == 0) {
                counts_.bad.add(measuring() ? 1 : 0);
                return end(self, false);
            }
            answered(self);
        }
    }
}

void tcp_load::end(conn& self, bool well) {
    counts_.failed.add(measuring() && !well ? 1 : 0);
    self.close();
    --open_;
    ended_.push_back(&self); // an event of this round may still name it
}

} // namespace pantala::app
