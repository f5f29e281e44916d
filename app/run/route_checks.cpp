// route verify and route flush: jobs of their own, in turns.
#include "app/questions.hpp"
#include "app/run/requests.hpp"

#include <chrono>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// Tells a client how far a job is, but not at every turn of it.
class pace {
  public:
    void tell(control_reply& reply, const char* what, std::uint64_t done) {
        const auto now = std::chrono::steady_clock::now();
        if (now - told_ > std::chrono::milliseconds(500)) {
            told_ = now;
            reply.progress(what, done, 0);
        }
    }

  private:
    std::chrono::steady_clock::time_point told_ = std::chrono::steady_clock::now();
};

// Hashes the replicas of all workers, then asks them for every prefix of every table; waits while
// changes are on their way.
class verify_job final : public control_job {
  public:
    verify_job(router& of, std::vector<std::uint32_t> tables)
        : rib_(of.routes()), router_(of), walk_(std::move(tables)) {}

    result<std::optional<json>> turn(control_reply& reply) override {
        if (std::chrono::steady_clock::now() > patience_) {
            return error{EAGAIN, "routes change all the time; no worker stood still for a look"};
        }
        waiting_ = !rib_.settled();
        pace_.tell(reply, waiting_ ? "waiting for the workers" : "comparing addresses", addresses_);
        if (waiting_) {
            return std::optional<json>{};
        }
        if (!hashed_) {
            return hash(reply);
        }
        if (const auto slot = router_.slot_of(walk_)) {
            return compare(*slot, reply);
        }
        const json summary = {
            {"tables", tables_}, {"workers", workers_},     {"generation", rib_.generation()},
            {"alike", alike_},   {"addresses", addresses_}, {"wrong", wrong_}};
        if (wrong_ != 0 || alike_ != workers_) {
            return error{EIO, "replicas differ from the routes: " + summary.dump()};
        }
        return std::optional<json>{summary};
    }
    unsigned wait_ms() const override { return waiting_ ? 1 : 0; }

  private:
    static constexpr std::uint64_t rows_max = 100;

    result<std::optional<json>> hash(control_reply& reply) {
        const auto states = rib_.hash_replicas();
        if (!states) {
            return states.failure();
        }
        for (const replica_state& each : *states) {
            ++workers_;
            alike_ += each.alike;
            reply.row(
                {{"worker", each.reader},
                 {"generation", each.generation},
                 {"hash", fmt::format("{:016x}", each.hash)},
                 {"alike", each.alike}});
        }
        hashed_ = true;
        return std::optional<json>{};
    }
    result<std::optional<json>> compare(unsigned slot, control_reply& reply) {
        constexpr std::size_t prefixes_a_turn = 500;
        if (walk_.at() != begun_) {
            begun_ = walk_.at();
            at4_ = prefix4{};
            at6_ = prefix6{};
        }
        const auto wrong = [&](const wrong_answer& what) {
            if (wrong_++ < rows_max) {
                json row = {
                    {"worker", what.reader},
                    {"prefix", what.prefix},
                    {"nexthop", what.got.value},
                    {"expected", what.expected.value}};
                router_.add_table(row, slot);
                reply.row(std::move(row));
            }
        };
        if (at4_) {
            return go_on(rib_.verify(slot, *at4_, prefixes_a_turn, wrong), at4_);
        }
        if (at6_) {
            return go_on(rib_.verify(slot, *at6_, prefixes_a_turn, wrong), at6_);
        }
        tables_ += rib_.has_table(slot) ? 1 : 0; // a VRF may have a name and nothing else
        walk_.next();
        return std::optional<json>{};
    }
    template <class Prefix>
    result<std::optional<json>>
    go_on(const result<verified<Prefix>>& done, std::optional<Prefix>& at) {
        if (!done) {
            return done.failure();
        }
        addresses_ += done->addresses;
        at = done->next;
        return std::optional<json>{};
    }

    rib& rib_;
    router& router_;
    pace pace_;
    std::chrono::steady_clock::time_point patience_ =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    table_walk walk_;
    std::size_t begun_ = 0;
    unsigned tables_ = 0;
    std::optional<prefix4> at4_ = prefix4{};
    std::optional<prefix6> at6_ = prefix6{};
    bool hashed_ = false;
    bool waiting_ = false;
    std::uint64_t workers_ = 0;
    std::uint64_t alike_ = 0;
    std::uint64_t addresses_ = 0;
    std::uint64_t wrong_ = 0;
};

// The rest is for the next turn where the workers do not keep up.
class flush_job final : public control_job {
  public:
    flush_job(router& of, route_protocol protocol, std::vector<std::uint32_t> tables)
        : router_(of), protocol_(protocol), tables_(std::move(tables)) {}

    result<std::optional<json>> turn(control_reply& reply) override {
        pace_.tell(reply, "deleting routes", deleted_);
        result<void> done;
        for (auto slot = router_.slot_of(tables_); done && slot; slot = router_.slot_of(tables_)) {
            done = router_.flush({protocol_, *slot}, deleted_);
            if (done) {
                tables_.next();
            }
        }
        congested_ = !done && done.failure().code == EAGAIN;
        if (congested_) {
            return std::optional<json>{};
        }
        return done ? result<std::optional<json>>(json{{"deleted", deleted_}}) : done.failure();
    }
    unsigned wait_ms() const override { return congested_ ? 1 : 0; }

  private:
    router& router_;
    pace pace_;
    route_protocol protocol_;
    table_walk tables_;
    std::size_t deleted_ = 0;
    bool congested_ = false;
};

// Routes that were loaded are of protocol bgp, those that people named static.
result<job_pointer> flush(router& of, control_request& request) {
    const auto text = views(request.words);
    word_reader reader(text);
    if (reader.peek() == "proto" || reader.peek() == "protocol") {
        reader.next();
    }
    if (reader.done()) {
        return say("route flush: which protocol? (bgp, static, ospf, boot)");
    }
    const auto protocol = parse_protocol(reader.next());
    if (!protocol) {
        return error{EINVAL, "route flush: which protocol? " + protocol.failure().text};
    }
    show_question where;
    while (!reader.done()) {
        const std::string_view word = reader.next();
        if (word != "table" && word != "vrf") {
            return say(fmt::format("route flush: '{}' is a word too many", word));
        }
        if (auto good = parse_shown_table(word, reader, where); !good) {
            return good.failure();
        }
    }
    auto tables = of.tables_asked(where);
    return tables
               ? result<job_pointer>(job_pointer(new flush_job(of, *protocol, std::move(*tables))))
               : tables.failure();
}

result<job_pointer> verify(router& of, control_request& request) {
    if (!request.words.empty()) {
        return say(fmt::format("route verify: '{}' is a word too many", request.words[0]));
    }
    show_question all;
    all.all_tables = true;
    return job_pointer(new verify_job(of, std::move(*of.tables_asked(all))));
}

} // namespace

void add_route_checks(control_server& server, router& of) {
    server.add("route.verify", [&of](control_request& request) { return verify(of, request); });
    server.add("route.flush", [&of](control_request& request) { return flush(of, request); });
}

} // namespace pantala::app
