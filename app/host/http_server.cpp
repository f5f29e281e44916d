#include "app/host/http_server.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// Answers up to this size are put together and written at once.
constexpr std::size_t small_answer_bytes = 2048;

// Bodies of which as much as this is left are not copied: TCP sends them from where they lie.
constexpr std::size_t lent_bytes_min = 8192;

} // namespace

struct http_server::conn : tcp_socket, list_hook<> {
    explicit conn(http_server& server) : tcp_socket(on_event), of(server) { parser.data = this; }
    http_server& of;
    http_parser parser{};
    std::array<char, http_target_bytes_max> target{};
    std::size_t target_bytes = 0;
    // Of the header: how many fields are called `host`; how much of that word the field under way
    // has, or that it is another one.
    static constexpr std::uint8_t no_host = 0xff;
    std::uint8_t hosts = 0;
    std::uint8_t host_bytes = no_host;
    bool in_value = true;       // the next name begins a field
    std::uint64_t since_ns = 0; // it asked, or took some of its answer: as far as was looked
    answer out;
    bool target_too_long = false;
    bool last = false; // the end follows the answer

    void forget_request() {
        target_bytes = 0;
        target_too_long = false;
        hosts = 0;
        host_bytes = no_host;
        in_value = true;
    }
    // RFC 9112 2.3, 3.2: this is the protocol, and it names its host once.
    bool well_formed() const {
        return parser.http_major == 1 && (hosts == 1 || (hosts == 0 && parser.http_minor == 0));
    }
    void name_came(std::string_view piece) {
        constexpr std::string_view name = "host";
        host_bytes = in_value ? std::uint8_t{0} : host_bytes;
        in_value = false;
        for (const char letter : piece) {
            const bool same = host_bytes < name.size() && (letter | 0x20) == name[host_bytes];
            host_bytes = same ? static_cast<std::uint8_t>(host_bytes + 1) : no_host;
            if (!same) {
                return;
            }
        }
    }
    void value_came() {
        hosts =
            static_cast<std::uint8_t>(std::min(hosts + (!in_value && host_bytes == 4 ? 1 : 0), 2));
        in_value = true;
    }
};

http_server::http_server(http_settings settings)
    : settings_(std::move(settings)), lent_(settings_.content),
      bad_request_(http_content::make(400, "text/plain", "bad request\n")),
      not_found_(http_content::make(404, "text/plain", "not found\n")),
      not_allowed_(http_content::make(405, "text/plain", "method not allowed\n")) {}

http_server::~http_server() {
    if (here_ != nullptr) {
        here_->forget(this);
    }
}

result<void> http_server::start(sockets& here) {
    http_parser_set_max_header_size(http_head_bytes_max);
    here_ = &here;
    const int code = here.listen(settings_.listen, settings_.backlog, {accept, this});
    if (code != 0) {
        return error{
            code, fmt::format(
                      "cannot listen at {}: {}", to_string(settings_.listen), std::strerror(code))};
    }
    here.each_round(each_round, this);
    return {};
}

tcp_socket* http_server::accept(void* self, sockets& here) {
    auto& server = *static_cast<http_server*>(self);
    conn& fresh = server.conns_.take(server);
    http_parser_init(&fresh.parser, HTTP_REQUEST);
    fresh.out = {};
    fresh.last = false;
    fresh.forget_request();
    fresh.since_ns = here.now_ns();
    server.by_age_.push_back(fresh);
    return &fresh;
}

// Once a round: what was idle too long, the date.
void http_server::each_round(void* self, sockets& here) {
    auto& server = *static_cast<http_server*>(self);
    server.set_date(here.now_ns());
    while (!server.by_age_.empty()) {
        conn& oldest = server.by_age_.front();
        const std::uint64_t until = oldest.since_ns + server.settings_.idle_ns;
        if (until > here.now_ns()) {
            here.wake_at(until);
            break;
        }
        // All of its answer may lie in the send buffer: then only TCP knows that it is taken. Its
        // place behind the others keeps it at most one more `idle`.
        const std::uint64_t taken_ns = oldest.taken_ns();
        if (taken_ns > oldest.since_ns) {
            server.move_behind(oldest, taken_ns);
            continue;
        }
        oldest.abort();
        server.end(oldest);
    }
}

