// The local ports that bound sockets hold, so that two that leave the choice to the host get two.
// Who names a port may share it: whether it is taken is for listen or connect to say.
#pragma once

#include <cstdint>

namespace pantala::bsd {

// A socket's hold on a port; any thread, under the socket's lock.
class port_hold {
  public:
    port_hold() = default;
    ~port_hold() { let_go(); }
    port_hold(const port_hold&) = delete;
    port_hold& operator=(const port_hold&) = delete;

    bool any() const { return port_ != 0; }
    void share(std::uint16_t port);
    bool take_free(std::uint16_t port); // false: somebody holds it
    void let_go();

  private:
    std::uint16_t port_ = 0;
};

} // namespace pantala::bsd
