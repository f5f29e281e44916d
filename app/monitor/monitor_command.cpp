// `pantala monitor`: changes as they come, as `ip monitor` tells them.
#include "app/cli/commands.hpp"
#include "app/control/client.hpp"
#include "app/questions.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

std::string table_of(const json& event) {
    const auto table = event.find("table");
    return table != event.end() ? " table " + table->dump() : std::string();
}

std::string what_of(const std::string& object, const json& event) {
    if (object == "addr") {
        return fmt::format(
            "{} dev {} {}", event.value("address", "?"), event.value("dev", "?"),
            event.value("flags", ""));
    }
    if (object == "neigh") {
        const auto mac = event.find("lladdr");
        return fmt::format(
            "{} dev {}{} {}", event.value("address", "?"), event.value("dev", "?"),
            mac != event.end() && mac->is_string() ? " lladdr " + mac->get<std::string>() : "",
            event.value("state", "?"));
    }
    if (object == "link") {
        return fmt::format(
            "{}: {} mtu {} address {}{}{}", event.value("name", "?"), event.value("state", "?"),
            event.value("mtu", 0U), event.value("address", "?"), table_of(event),
            event.value("carrier", true) ? "" : " no carrier");
    }
    return route_text(event);
}

std::string event_text(const json& event) {
    const std::string object = event.value("event", "?");
    const std::string action = event.value("action", "?");
    if (action == "load") {
        return fmt::format(
            "[route] loaded {} IPv4 and {} IPv6 routes{}", event.value("routes", 0U),
            event.value("ip6_routes", 0U), table_of(event));
    }
    if (action == "flush") {
        return fmt::format(
            "[route] flushed {} routes{} proto {}", event.value("deleted", 0U), table_of(event),
            event.value("protocol", "?"));
    }
    if (action == "lost") {
        return fmt::format("[monitor] {} changes came too fast", event.value("count", 0U));
    }
    return fmt::format(
        "[{}] {}{}", object, action == "del" ? "Deleted " : "", what_of(object, event));
}

int monitor(const cli_context& context, const std::vector<std::string>& objects) {
    monitor_question asked;
    if (auto good = parse_monitor(views(objects), asked); !good) {
        return report_usage(good.failure());
    }
    auto client = control_client::connect(context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    control_request request;
    request.name = "monitor";
    request.words = objects;
    const auto done = client->call(std::move(request), [&](const json& event) {
        const bool begin = event.value("action", "") == "begin";
        if (context.json || !begin) {
            print_line(context.json ? event.dump() : event_text(event));
        }
        std::fflush(stdout);
    });
    return done ? 0 : report(done.failure());
}

} // namespace

void add_monitor_command(cli_program program) {
    auto objects = std::make_shared<std::vector<std::string>>();
    CLI::App* app = program.app.add_subcommand(
        "monitor", "changes as they come, a line each, until it is interrupted");
    app->add_option("objects", *objects, "all | [route] [addr] [link] [neigh]");
    app->callback([objects, context = &program.context, status = &program.status] {
        *status = monitor(*context, *objects);
    });
}

} // namespace pantala::app