void http_server::set_date(std::uint64_t now_ns) {
    now_ns_ = now_ns;
    if (now_ns < date_ns_) {
        return;
    }
    date_ns_ = now_ns + 1'000'000'000;
    const std::time_t wall = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&wall, &parts);
    char text[sizeof date_ + 1];
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT\r\n\r\n", &parts);
    std::memcpy(date_.data(), text, date_.size());
}

// ---------------------------------------------------------------------------------------------

void http_server::on_event(tcp_socket& socket, std::uint8_t events) {
    auto& self = static_cast<conn&>(socket);
    http_server& server = self.of;
    if ((events & socket_event::closed) != 0) {
        self.close();
        return server.end(self);
    }
    if (server.date_ns_ == 0) {
        server.set_date(self.worker().now_ns());
    }
    server.serve(self);
}

// Requests one after another, as long as their answers find room.
void http_server::serve(conn& self) {
    while (send(self)) {
        if (self.last) {
            return linger(self);
        }
        if (!parse(self)) {
            if (self.at_end()) {
                self.close();
                end(self);
            }
            return;
        }
        begin(self);
    }
}

// Says the end. What the peer still sends is thrown away until it says its own: a reset would
// overtake the answer (RFC 9112 9.6).
void http_server::linger(conn& self) {
    self.consume(self.readable());
    if (self.at_end()) {
        self.close();
        return end(self);
    }
    self.shutdown_write();
}

// Reads on; true: a request is complete.
bool http_server::parse(conn& self) {
    for (auto piece = self.peek(); !piece.empty(); piece = self.peek()) {
        const std::size_t used = http_parser_execute(
            &self.parser, &callbacks(), reinterpret_cast<const char*>(piece.data()), piece.size());
        const http_errno wrong = HTTP_PARSER_ERRNO(&self.parser);
        if (wrong == HPE_PAUSED) { // behind a request
            http_parser_pause(&self.parser, 0);
            self.consume(used);
            return true;
        }
        if (wrong != HPE_OK) {
            self.consume(self.readable());
            self.last = true;
            self.out = {&bad_request_};
            return true;
        }
        self.consume(used);
    }
    return false;
}

// The answer to the request that was read.
void http_server::begin(conn& self) {
    ++requests_;
    touch(self);
    if (self.out.of == nullptr) {
        const std::string_view target(self.target.data(), self.target_bytes);
        const bool get = self.parser.method == HTTP_GET;
        const bool head = self.parser.method == HTTP_HEAD;
        const http_response* found =
            self.target_too_long ? nullptr : settings_.content->find(target);
        const bool good = self.well_formed();
        self.out.of = !good              ? &bad_request_
                      : !get && !head    ? &not_allowed_
                      : found == nullptr ? &not_found_
                                         : found;
        self.out.with_body = !head;
        self.last = http_should_keep_alive(&self.parser) == 0 || !good || (!get && !head);
    }
    self.forget_request();
}

// It is alive: it asks, or there is room for more of its answer.
void http_server::touch(conn& self) {
    move_behind(self, now_ns_);
}

void http_server::move_behind(conn& self, std::uint64_t since_ns) {
    self.since_ns = since_ns;
    intrusive_list<conn>::remove(self);
    by_age_.push_back(self);
}

