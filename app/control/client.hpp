// The control socket's client side: what the commands other than `run` speak through. Blocking.
#pragma once

#include "app/control/protocol.hpp"
#include "engine/base/result.hpp"

#include <functional>
#include <string>

namespace pantala::app {

struct control_progress {
    std::string what;
    std::uint64_t done = 0;
    std::uint64_t of = 0; // 0: not known
};

class control_client {
  public:
    static result<control_client> connect(const std::string& path);
    control_client(control_client&& other) noexcept;
    control_client& operator=(control_client&&) = delete;
    ~control_client();

    // Sends a request and waits for its end. The value is that of `done`; an error is the
    // server's, or tells how the connection broke. `on_progress` is also called, twice a second,
    // while the server says nothing.
    result<json> call(
        control_request request, const std::function<void(const json&)>& on_row = {},
        const std::function<void(const control_progress&)>& on_progress = {});

    // For many requests under way at once: `call` is `post` and then `wait`.
    result<void> post(control_request& request);
    result<json> wait(
        const std::function<void(const json&)>& on_row = {},
        const std::function<void(const control_progress&)>& on_progress = {});

  private:
    explicit control_client(int fd) : fd_(fd) {}
    void await(const std::function<void(const control_progress&)>& on_silence) const;
    result<std::string_view> line(const std::function<void(const control_progress&)>& on_silence);

    int fd_;
    std::uint64_t next_id_ = 1;
    std::string in_;
    std::size_t taken_ = 0;
};

} // namespace pantala::app
