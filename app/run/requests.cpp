#include "app/run/requests.hpp"

#include <algorithm>

namespace pantala::app {

namespace {

std::vector<std::string_view> views(const std::vector<std::string>& text) {
    return {text.begin(), text.end()};
}

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

control_handler lister(json (router::*list)() const, router& of) {
    return
        [&of, list](control_request&) -> result<job_pointer> { return answer_rows((of.*list)()); };
}
control_handler lister(json (router::*list)(), router& of) {
    return
        [&of, list](control_request&) -> result<job_pointer> { return answer_rows((of.*list)()); };
}

bool has_word(const control_request& request, std::string_view word) {
    return std::find(request.words.begin(), request.words.end(), word) != request.words.end();
}

} // namespace

void add_requests(control_server& server, router& of, bool& stop) {
    server.add("addr.change", changer<addr_change>(of, parse_addr));
    server.add("neigh.change", changer<neigh_change>(of, parse_neigh));
    server.add("link.change", changer<link_change>(of, parse_link));
    server.add("addr.show", lister(&router::list_addrs, of));
    server.add("neigh.show", lister(&router::list_neighs, of));
    server.add("link.show", lister(&router::list_links, of));
    server.add("ss", lister(&router::list_sockets, of));
    server.add("netisr.show", lister(&router::list_netisr, of));
    server.add("stats", [&of](control_request& request) -> result<job_pointer> {
        const bool all = has_word(request, "all");
        return answer_rows(has_word(request, "tcp") ? of.list_tcp_stats(all) : of.list_stats(all));
    });
    server.add(
        "summary", [&of](control_request&) -> result<job_pointer> { return answer(of.summary()); });
    server.add(
        "ready", [](control_request&) -> result<job_pointer> { return answer(json::object()); });
    server.add("stop", [&stop](control_request&) -> result<job_pointer> {
        stop = true;
        return answer(json::object());
    });
    add_route_requests(server, of);
}

} // namespace pantala::app
