// Another `pantala` as a child process: its output goes to a file, it dies with its parent, and it
// is reached by its control socket.
#pragma once

#include "app/control/client.hpp"
#include "engine/base/result.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace pantala::app {

class child {
  public:
    // Runs this very program with `arguments`, plus --socket.
    static result<child> start(
        const std::string& name, const std::string& directory,
        const std::vector<std::string>& arguments);
    child(child&& other) noexcept;
    child& operator=(child&&) = delete;
    ~child(); // stops it: first a request, then SIGTERM, at last SIGKILL

    // Until its control socket answers; `waiting` is called about every 100 ms and ends the wait
    // by returning false. An error carries the end of what the child printed.
    result<void> await_ready(const std::function<bool()>& waiting);
    control_client& control() { return *client_; }
    result<json> ask(const char* name, json args = json::object());
    // A line of the error when it has ended, with the end of its output.
    std::optional<error> ended();
    double cpu_seconds() const; // used so far
    pid_t pid() const { return pid_; }

  private:
    child() = default;
    std::string last_output() const;

    std::string name_;
    std::string socket_;
    std::string log_;
    pid_t pid_ = -1;
    std::optional<control_client> client_;
};

} // namespace pantala::app
