#include "app/control/server.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pantala::app {

void control_reply::line(const char* kind, json value) {
    const json whole = {{"id", id_}, {kind, std::move(value)}};
    out_ += whole.dump(-1, ' ', false, json::error_handler_t::replace);
    out_ += '\n';
}

void control_reply::progress(std::string_view what, std::uint64_t done, std::uint64_t of) {
    line("progress", {{"what", what}, {"done", done}, {"of", of}});
}

void control_reply::fail(const error& failure) {
    const json whole = {{"id", id_}, {"error", failure.text}, {"code", failure.code}};
    out_ += whole.dump(-1, ' ', false, json::error_handler_t::replace);
    out_ += '\n';
}

namespace {

class answer_job final : public control_job {
  public:
    explicit answer_job(json value) : value_(std::move(value)) {}
    result<std::optional<json>> turn(control_reply&) override {
        return std::optional<json>{std::move(value_)};
    }

  private:
    json value_;
};

class rows_job final : public control_job {
  public:
    explicit rows_job(json rows) : rows_(std::move(rows)) {}
    result<std::optional<json>> turn(control_reply& reply) override {
        constexpr std::size_t rows_a_turn = 500;
        const std::size_t stop = std::min(at_ + rows_a_turn, rows_.size());
        while (at_ < stop && !reply.full()) {
            reply.row(std::move(rows_[at_++]));
        }
        return at_ == rows_.size() ? std::optional<json>{{{"rows", at_}}} : std::nullopt;
    }

  private:
    json rows_;
    std::size_t at_ = 0;
};

error system_error(std::string_view what, const std::string& path) {
    const int code = errno;
    return error{code, fmt::format("{} {}: {}", what, path, std::strerror(code))};
}

result<void> make_directory(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) {
        return {};
    }
    const std::string directory = path.substr(0, slash);
    if (mkdir(directory.c_str(), 0700) == 0) {
        return {};
    }
    if (errno != EEXIST) {
        auto failure = system_error("control socket: cannot make", directory);
        failure.text += " (choose another place with --socket PATH)";
        return failure;
    }
    return {};
}

bool somebody_answers(const sockaddr_un& address) {
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool alive =
        probe >= 0 &&
        (connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno == EAGAIN);
    if (probe >= 0) {
        close(probe);
    }
    return alive;
}

// Another user's client could not open the socket (0600); this also stops one that was handed it.
bool may_command(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

// Both sides are shut: nobody will read an answer. Only its own side shut is no reason to go.
bool has_gone(int fd) {
    pollfd look{fd, 0, 0};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR)) != 0;
}

} // namespace

job_pointer answer(json value) {
    return std::make_unique<answer_job>(std::move(value));
}

job_pointer answer_rows(json rows) {
    return std::make_unique<rows_job>(std::move(rows));
}

struct control_server::client {
    int fd = -1;
    std::string in;
    std::size_t sent = 0; // of reply.text()
    control_reply reply{0};
    std::optional<control_request> request; // waiting for its body
    job_pointer job;
    std::uint64_t moved_ms = 0; // when it last read what it was owed, or sent when owed nothing
    bool no_more = false;       // it has shut its side, or is to be closed once its reply is out

    ~client() { close(fd); }
    bool has_output() { return sent < reply.text().size(); }
    // Something can be started without reading more.
    bool has_request() const {
        return request ? in.size() >= request->body_bytes : in.find('\n') != std::string::npos;
    }
};

result<std::unique_ptr<control_server>> control_server::open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return error{
            ENAMETOOLONG, fmt::format(
                              "control socket: '{}' is empty or longer than {} bytes", path,
                              sizeof address.sun_path - 1)};
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (auto made = make_directory(path); !made) {
        return made.failure();
    }
    struct stat there {};
    if (lstat(path.c_str(), &there) == 0) {
        if (!S_ISSOCK(there.st_mode)) {
            return error{EEXIST, fmt::format("control socket: {} exists and is no socket", path)};
        }
        if (somebody_answers(address)) {
            return error{
                EADDRINUSE, fmt::format(
                                "control socket: another pantala answers on {}; stop it, or "
                                "give this one its own with --socket PATH",
                                path)};
        }
        unlink(path.c_str());
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // The mode is set before the name exists, so there is no moment at which others may connect.
    if (fd < 0 || fchmod(fd, 0600) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, 16) != 0) {
        auto failure = system_error("control socket: cannot listen on", path);
        if (fd >= 0) {
            close(fd);
        }
        return failure;
    }
    return std::unique_ptr<control_server>(new control_server(path, fd));
}

control_server::control_server(std::string path, int listener)
    : path_(std::move(path)), listener_(listener) {}

control_server::~control_server() {
    clients_.clear();
    close(listener_);
    unlink(path_.c_str());
}

void control_server::add(std::string name, control_handler handler) {
    handlers_.emplace(std::move(name), std::move(handler));
}

void control_server::watch(std::vector<pollfd>& fds) const {
    fds.push_back({deaf_until_ms_ == 0 ? listener_ : -1, POLLIN, 0}); // poll() skips -1
    for (const auto& peer : clients_) {
        short events = peer->has_output() ? POLLOUT : 0;
        if (!peer->job && !peer->no_more) {
            events |= POLLIN;
        }
        fds.push_back({peer->fd, events, 0});
    }
}

