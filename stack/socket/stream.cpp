#include <pantala/stream.hpp>

#include <cerrno>
#include <utility>

namespace pantala {

struct stream::socket : tcp_socket {
    socket() : tcp_socket(on_event) {}

    static void on_event(tcp_socket& socket, std::uint8_t events);
    bool over() const { return ended || !is_open(); }

    // Goes on with whoever waits; it may destroy this socket.
    static void resume(std::coroutine_handle<>& waiting) {
        if (waiting) {
            std::exchange(waiting, nullptr).resume();
        }
    }
    // More to write, or nothing left of what is written?
    bool push() {
        if (left != nullptr && !ended) {
            *left = left->subspan(write(*left));
        }
        return left == nullptr || left->empty() || over();
    }

    task (*serve)(stream peer) = nullptr; // accepted and not yet served
    std::coroutine_handle<> reader;
    std::coroutine_handle<> writer;
    std::coroutine_handle<> opener;
    std::span<const std::byte>* left = nullptr; // of the write under way
    std::size_t lent = 0;                       // bytes of the last read
    bool opened = false;
    bool ended = false;
    bool* destroyed = nullptr; // set when this dies within on_event
    ~socket() {
        if (destroyed != nullptr) {
            *destroyed = true;
        }
    }
};

void stream::socket::on_event(tcp_socket& plain, std::uint8_t events) {
    auto& self = static_cast<socket&>(plain);
    bool gone = false;
    self.destroyed = &gone;
    self.ended = self.ended || (events & socket_event::closed) != 0;
    self.opened = self.opened || (events & socket_event::connected) != 0;
    if (self.serve != nullptr) {
        auto* begin = std::exchange(self.serve, nullptr);
        begin(stream(std::unique_ptr<socket>(&self)));
    }
    if (!gone && (self.opened || self.ended)) {
        resume(self.opener);
    }
    if (!gone && self.writer && self.push()) {
        resume(self.writer);
    }
    if (!gone && self.reader && (self.readable() > 0 || self.at_end() || self.ended)) {
        resume(self.reader);
    }
    if (!gone) {
        self.destroyed = nullptr;
    }
}

// ---------------------------------------------------------------------------------------------

stream::stream() : socket_(std::make_unique<socket>()) {}
stream::stream(std::unique_ptr<socket> of) : socket_(std::move(of)) {}
stream::stream(stream&& other) noexcept = default;
stream& stream::operator=(stream&& other) noexcept = default;
stream::~stream() = default;

stream::reading stream::read() {
    socket_->consume(std::exchange(socket_->lent, 0));
    return reading(*socket_);
}

stream::writing stream::write(std::span<const std::byte> bytes) {
    return {*socket_, bytes};
}

stream::connecting stream::connect(sockets& here, const endpoint& remote) {
    socket_->opened = socket_->ended = false;
    return {*socket_, here.connect(*socket_, remote)};
}

void stream::shutdown_write() {
    socket_->shutdown_write();
}
void stream::close() {
    socket_->close();
}
bool stream::is_open() const {
    return !socket_->over();
}
int stream::error() const {
    return socket_->error();
}
tcp_socket& stream::plain() {
    return *socket_;
}

tcp_socket* stream::accept(void* serve, sockets&) {
    auto* fresh = new socket; // the coroutine's, as soon as the first event begins it
    fresh->serve = reinterpret_cast<task (*)(stream)>(serve);
    fresh->opened = true;
    return fresh;
}

int stream::listen(
    sockets& here, const endpoint& local, task (*serve)(stream peer), unsigned backlog) {
    return here.listen(local, backlog, {accept, reinterpret_cast<void*>(serve)});
}

// ---------------------------------------------------------------------------------------------

bool stream::reading::await_ready() {
    return socket_.readable() > 0 || socket_.over() || socket_.at_end();
}
void stream::reading::await_suspend(std::coroutine_handle<> waiting) {
    socket_.reader = waiting;
}
std::span<const std::byte> stream::reading::await_resume() {
    const auto piece = socket_.peek();
    socket_.lent = piece.size();
    return piece;
}

bool stream::writing::await_ready() {
    socket_.left = &left_;
    return socket_.push();
}
void stream::writing::await_suspend(std::coroutine_handle<> waiting) {
    socket_.writer = waiting;
}
bool stream::writing::await_resume() {
    socket_.left = nullptr;
    return left_.empty();
}

void stream::connecting::await_suspend(std::coroutine_handle<> waiting) {
    socket_.opener = waiting;
}
int stream::connecting::await_resume() {
    if (failure_ != 0) {
        return failure_;
    }
    return socket_.opened && !socket_.ended ? 0
           : socket_.error() != 0           ? socket_.error()
                                            : ECONNABORTED;
}

} // namespace pantala
