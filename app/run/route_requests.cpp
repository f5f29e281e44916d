// Requests about routes: the long ones are jobs that are done in turns.
#include "app/questions.hpp"
#include "app/run/requests.hpp"

#include <array>
#include <chrono>

#include <fmt/format.h>

namespace pantala::app {

namespace {

using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point began) {
    return std::chrono::duration<double>(steady::now() - began).count();
}

result<job_pointer> change_route(router& of, control_request& request) {
    route_change wanted;
    const auto text = views(request.words);
    if (auto good = parse_route(words(text), wanted); !good) {
        return good.failure();
    }
    if (auto done = of.change(wanted); !done) {
        return done.failure();
    }
    return answer(json::object());
}

// Whole tables, some hundred prefixes a turn: in the order of prefixes, or in one that restores.
class show_job final : public control_job {
  public:
    struct how {
        unsigned family = 0; // 4, 6, or 0: both
        bool to_restore = false;
    };
    show_job(router& of, show_question asked, std::vector<std::uint32_t> tables, how shown)
        : router_(of), asked_(std::move(asked)), tables_(std::move(tables)), how_(shown) {
        begin();
    }
    result<std::optional<json>> turn(control_reply& reply) override {
        constexpr std::size_t rows_a_turn = 300;
        const auto tell = [&](json row) {
            if (asked_.wants(row)) {
                reply.row(std::move(row));
                ++rows_;
            }
        };
        const auto slot = router_.slot_of(tables_);
        if (!slot) {
            return std::optional<json>{{{"rows", rows_}}};
        }
        if (tables_.at() != begun_) {
            begin();
        }
        const auto go_on = [&](auto& at) {
            if (!how_.to_restore) {
                at.from = router_.list_routes(*slot, *at.from, rows_a_turn, tell);
            } else if (router_.list_to_restore(*slot, at.walk, rows_a_turn, tell)) {
                at = {};
            }
        };
        if (at4_.from) {
            go_on(at4_);
        } else if (at6_.from) {
            go_on(at6_);
        } else {
            tables_.next();
        }
        return std::optional<json>{};
    }

  private:
    template <class Prefix>
    struct place {
        std::optional<Prefix> from; // nothing: at the end
        restore_walk<Prefix> walk;
    };
    void begin() {
        begun_ = tables_.at();
        at4_ = {};
        at6_ = {};
        if (how_.family != 6) {
            at4_.from = prefix4{};
        }
        if (how_.family != 4) {
            at6_.from = prefix6{};
        }
    }

    router& router_;
    show_question asked_;
    table_walk tables_;
    how how_;
    std::size_t begun_ = 0;
    place<prefix4> at4_;
    place<prefix6> at6_;
    std::uint64_t rows_ = 0;
};

result<job_pointer> show_routes(router& of, control_request& request) {
    show_question asked;
    const auto text = views(request.words);
    auto good = parse_show_routes(text, asked);
    if (good && !asked.dev.empty()) {
        good = of.is_link(asked.dev);
    }
    if (!good) {
        return good.failure();
    }
    auto tables = of.tables_asked(asked);
    if (!tables) {
        return tables.failure();
    }
    if (!asked.prefix) {
        const auto order = request.args.find("order");
        const bool to_restore = order != request.args.end() && *order == "restore";
        return job_pointer(new show_job(
            of, std::move(asked), std::move(*tables), {family_of(request), to_restore}));
    }
    const route_change& to = *asked.prefix;
    json rows = json::array();
    table_walk walk(std::move(*tables));
    for (auto slot = of.slot_of(walk); slot; walk.next(), slot = of.slot_of(walk)) {
        for (json& row : to.to6 ? of.find_routes(*slot, *to.to6)
                                : of.find_routes(*slot, prefix4{to.to.address, to.to.length})) {
            if (asked.wants(row)) {
                rows.push_back(std::move(row));
            }
        }
    }
    return answer_rows(std::move(rows));
}

result<job_pointer> get_route(router& of, control_request& request) {
    get_question asked;
    const auto text = views(request.words);
    if (auto good = parse_get_route(text, asked); !good) {
        return good.failure();
    }
    const auto slot = of.table_there(asked.table);
    if (!slot) {
        return slot.failure();
    }
    auto row = asked.address.six ? of.get_route(*slot, *asked.address.six)
                                 : of.get_route(*slot, asked.address.address);
    return row ? answer(std::move(*row)) : result<job_pointer>(row.failure());
}

// Has a file read by a thread of its own, then loads it in one go and waits for the workers. A
// client that goes away calls the reading off.
class load_job final : public control_job {
  public:
    load_job(router& of, table_reading reading, load_change how)
        : router_(of), reading_(std::move(reading)), how_(std::move(how)) {}