unsigned control_server::wait_ms() const {
    unsigned wait = deaf_until_ms_ == 0 ? 1000 : deaf_ms;
    for (const auto& peer : clients_) {
        if (peer->reply.full()) {
            continue; // until it reads, which poll() tells
        }
        if (peer->job) {
            wait = std::min(wait, peer->job->wait_ms());
        } else if (peer->has_request()) {
            wait = 0;
        }
    }
    return wait;
}

void control_server::service(std::uint64_t now_ms) {
    accept_clients(now_ms);
    std::erase_if(clients_, [&](const auto& peer) { return !serve(*peer, now_ms); });
}

void control_server::accept_clients(std::uint64_t now_ms) {
    if (now_ms < deaf_until_ms_) {
        return;
    }
    deaf_until_ms_ = 0;
    for (unsigned i = 0; i < clients_max; ++i) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            const bool quiet = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
            // No file for it (EMFILE, ENFILE, ENOBUFS): it stays in the queue, and poll() would not
            // stop telling of it.
            deaf_until_ms_ = quiet ? 0 : now_ms + deaf_ms;
            return;
        }
        auto peer = std::make_unique<client>();
        peer->fd = fd;
        peer->moved_ms = now_ms;
        if (!may_command(fd)) {
            continue; // closes it
        }
        if (clients_.size() >= clients_max) {
            refuse(*peer);
            continue;
        }
        clients_.push_back(std::move(peer));
    }
}

// Says why, once and without waiting, to one that is not served.
void control_server::refuse(client& peer) {
    peer.reply.fail(
        {EBUSY, fmt::format("{} clients are being served already: try again", clients_max)});
    const std::string& text = peer.reply.text();
    [[maybe_unused]] const ssize_t put =
        send(peer.fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// False: close it.
bool control_server::serve(client& peer, std::uint64_t now_ms) {
    if (peer.job && has_gone(peer.fd)) {
        return false; // its work is called off
    }
    if (!peer.job && !peer.no_more && !read_input(peer, now_ms)) {
        return false;
    }
    if (!peer.job && !peer.reply.full()) {
        start_request(peer);
    }
    if (peer.job && !peer.reply.full()) {
        take_turn(peer);
    }
    if (!write_output(peer, now_ms)) {
        return false;
    }
    if (peer.no_more && !peer.job && !peer.has_output() && !peer.has_request()) {
        return false;
    }
    const bool owes = peer.has_output() || (!peer.job && (peer.request || !peer.in.empty()));
    return !owes || now_ms - peer.moved_ms < stuck_client_ms;
}

bool control_server::read_input(client& peer, std::uint64_t now_ms) {
    constexpr std::size_t room = request_line_max + request_body_max;
    char chunk[64 * 1024];
    while (peer.in.size() < room) {
        const ssize_t got = recv(peer.fd, chunk, std::min(sizeof chunk, room - peer.in.size()), 0);
        if (got > 0) {
            peer.in.append(chunk, static_cast<std::size_t>(got));
            if (!peer.has_output()) { // talking does not excuse one that does not read
                peer.moved_ms = now_ms;
            }
            continue;
        }
        if (got == 0) {
            peer.no_more = true;
            return true;
        }
        return errno == EAGAIN || errno == EINTR;
    }
    return true;
}

// Takes one request off the input, if it is all there.
void control_server::start_request(client& peer) {
    if (!peer.request) {
        const auto end = peer.in.find('\n');
        if (end == std::string::npos) {
            if (peer.in.size() >= request_line_max) {
                peer.reply.fail({EMSGSIZE, "request: line too long"});
                peer.in.clear();
                peer.no_more = true;
            }
            return;
        }
        auto parsed = parse_request(std::string_view(peer.in).substr(0, end));
        peer.in.erase(0, end + 1);
        if (!parsed) { // nothing after it can be trusted to begin where it should
            peer.reply.id(0);
            peer.reply.fail(parsed.failure());
            peer.in.clear();
            peer.no_more = true;
            return;
        }
        peer.request = std::move(*parsed);
    }
    if (peer.in.size() < peer.request->body_bytes) {
        return;
    }
    peer.request->body = peer.in.substr(0, peer.request->body_bytes);
    peer.in.erase(0, peer.request->body_bytes);
    run_request(peer);
    peer.request.reset();
}

void control_server::run_request(client& peer) {
    peer.reply.id(peer.request->id);
    const auto handler = handlers_.find(peer.request->name);
    if (handler == handlers_.end()) {
        peer.reply.fail(
            {ENOSYS,
             fmt::format("request: '{}' is not known here", peer.request->name.substr(0, 64))});
        return;
    }
    auto started = handler->second(*peer.request);
    if (!started) {
        peer.reply.fail(started.failure());
        return;
    }
    peer.job = std::move(*started);
}

void control_server::take_turn(client& peer) {
    auto outcome = peer.job->turn(peer.reply);
    if (!outcome) {
        peer.reply.fail(outcome.failure());
        peer.job.reset();
    } else if (outcome->has_value()) {
        peer.reply.done(std::move(**outcome));
        peer.job.reset();
    }
}

bool control_server::write_output(client& peer, std::uint64_t now_ms) {
    std::string& out = peer.reply.text();
    while (peer.sent < out.size()) {
        const ssize_t put =
            send(peer.fd, out.data() + peer.sent, out.size() - peer.sent, MSG_NOSIGNAL);
        if (put < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                return false;
            }
            break;
        }
        peer.sent += static_cast<std::size_t>(put);
        peer.moved_ms = now_ms;
    }
    if (peer.sent == out.size() || peer.sent >= reply_high_water) {
        out.erase(0, peer.sent);
        peer.sent = 0;
    }
    return true;
}

} // namespace pantala::app
