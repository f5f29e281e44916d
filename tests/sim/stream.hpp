// An application at one end of a connection: sends a stream of bytes that its seed determines,
// checks every byte that comes, and behaves as it is told (piece sizes, pauses, how it closes).
#pragma once

#include "engine/random.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <cstdint>
#include <string>

namespace pantala::sim {

struct stream_settings {
    std::uint64_t send_bytes = 0;
    std::uint64_t expect_bytes = 0;
    std::uint64_t send_seed = 1;   // determines the bytes sent
    std::uint64_t expect_seed = 2; // and those expected
    std::uint32_t piece_max = 16'384;
    std::uint32_t read_max = 65'536; // at most this much a round
    std::uint32_t lazy_ppm = 0;      // chance to do nothing in a round
    bool close_at_once = false;      // close as soon as all is sent, not after the peer's end
};

// The byte at a place of the stream with this seed.
inline std::uint8_t stream_byte(std::uint64_t seed, std::uint64_t at) {
    const std::uint64_t mixed = (at + seed * 0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd;
    return static_cast<std::uint8_t>(mixed >> 56 ^ mixed >> 20);
}

class stream {
  public:
    stream(tcp::host& host, tcp::conn_handle handle, const stream_settings& how, std::uint64_t seed)
        : host_(host), handle_(handle), how_(how), random_(seed) {}

    // One round of the application.
    void run();
    // These many bytes of what is to be sent went with the open.
    void began_with(std::size_t bytes) { sent_ += bytes; }
    // What an event said.
    void told(const tcp::event& event);

    // There is something to do without any event: unread bytes, or room for unsent ones.
    bool restless() const;
    std::uint64_t sent() const { return sent_; }
    std::uint64_t received() const { return received_; }
    bool saw_end() const { return saw_end_; }
    bool let_go() const { return let_go_; }
    bool connected() const { return connected_; }
    tcp::conn_error error() const { return error_; }
    tcp::conn_handle handle() const { return handle_; }
    // Empty while all is well; else what went wrong, for the test's message.
    const std::string& fault() const { return fault_; }
    bool complete() const {
        return sent_ == how_.send_bytes && received_ == how_.expect_bytes && saw_end_;
    }

  private:
    void read();
    void write();
    void finish();

    tcp::host& host_;
    tcp::conn_handle handle_;
    stream_settings how_;
    random_source random_;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    bool connected_ = false;
    bool saw_end_ = false;
    bool shut_ = false;
    bool let_go_ = false;
    tcp::conn_error error_ = tcp::conn_error::none;
    std::string fault_;
};

} // namespace pantala::sim
