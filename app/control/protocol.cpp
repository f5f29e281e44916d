#include "app/control/protocol.hpp"

#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

namespace pantala::app {

namespace {

error bad(std::string text) {
    return error{EBADMSG, "request: " + std::move(text)};
}

// Looks at brackets only; whether the rest is JSON is the parser's business.
bool too_deep(std::string_view line) {
    unsigned depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (in_string) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > request_depth_max) {
                return true;
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

result<void> read_field(const std::string& key, json& value, control_request& request) {
    if (key == "id" && value.is_number_unsigned()) {
        request.id = value.get<std::uint64_t>();
    } else if (key == "do" && value.is_string()) {
        request.name = value.get<std::string>();
    } else if (key == "args" && value.is_object()) {
        request.args = std::move(value);
    } else if (key == "body" && value.is_number_unsigned()) {
        const auto bytes = value.get<std::uint64_t>();
        if (bytes > request_body_max) {
            return bad(fmt::format("a body of {} bytes; at most {}", bytes, request_body_max));
        }
        request.body_bytes = bytes;
    } else if (key == "words" && value.is_array() && value.size() <= request_words_max) {
        for (const json& word : value) {
            if (!word.is_string()) {
                return bad("words must be strings");
            }
            request.words.push_back(word.get<std::string>());
        }
    } else {
        return bad("an unknown field, or one of the wrong type (id, do, words, args, body)");
    }
    return {};
}

} // namespace

result<control_request> parse_request(std::string_view line) {
    if (line.size() >= request_line_max) {
        return bad("line too long");
    }
    if (too_deep(line)) {
        return bad("nested too deeply");
    }
    json parsed = json::parse(line, nullptr, false);
    if (!parsed.is_object()) {
        return bad("not a JSON object on one line");
    }
    control_request request;
    for (auto& [key, value] : parsed.items()) {
        if (auto good = read_field(key, value, request); !good) {
            return good.failure();
        }
    }
    if (request.name.empty()) {
        return bad("no 'do'");
    }
    return request;
}

std::string format_request(const control_request& request) {
    json line = {{"id", request.id}, {"do", request.name}};
    if (!request.words.empty()) {
        line["words"] = request.words;
    }
    if (!request.args.empty()) {
        line["args"] = request.args;
    }
    if (!request.body.empty()) {
        line["body"] = request.body.size();
    }
    return line.dump(-1, ' ', false, json::error_handler_t::replace) + '\n' + request.body;
}

std::string default_socket_path() {
    if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime) {
        return fmt::format("{}/pantala/control.sock", runtime);
    }
    const auto user = getuid();
    return user == 0 ? std::string{"/run/pantala/control.sock"}
                     : fmt::format("/tmp/pantala-{}/control.sock", user);
}

} // namespace pantala::app
