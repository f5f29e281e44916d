#include "app/gen/trial_server.hpp"

#include "app/control/server.hpp"

#include <chrono>

#include <poll.h>

namespace pantala::app {

namespace {

template <class T>
result<job_pointer> reply(result<T> outcome) {
    if (!outcome) {
        return outcome.failure();
    }
    if constexpr (std::is_void_v<T>) {
        return answer(json::object());
    } else {
        return answer(json(*outcome));
    }
}

// `args` of a request as a record; a field that is missing or of another type is an error.
template <class T>
result<T> read(const json& args) {
    try {
        return args.get<T>();
    } catch (const json::exception& wrong) {
        return error{EINVAL, std::string("args: ") + wrong.what()};
    }
}

std::uint64_t now_ms() {
    using namespace std::chrono;
    return static_cast<std::uint64_t>(
        duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

void add_handlers(control_server& server, generator& gen, bool& stop) {
    server.add("trial.begin", [&](control_request& request) -> result<job_pointer> {
        auto order = read<send_order>(request.args);
        return order ? reply(gen.begin(order->stream)) : order.failure();
    });
    server.add("trial.send", [&](control_request& request) -> result<job_pointer> {
        auto order = read<send_order>(request.args);
        return order ? reply(gen.send(*order)) : order.failure();
    });
    server.add("trial.cancel", [&](control_request&) {
        gen.cancel();
        return reply(result<void>());
    });
    server.add("trial.sender", [&](control_request&) { return reply(gen.sender()); });
    server.add("trial.sink", [&](control_request&) { return reply(gen.sink()); });
    server.add("gen.info", [&](control_request&) {
        return reply<json>(json{
            {"flows", gen.flows().flows.size()},
            {"prefixes", gen.flows().prefixes},
            {"setup_seconds", gen.setup_seconds()}});
    });
    server.add("ready", [](control_request&) { return reply(result<void>()); });
    server.add("stop", [&](control_request&) {
        stop = true;
        return reply(result<void>());
    });
}

} // namespace

result<void> serve_trials(generator& gen, const std::string& socket, stop_signals& signals) {
    auto opened = control_server::open(socket);
    if (!opened) {
        return opened.failure();
    }
    control_server& server = **opened;
    bool stop = false;
    add_handlers(server, gen, stop);
    std::vector<pollfd> fds;
    while (!stop && !signals.requested()) {
        fds.assign(1, {signals.fd(), POLLIN, 0});
        server.watch(fds);
        poll(fds.data(), fds.size(), static_cast<int>(server.wait_ms()));
        server.service(now_ms());
    }
    gen.cancel();
    return {};
}

namespace {

result<json> ask(control_client& client, const char* name, json args = json::object()) {
    control_request request;
    request.name = name;
    request.args = std::move(args);
    return client.call(std::move(request));
}

template <class T>
result<T> ask_for(control_client& client, const char* name) {
    auto done = ask(client, name);
    return done ? read<T>(*done) : done.failure();
}

result<void> tell(control_client& client, const char* name, const send_order& order) {
    auto done = ask(client, name, json(order));
    return done ? result<void>() : done.failure();
}

} // namespace

trial_ends remote_ends(control_client& sender, control_client& sink) {
    return {
        .begin =
            [&](std::uint8_t stream) {
                return tell(sink, "trial.begin", send_order{.stream = stream});
            },
        .send = [&](const send_order& order) { return tell(sender, "trial.send", order); },
        .sender = [&] { return ask_for<sender_state>(sender, "trial.sender"); },
        .sink = [&] { return ask_for<sink_state>(sink, "trial.sink"); },
        .cancel = [&] { return tell(sender, "trial.cancel", send_order{}); },
    };
}

} // namespace pantala::app