    result<std::optional<json>> turn(control_reply& reply) override {
        if (!loaded_) {
            if (!reading_.done()) {
                tell(reply, "reading");
                return std::optional<json>{};
            }
            const auto contents = reading_.take();
            if (!contents) {
                return contents.failure();
            }
            const auto done = router_.load(*contents, how_);
            if (!done) {
                return done.failure();
            }
            loaded_ = true;
            counts_ = *done;
        }
        if (!router_.routes().settled()) {
            tell(reply, "waiting for the workers");
            return std::optional<json>{};
        }
        return std::optional<json>{
            {{"routes", counts_.routes4},
             {"ip6_routes", counts_.routes6},
             {"passed_over", counts_.passed_over},
             {"seconds", seconds_since(began_)}}};
    }
    unsigned wait_ms() const override { return 5; }

  private:
    void tell(control_reply& reply, const char* what) {
        if (seconds_since(told_) > 0.5) {
            told_ = steady::now();
            reply.progress(what, 0, 0);
        }
    }

    router& router_;
    table_reading reading_;
    load_change how_;
    steady::time_point began_ = steady::now();
    steady::time_point told_ = began_;
    bool loaded_ = false;
    load_counts counts_;
};

result<job_pointer> load_routes(router& of, control_request& request) {
    load_change how;
    const auto text = views(request.words);
    if (auto good = parse_load(text, how); !good) {
        return good.failure();
    }
    if (!how.file.starts_with('/')) {
        return say("route load: an absolute path is wanted");
    }
    auto reading = table_reading::start(how.file, 0);
    if (!reading) {
        return reading.failure();
    }
    return job_pointer(new load_job(of, std::move(*reading), std::move(how)));
}

// The lines of a body, some thousand a turn. What has one gateway and nothing else goes the short
// way of feeds.
class batch_job final : public control_job {
  public:
    batch_job(router& of, std::string body, std::uint64_t first_line, std::uint64_t applied)
        : router_(of), body_(std::move(body)), line_(first_line), applied_(applied) {}

    result<std::optional<json>> turn(control_reply&) override {
        constexpr unsigned lines_a_turn = 4096;
        congested_ = false;
        for (unsigned i = 0; i < lines_a_turn && at_ < body_.size(); ++i) {
            const std::size_t end = std::min(body_.find('\n', at_), body_.size());
            auto done = apply(std::string_view(body_).substr(at_, end - at_));
            if (!done && done.failure().code == EAGAIN) { // the workers are behind: again later
                congested_ = true;
                return std::optional<json>{};
            }
            if (!done) {
                return error{
                    done.failure().code, fmt::format(
                                             "line {}: {} ({} changes before it "
                                             "were made)",
                                             line_, done.failure().text, applied_)};
            }
            at_ = end + 1;
            ++line_;
        }
        return at_ < body_.size() ? std::nullopt : std::optional<json>{{{"applied", applied_}}};
    }
    unsigned wait_ms() const override { return congested_ ? 1 : 0; }

