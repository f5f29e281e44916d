#include "app/run/requests.hpp"

#include "app/questions.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

template <class Change, class Parse>
control_handler changer(router& of, Parse parse) {
    return [&of, parse](control_request& request) -> result<job_pointer> {
        Change wanted;
        const auto text = views(request.words);
        if (auto good = parse(words(text), wanted); !good) {
            return good.failure();
        }
        if (auto done = of.change(wanted); !done) {
            return done.failure();
        }
        return answer(json::object());
    };
}

// Rows of one family, as far as they have an address.
bool is_of(const json& row, unsigned family) {
    const bool six = row.value("address", "").find(':') != std::string::npos;
    return family == 0 || (family == 6) == six;
}

// Rows of interfaces: of all, or of the one that is named.
template <class List>
control_handler link_lister(router& of, const char* object, List list, bool of_families) {
    return [&of, object, list, of_families](control_request& request) -> result<job_pointer> {
        show_question asked;
        const auto text = views(request.words);
        auto good = parse_show_of_links(text, object, asked);
        if (good && !asked.dev.empty()) {
            good = of.is_link(asked.dev);
        }
        if (!good) {
            return good.failure();
        }
        result<json> all = (of.*list)();
        if (!all) {
            return all.failure();
        }
        json rows = json::array();
        for (json& row : *all) {
            if (asked.wants(row) && (!of_families || is_of(row, family_of(request)))) {
                rows.push_back(std::move(row));
            }
        }
        return answer_rows(std::move(rows));
    };
}

template <class List>
control_handler lister(router& of, const char* object, List list) {
    return [&of, object, list](control_request& request) -> result<job_pointer> {
        const auto text = views(request.words);
        if (auto good = parse_show_nothing(text, object); !good) {
            return good.failure();
        }
        result<json> rows = (of.*list)();
        return rows ? answer_rows(std::move(*rows)) : result<job_pointer>(rows.failure());
    };
}

result<job_pointer> hosts(router& of, control_request& request) {
    host_question asked;
    const auto text = views(request.words);
    if (auto good = parse_hosts(text, asked); !good) {
        return good.failure();
    }
    std::optional<ip_address> one;
    if (asked.address) {
        one = asked.address->six
                  ? ip_address::from(wire::ipv6_address{asked.address->six->bytes()})
                  : ip_address::from(wire::ipv4_address::from(asked.address->address));
    }
    if (!asked.flush) {
        result<json> all = of.list_host_cache(one);
        if (!all) {
            return all.failure();
        }
        json rows = json::array();
        for (json& row : *all) {
            if (is_of(row, family_of(request))) {
                rows.push_back(std::move(row));
            }
        }
        return answer_rows(std::move(rows));
    }
    const auto flushed = of.flush_host_cache(one);
    if (!flushed) {
        return flushed.failure();
    }
    const unsigned known = *flushed;
    return known == 0 ? result<job_pointer>(error{ENOENT, "hostcache flush: no worker knows it"})
                      : answer(json{{"workers", known}});
}

result<job_pointer> stats(router& of, control_request& request) {
    show_question asked;
    const auto text = views(request.words);
    if (auto good = parse_stats(text, asked); !good) {
        return good.failure();
    }
    return answer_rows(asked.tcp ? of.list_tcp_stats(asked.all) : of.list_stats(asked.all));
}

result<job_pointer> tcp_settings(router& of, control_request& request) {
    tcp_question asked;
    const auto text = views(request.words);
    if (auto good = parse_tcp(text, asked); !good) {
        return good.failure();
    }
    if (asked.set) {
        const auto told = of.set_tcp(asked.name, asked.value);
        return told ? answer(json{{"workers", *told}}) : result<job_pointer>(told.failure());
    }
    json rows = of.list_tcp(asked.name);
    return rows.empty() ? result<job_pointer>(
                              error{ENOENT, fmt::format("tcp show: there is no '{}'", asked.name)})
                        : answer_rows(std::move(rows));
}

} // namespace

unsigned family_of(const control_request& request) {
    const auto found = request.args.find("family");
    return found != request.args.end() && (*found == 4 || *found == 6) ? found->get<unsigned>() : 0;
}

void add_requests(control_server& server, router& of, bool& stop) {
    server.add("addr.change", changer<addr_change>(of, parse_addr));
    server.add("neigh.change", changer<neigh_change>(of, parse_neigh));
    server.add("link.change", changer<link_change>(of, parse_link));
    server.add("addr.show", link_lister(of, "addr", &router::list_addrs, true));
    server.add("neigh.show", link_lister(of, "neigh", &router::list_neighs, true));
    server.add("link.show", link_lister(of, "link", &router::list_links, false));
    server.add("vrf.show", lister(of, "vrf", &router::list_tables));
    server.add("ss", lister(of, "ss", &router::list_sockets));
    server.add("netisr.show", lister(of, "netisr", &router::list_netisr));
    server.add("hostcache", [&of](control_request& request) { return hosts(of, request); });
    server.add("tcp", [&of](control_request& request) { return tcp_settings(of, request); });
    server.add("stats", [&of](control_request& request) { return stats(of, request); });
    server.add(
        "summary", [&of](control_request&) -> result<job_pointer> { return answer(of.summary()); });
    server.add(
        "ready", [](control_request&) -> result<job_pointer> { return answer(json::object()); });
    server.add("stop", [&stop](control_request&) -> result<job_pointer> {
        stop = true;
        return answer(json::object());
    });
    add_route_requests(server, of);
    add_monitor_request(server, of);
}

} // namespace pantala::app
