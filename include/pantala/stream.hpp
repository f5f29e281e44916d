// TCP with coroutines: a stream is a connection whose reads and writes are awaited. A coroutine of
// type `task` runs on the worker of its stream until it waits, and goes on when the worker tells
// the connection's events; it ends by itself, and the stream it owns ends with it.
//
//     task echo(stream peer) {
//         for (auto bytes = co_await peer.read(); !bytes.empty(); bytes = co_await peer.read()) {
//             co_await peer.write(bytes);
//         }
//     }
#pragma once

#include <pantala/sockets.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <span>

namespace pantala {

// Starts at once, frees itself at its end, is awaited by nobody. An exception that leaves it ends
// the program.
struct task {
    struct promise_type {
        task get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

// Owner: one coroutine. One read and one write may be awaited at the same time, by two coroutines.
class stream {
    struct socket;

  public:
    stream();
    stream(stream&& other) noexcept;
    stream& operator=(stream&& other) noexcept;
    ~stream(); // closes

    class reading;
    class writing;
    class connecting;

    // What arrived, where it lies: some bytes, valid until the next read. Empty: the end of the
    // stream, or of the connection (error() says). The bytes of the read before are done with.
    reading read();
    // Takes all of `bytes`, which stay untouched until then; false: the connection is over.
    writing write(std::span<const std::byte> bytes);
    // Opens the stream; 0 or an errno value.
    connecting connect(sockets& here, const endpoint& remote);

    void shutdown_write();
    void close();
    bool is_open() const;
    int error() const;
    tcp_socket& plain(); // for its other settings

    // Accepts connections on this worker, a coroutine for each. 0 or an errno value.
    static int listen(
        sockets& here, const endpoint& local, task (*serve)(stream peer), unsigned backlog = 128);

  private:
    explicit stream(std::unique_ptr<socket> of);
    static tcp_socket* accept(void* serve, sockets& here);

    std::unique_ptr<socket> socket_;
};

class stream::reading {
  public:
    bool await_ready();
    void await_suspend(std::coroutine_handle<> waiting);
    std::span<const std::byte> await_resume();

  private:
    friend class stream;
    explicit reading(socket& of) : socket_(of) {}
    socket& socket_;
};

class stream::writing {
  public:
    bool await_ready();
    void await_suspend(std::coroutine_handle<> waiting);
    bool await_resume();

  private:
    friend class stream;
    writing(socket& of, std::span<const std::byte> bytes) : socket_(of), left_(bytes) {}
    socket& socket_;
    std::span<const std::byte> left_;
};

class stream::connecting {
  public:
    bool await_ready() { return failure_ != 0; }
    void await_suspend(std::coroutine_handle<> waiting);
    int await_resume();

  private:
    friend class stream;
    connecting(socket& of, int failure) : socket_(of), failure_(failure) {}
    socket& socket_;
    int failure_;
};

} // namespace pantala