// The whole answer of this second, ready to be lent, if it was asked for in it before; else
// nullptr.
http_server::prepared* http_server::find_prepared(const http_response& of) {
    const std::size_t all = of.head.size() + date_.size() + of.body.size();
    if (all < prepared_bytes_min || all > prepared_bytes_max) {
        return nullptr;
    }
    // Addresses differ in their middle bits: Fibonacci hashing spreads them over the 64 places.
    prepared& here = prepared_[(reinterpret_cast<std::uintptr_t>(&of) * 0x9e3779b97f4a7c15U) >> 58];
    if (here.of != &of || here.date_ns != date_ns_) {
        here.of = &of;
        here.date_ns = date_ns_;
        here.owner.reset();
        return nullptr;
    }
    if (here.owner == nullptr) {
        if (*prepared_alive_ + all > prepared_alive_max) {
            return nullptr; // peers that take nothing have enough already
        }
        *prepared_alive_ += all;
        const std::shared_ptr<std::string> text(
            new std::string, [alive = prepared_alive_, all](const std::string* gone) {
                *alive -= all;
                delete gone;
            });
        text->reserve(all);
        text->append(of.head).append(date_.data(), date_.size()).append(of.body);
        here.text = *text;
        here.owner = std::make_unique<lent_memory>(text);
    }
    return &here;
}

// Writes the begin of an answer, all of it where that is cheap; how many bytes.
std::size_t http_server::write_begin(conn& self, std::span<const std::string_view> parts) {
    prepared* const ready = self.out.with_body ? find_prepared(*self.out.of) : nullptr;
    if (ready != nullptr) {
        return self.write_lent(*ready->owner, std::as_bytes(std::span(ready->text)));
    }
    std::array<char, small_answer_bytes> whole; // NOLINT(*-member-init): the first `bytes` are
    std::size_t bytes = 0;
    for (const std::string_view part : parts) {
        if (part.size() > whole.size() - bytes) {
            break;
        }
        std::memcpy(whole.data() + bytes, part.data(), part.size());
        bytes += part.size();
    }
    return self.write(std::as_bytes(std::span(whole.data(), bytes)));
}

// True: nothing is left to send.
bool http_server::send(conn& self) {
    answer& out = self.out;
    if (out.of == nullptr) {
        return true;
    }
    const std::string_view body = out.with_body ? std::string_view(out.of->body) : "";
    const std::array<std::string_view, 3> parts = {
        out.of->head, std::string_view(date_.data(), date_.size()), body};
    const std::size_t all = parts[0].size() + parts[1].size() + parts[2].size();
    const std::size_t done_before = out.done;
    if (done_before == 0) {
        out.done = write_begin(self, parts);
    }
    std::size_t skip = out.done;
    for (std::size_t i = 0; i < parts.size() && out.done < all; ++i) {
        const std::size_t before = std::min(skip, parts[i].size());
        const auto left = std::as_bytes(std::span(parts[i].substr(before)));
        skip -= before;
        const bool lends = i == 2 && left.size() >= lent_bytes_min;
        const std::size_t sent = left.empty() ? 0
                                 : lends      ? self.write_lent(lent_, left)
                                              : self.write(left);
        out.done += sent;
        if (sent < left.size()) {
            break;
        }
    }
    if (done_before != 0 && out.done > done_before) {
        touch(self);
    }
    if (out.done < all) {
        return false; // `writable` follows
    }
    out = {};
    return true;
}

void http_server::end(conn& self) {
    intrusive_list<conn>::remove(self);
    conns_.give(self);
}

const http_parser_settings& http_server::callbacks() {
    static const http_parser_settings made = [] {
        http_parser_settings chosen;
        http_parser_settings_init(&chosen);
        chosen.on_url = [](http_parser* parser, const char* at, std::size_t bytes) {
            auto& self = *static_cast<conn*>(parser->data);
            const std::size_t room = self.target.size() - self.target_bytes;
            self.target_too_long = self.target_too_long || bytes > room;
            const std::size_t taken = std::min(bytes, room);
            std::memcpy(self.target.data() + self.target_bytes, at, taken);
            self.target_bytes += taken;
            return 0;
        };
        chosen.on_header_field = [](http_parser* parser, const char* at, std::size_t bytes) {
            static_cast<conn*>(parser->data)->name_came({at, bytes});
            return 0;
        };
        chosen.on_header_value = [](http_parser* parser, const char*, std::size_t) {
            static_cast<conn*>(parser->data)->value_came();
            return 0;
        };
        chosen.on_message_complete = [](http_parser* parser) {
            http_parser_pause(parser, 1);
            return 0;
        };
        return chosen;
    }();
    return made;
}

} // namespace pantala::app