  private:
    result<void> apply(std::string_view line) {
        unsigned count = 0;
        if (!split_words(line, room_, count)) {
            return error{EINVAL, "too many words"};
        }
        words text(room_.data(), count);
        if (!text.empty() && text[0] == "route") {
            text = text.subspan(1);
        }
        if (text.empty()) {
            return {};
        }
        if (auto good = parse_route(text, change_); !good) {
            return good;
        }
        auto done = short_way(change_) ? feed(change_) : router_.change(change_);
        applied_ += done.ok();
        return done;
    }
    static bool short_way(const route_change& change) {
        const route_protocol protocol = change.protocol.value_or(route_protocol::fixed);
        return change.verb == change_verb::replace && change.hops.size() == 1 &&
               change.kind == nexthop_kind::gateway && change.hops[0].dev.empty() &&
               change.mtu == 0 && change.hops[0].weight == 1 && !change.aside &&
               change.metric.value_or(metric_of(protocol)) == metric_of(protocol);
    }
    result<void> feed(const route_change& change) {
        const route_hop& hop = change.hops[0];
        const auto slot = router_.table_for(change.table);
        if (!slot) {
            return slot.failure();
        }
        const feed_place to{change.protocol.value_or(route_protocol::fixed), *slot};
        return change.to6
                   ? router_.announce(*change.to6, *hop.via6, to)
                   : router_.announce(prefix4{change.to.address, change.to.length}, hop.via, to);
    }

    router& router_;
    std::string body_;
    std::size_t at_ = 0;
    std::uint64_t line_;
    std::uint64_t applied_; // with those of the batch's requests before
    bool congested_ = false;
    std::array<std::string_view, change_words_max> room_;
    route_change change_;
};

std::uint64_t number(const control_request& request, const char* key, std::uint64_t otherwise) {
    const auto found = request.args.find(key);
    return found != request.args.end() && found->is_number_unsigned() ? found->get<std::uint64_t>()
                                                                      : otherwise;
}

// A batch is many requests: `first_line` is the number of this one's first line, `applied` how many
// changes were made by those before.
result<job_pointer> batch(router& of, control_request& request) {
    const std::uint64_t line = number(request, "first_line", 1);
    const std::uint64_t applied = number(request, "applied", 0);
    return job_pointer(new batch_job(of, std::move(request.body), line, applied));
}

result<job_pointer> start_churn(router& of, control_request& request) {
    const std::uint64_t rate = number(request, "rate", 0);
    if (rate == 0 || rate > 100'000'000) {
        return error{EINVAL, "churn: 'rate' is wanted, changes a second, at most 100 M"};
    }
    const auto spare = request.args.find("spare");
    const bool named = spare != request.args.end() && spare->is_string();
    auto started = of.start_churn(
        rate, number(request, "seed", 1), named ? spare->get<std::string>() : std::string());
    return started ? answer(json::object()) : result<job_pointer>(started.failure());
}

// Waits until every route is as it was, on every worker.
class stop_churn_job final : public control_job {
  public:
    explicit stop_churn_job(router& of, json report) : router_(of), report_(std::move(report)) {}
    result<std::optional<json>> turn(control_reply&) override {
        return router_.churning() || !router_.routes().settled()
                   ? std::nullopt
                   : std::optional<json>{std::move(report_)};
    }
    unsigned wait_ms() const override { return 1; }

  private:
    router& router_;
    json report_;
};

result<job_pointer> stop_churn(router& of, control_request&) {
    auto report = of.stop_churn();
    if (!report) {
        return error{ENOENT, "no routes are churning"};
    }
    return job_pointer(new stop_churn_job(of, std::move(*report)));
}

} // namespace

void add_route_requests(control_server& server, router& of) {
    const auto add = [&](const char* name,
                         result<job_pointer> (*start)(router&, control_request&)) {
        server.add(name, [&of, start](control_request& request) { return start(of, request); });
    };
    add("route.change", change_route);
    add("route.show", show_routes);
    add("route.get", get_route);
    add("route.load", load_routes);
    add("route.batch", batch);
    add_route_checks(server, of);
    add("churn.start", start_churn);
    add("churn.stop", stop_churn);
}

} // namespace pantala::app
