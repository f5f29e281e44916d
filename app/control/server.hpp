// The control socket's server: no thread of its own; the control thread's poll loop calls it. It
// never blocks, and what a client can make it hold is bounded (protocol.hpp).
#pragma once

#include "app/control/protocol.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

namespace pantala::app {

// What a job writes to its client.
class control_reply {
  public:
    explicit control_reply(std::uint64_t id) : id_(id) {}
    void row(json value) { line("row", std::move(value)); }
    void progress(std::string_view what, std::uint64_t done, std::uint64_t of);
    void done(json value) { line("done", std::move(value)); }
    void fail(const error& failure);
    // A job that sees true returns and is called again when the client has read on.
    bool full() const { return out_.size() >= reply_high_water; }
    std::string& text() { return out_; }
    void id(std::uint64_t request_id) { id_ = request_id; }

  private:
    void line(const char* kind, json value);

    std::uint64_t id_;
    std::string out_;
};

// Work for one request, done in short turns so that no client waits for another's.
class control_job {
  public:
    virtual ~control_job() = default;
    // One turn, about a millisecond at most. A value: the final answer. nullopt: call again.
    virtual result<std::optional<json>> turn(control_reply& reply) = 0;
    // How long the loop may sleep before the next turn.
    virtual unsigned wait_ms() const { return 0; }
};

using job_pointer = std::unique_ptr<control_job>;
// Starts the work of a request. May do it all and answer with `answer(...)`.
using control_handler = std::function<result<job_pointer>(control_request&)>;

// A job whose answer is known.
job_pointer answer(json value);
// A job that sends each element of an array as a row, then `done`.
job_pointer answer_rows(json rows);

class control_server {
  public:
    // Makes the socket (mode 0600) and its directory (0700). Refuses if another server answers on
    // the path; replaces what a dead one left.
    static result<std::unique_ptr<control_server>> open(const std::string& path);
    ~control_server();
    control_server(const control_server&) = delete;
    control_server& operator=(const control_server&) = delete;

    void add(std::string name, control_handler handler);

    // Appends what poll() should watch; `service` then looks at the same number of entries.
    void watch(std::vector<pollfd>& fds) const;
    // How long poll() may sleep at most for the sake of clients, in milliseconds.
    unsigned wait_ms() const;
    // Accepts, reads, gives each job a turn, writes. Does not wait.
    void service(std::uint64_t now_ms);

    const std::string& path() const { return path_; }
    std::size_t clients() const { return clients_.size(); }

  private:
    struct client;

    control_server(std::string path, int listener);
    void accept_clients(std::uint64_t now_ms);
    static void refuse(client& peer);
    bool serve(client& peer, std::uint64_t now_ms);
    bool read_input(client& peer, std::uint64_t now_ms);
    void start_request(client& peer);
    void run_request(client& peer);
    void take_turn(client& peer);
    bool write_output(client& peer, std::uint64_t now_ms);

    static constexpr unsigned deaf_ms = 100;

    std::string path_;
    int listener_;
    std::uint64_t deaf_until_ms_ = 0; // no new clients are taken before; 0: they are
    std::map<std::string, control_handler, std::less<>> handlers_;
    std::vector<std::unique_ptr<client>> clients_;
};

} // namespace pantala::app
