// Sockets of one worker's program: made when there are more than ever before, else used again.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace pantala::app {

template <class Socket>
class socket_pool {
  public:
    // One with nothing open, as its constructor or the last user left it.
    template <class... Arguments>
    Socket& take(Arguments&&... arguments) {
        if (free_.empty()) {
            all_.push_back(std::make_unique<Socket>(std::forward<Arguments>(arguments)...));
            return *all_.back();
        }
        Socket* socket = free_.back();
        free_.pop_back();
        return *socket;
    }
    // It is closed.
    void give(Socket& socket) { free_.push_back(&socket); }

    std::size_t used() const { return all_.size() - free_.size(); }

  private:
    std::vector<std::unique_ptr<Socket>> all_;
    std::vector<Socket*> free_;
};

} // namespace pantala::app
