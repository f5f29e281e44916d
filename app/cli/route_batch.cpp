// `route -b`: see run_route_batch.
#include "app/cli/commands.hpp"
#include "app/control/client.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace pantala::app {

namespace {

// Sends lines by the chunk, one request each, and stops at the first that fails.
class batch_sender {
  public:
    explicit batch_sender(control_client& client) : client_(client) {}

    result<void> line(std::string_view text) {
        ++lines_;
        body_ += text;
        body_ += '\n';
        return body_.size() > chunk_bytes ? flush() : result<void>();
    }
    result<void> flush() {
        if (body_.empty()) {
            return {};
        }
        control_request request;
        request.name = "route.batch";
        request.args = {{"first_line", first_line_}, {"applied", applied_}};
        request.body = std::move(body_);
        auto done = client_.call(std::move(request));
        if (!done) {
            return done.failure();
        }
        applied_ = done->value("applied", applied_);
        body_.clear();
        first_line_ = lines_ + 1;
        progress_.show({"routes", applied_, 0});
        return {};
    }
    std::uint64_t applied() const { return applied_; }

  private:
    static constexpr std::size_t chunk_bytes = 256 * 1024;
    control_client& client_;
    std::string body_;
    std::uint64_t lines_ = 0;
    std::uint64_t first_line_ = 1;
    std::uint64_t applied_ = 0;
    progress_line progress_;
};

// The lines of a file, a pipe or a terminal, and when no more are to be had for now.
class batch_lines {
  public:
    explicit batch_lines(int fd) : fd_(fd) {}

    // Hands all lines to the sender. What a pause leaves of a line waits for its rest.
    result<void> send_to(batch_sender& sender) {
        for (;;) {
            if (!more_soon()) {
                if (auto sent = sender.flush(); !sent) {
                    return sent;
                }
            }
            auto got = read_some();
            if (!got) {
                return got.failure();
            }
            if (auto sent = *got != 0 ? take_lines(sender) : take_rest(sender);
                !sent || *got == 0) {
                return sent;
            }
        }
    }

  private:
    static constexpr std::size_t read_bytes = 64 * 1024;
    static constexpr int pause_ms = 5;

    bool more_soon() const {
        pollfd input{fd_, POLLIN, 0};
        return poll(&input, 1, pause_ms) != 0;
    }
    // Waits for it; 0: the end.
    result<std::size_t> read_some() {
        const std::size_t before = text_.size();
        text_.resize(before + read_bytes);
        ssize_t got = -1;
        do {
            got = read(fd_, text_.data() + before, read_bytes);
        } while (got < 0 && errno == EINTR);
        text_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return got < 0 ? error{errno, fmt::format("cannot read the changes: {}", strerror(errno))}
                       : result<std::size_t>(static_cast<std::size_t>(got));
    }
    result<void> take_lines(batch_sender& sender) {
        std::size_t at = 0;
        for (std::size_t end = text_.find('\n'); end != std::string::npos;
             end = text_.find('\n', at)) {
            if (auto sent = sender.line(std::string_view(text_).substr(at, end - at)); !sent) {
                return sent;
            }
            at = end + 1;
        }
        text_.erase(0, at);
        return {};
    }
    result<void> take_rest(batch_sender& sender) {
        auto sent = text_.empty() ? result<void>() : sender.line(text_);
        return sent ? sender.flush() : sent;
    }

    int fd_;
    std::string text_; // behind the last newline
};

int send_batch(const cli_context& context, int fd) {
    auto client = control_client::connect(context.socket_path());
    if (!client) {
        return report(client.failure());
    }
    const auto began = std::chrono::steady_clock::now();
    batch_sender sender(*client);
    if (auto sent = batch_lines(fd).send_to(sender); !sent) {
        return report(sent.failure());
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const json summary = {{"applied", sender.applied()}, {"seconds", seconds}};
    return print_line(
        context.json ? summary.dump()
                     : fmt::format("{} changes in {:.2f} s", sender.applied(), seconds));
}

} // namespace

int run_route_batch(const cli_context& context, const std::string& from) {
    if (from == "-") {
        return send_batch(context, STDIN_FILENO);
    }
    const int fd = open(from.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return report({ENOENT, fmt::format("cannot read {}: {}", from, strerror(errno))});
    }
    const int status = send_batch(context, fd);
    close(fd);
    return status;
}

} // namespace pantala::app
