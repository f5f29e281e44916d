#include "app/control/client.hpp"

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pantala::app {

result<control_client> control_client::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return error{ENAMETOOLONG, fmt::format("'{}' is too long for a socket", path)};
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int code = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error{
            code, fmt::format(
                      "cannot reach a running pantala on {}: {} (start one with "
                      "'pantala run', or name its socket with --socket PATH)",
                      path, std::strerror(code))};
    }
    return control_client(fd);
}

control_client::control_client(control_client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), next_id_(other.next_id_), in_(std::move(other.in_)),
      taken_(other.taken_) {}

control_client::~control_client() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

result<void> control_client::post(control_request& request) {
    request.id = next_id_++;
    const std::string text = format_request(request);
    std::size_t sent = 0;
    while (sent < text.size()) {
        const ssize_t put = send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            return error{errno, fmt::format("control socket: {}", std::strerror(errno))};
        }
        sent += static_cast<std::size_t>(put);
    }
    return {};
}

// Waits for something to read; tells whoever wants to know that there is nothing yet.
void control_client::await(const std::function<void(const control_progress&)>& on_silence) const {
    constexpr int silence_ms = 500;
    pollfd waits{fd_, POLLIN, 0};
    while (poll(&waits, 1, silence_ms) == 0) {
        on_silence({"waiting for the answer", 0, 0});
    }
}

result<std::string_view>
control_client::line(const std::function<void(const control_progress&)>& on_silence) {
    if (taken_ > 0) {
        in_.erase(0, taken_);
        taken_ = 0;
    }
    std::size_t searched = 0;
    for (;;) {
        const auto end = in_.find('\n', searched);
        if (end != std::string::npos) {
            taken_ = end + 1;
            return std::string_view(in_).substr(0, end);
        }
        searched = in_.size();
        if (in_.size() > reply_line_max) {
            return error{EMSGSIZE, "control socket: a reply line is too long"};
        }
        if (on_silence) {
            await(on_silence);
        }
        char chunk[64 * 1024];
        const ssize_t got = recv(fd_, chunk, sizeof chunk, 0);
        if (got == 0) {
            return error{ECONNRESET, "control socket: pantala has gone away"};
        }
        if (got < 0 && errno != EINTR) {
            return error{errno, fmt::format("control socket: {}", std::strerror(errno))};
        }
        if (got > 0) {
            in_.append(chunk, static_cast<std::size_t>(got));
        }
    }
}

result<json> control_client::wait(
    const std::function<void(const json&)>& on_row,
    const std::function<void(const control_progress&)>& on_progress) {
    for (;;) {
        auto text = line(on_progress);
        if (!text) {
            return text.failure();
        }
        json reply = json::parse(*text, nullptr, false);
        if (!reply.is_object()) {
            return error{EBADMSG, "control socket: a reply is not JSON"};
        }
        if (reply.contains("row")) {
            if (on_row) {
                on_row(reply["row"]);
            }
        } else if (reply.contains("progress") && reply["progress"].is_object()) {
            const json& at = reply["progress"];
            if (on_progress) {
                on_progress(
                    {at.value("what", ""), at.value("done", std::uint64_t{0}),
                     at.value("of", std::uint64_t{0})});
            }
        } else if (reply.contains("done")) {
            return std::move(reply["done"]);
        } else {
            return error{reply.value("code", EPROTO), reply.value("error", "malformed reply")};
        }
    }
}

result<json> control_client::call(
    control_request request, const std::function<void(const json&)>& on_row,
    const std::function<void(const control_progress&)>& on_progress) {
    if (auto sent = post(request); !sent) {
        return sent.failure();
    }
    return wait(on_row, on_progress);
}

} // namespace pantala::app
