// Requests about routes: the long ones are jobs that are done in turns.
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

std::vector<std::string_view> views(const std::vector<std::string>& text) {
    return {text.begin(), text.end()};
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

// The whole table, some hundred rows a turn.
class show_job final : public control_job {
  public:
    explicit show_job(router& of) : router_(of) {}
    result<std::optional<json>> turn(control_reply& reply) override {
        constexpr std::size_t rows_a_turn = 300;
        const auto tell = [&](json row) {
            reply.row(std::move(row));
            ++rows_;
        };
        if (at_) {
            at_ = router_.list_routes(*at_, rows_a_turn, tell);
            return std::optional<json>{};
        }
        at6_ = router_.list_routes(*at6_, rows_a_turn, tell);
        return at6_ ? std::nullopt : std::optional<json>{{{"rows", rows_}}};
    }

  private:
    router& router_;
    std::optional<prefix4> at_ = prefix4{};
    std::optional<prefix6> at6_ = prefix6{};
    std::uint64_t rows_ = 0;
};

result<job_pointer> show_routes(router& of, control_request& request) {
    if (request.words.empty()) {
        return job_pointer(new show_job(of));
    }
    route_change asked;
    if (auto good = set_destination(request.words[0], asked); !good) {
        return good.failure();
    }
    return answer_rows(
        asked.to6 ? of.find_routes(*asked.to6)
                  : of.find_routes(prefix4{asked.to.address, asked.to.length}));
}

result<job_pointer> get_route(router& of, control_request& request) {
    if (request.words.size() != 1) {
        return error{EINVAL, "route get: which address?"};
    }
    neigh_change asked;
    if (auto good = set_address(request.words[0], asked); !good) {
        return good.failure();
    }
    auto row = asked.six ? of.get_route(*asked.six) : of.get_route(asked.address);
    return row ? answer(std::move(*row)) : result<job_pointer>(row.failure());
}

// Has a file read by a thread of its own, then loads it in one go and waits for the workers. A
// client that goes away calls the reading off.
class load_job final : public control_job {
  public:
    load_job(router& of, table_reading reading, std::vector<std::uint32_t> via)
        : router_(of), reading_(std::move(reading)), via_(std::move(via)) {}

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
            if (auto done = router_.load(*contents, via_); !done) {
                return done.failure();
            }
            loaded_ = true;
            routes_ = contents->routes.size();
            ip6_skipped_ = contents->ip6_skipped;
        }
        if (!router_.routes().settled()) {
            tell(reply, "waiting for the workers");
            return std::optional<json>{};
        }
        return std::optional<json>{
            {{"routes", routes_},
             {"ip6_skipped", ip6_skipped_},
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
    std::vector<std::uint32_t> via_;
    steady::time_point began_ = steady::now();
    steady::time_point told_ = began_;
    bool loaded_ = false;
    std::uint64_t routes_ = 0;
    std::uint64_t ip6_skipped_ = 0;
};

result<job_pointer> load_routes(router& of, control_request& request) {
    if (request.words.empty() || !request.words[0].starts_with('/')) {
        return error{EINVAL, "route load: an absolute path is wanted"};
    }
    std::vector<std::uint32_t> via;
    for (std::size_t i = 1; i < request.words.size(); ++i) {
        if (request.words[i] == "via") {
            continue;
        }
        const auto gateway = parse_ip4(request.words[i]);
        if (!gateway) {
            return gateway.failure();
        }
        via.push_back(*gateway);
    }
    auto reading = table_reading::start(request.words[0], 0);
    if (!reading) {
        return reading.failure();
    }
    return job_pointer(new load_job(of, std::move(*reading), std::move(via)));
}

// The lines of a body, some thousand a turn. What has one gateway and nothing else goes the short
// way of feeds.
class batch_job final : public control_job {
  public:
    batch_job(router& of, std::string body, std::uint64_t first_line)
        : router_(of), body_(std::move(body)), line_(first_line) {}

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
        std::array<std::string_view, change_words_max> room;
        unsigned count = 0;
        if (!split_words(line, room, count)) {
            return error{EINVAL, "too many words"};
        }
        words text(room.data(), count);
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
        return !change.to6 && change.verb == change_verb::replace && change.hops.size() == 1 &&
               change.hops[0].via != 0 && change.hops[0].dev.empty() && change.mtu == 0;
    }
    result<void> feed(const route_change& change) {
        auto hop = router_.feed_hop(change.hops[0].via);
        if (!hop) {
            return hop.failure();
        }
        const prefix4 prefix{change.to.address, change.to.length};
        return router_.routes().announce({prefix, *hop}, route_protocol::fixed);
    }

    router& router_;
    std::string body_;
    std::size_t at_ = 0;
    std::uint64_t line_;
    std::uint64_t applied_ = 0;
    bool congested_ = false;
    route_change change_;
};

result<job_pointer> batch(router& of, control_request& request) {
    const auto first = request.args.find("first_line");
    const std::uint64_t line = first != request.args.end() && first->is_number_unsigned()
                                   ? first->get<std::uint64_t>()
                                   : 1;
    return job_pointer(new batch_job(of, std::move(request.body), line));
}

result<job_pointer> start_churn(router& of, control_request& request) {
    const auto number = [&](const char* key, std::uint64_t otherwise) {
        const auto found = request.args.find(key);
        return found != request.args.end() && found->is_number_unsigned()
                   ? found->get<std::uint64_t>()
                   : otherwise;
    };
    const std::uint64_t rate = number("rate", 0);
    if (rate == 0 || rate > 100'000'000) {
        return error{EINVAL, "churn: 'rate' is wanted, changes a second, at most 100 M"};
    }
    const auto spare = request.args.find("spare");
    const bool named = spare != request.args.end() && spare->is_string();
    auto started =
        of.start_churn(rate, number("seed", 1), named ? spare->get<std::string>() : std::string());
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
    add("churn.start", start_churn);
    add("churn.stop", stop_churn);
}

} // namespace pantala::app
