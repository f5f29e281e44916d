// A web server on one worker: HTTP/1.1 (RFC 9112) with kept connections and pipelining, answers
// from memory. The parser is libhttp_parser. Owner: its worker.
//
// What a peer can make it hold: a head of at most head_bytes_max, a target of target_bytes_max, no
// request body beyond what lies in the receive buffer, one answer under way a connection (nothing
// is read meanwhile), 16 MiB of answers that are lent, besides the content, and a connection for at
// most `idle` in which it neither asks nor takes any of its answer.
#pragma once

#include "app/host/http_content.hpp"
#include "app/host/socket_pool.hpp"
#include "app/run/worker_program.hpp"
#include "engine/base/intrusive_list.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <http_parser.h>

namespace pantala::app {

inline constexpr std::uint32_t http_head_bytes_max = 8192;
inline constexpr std::size_t http_target_bytes_max = 1024;

struct http_settings {
    std::shared_ptr<const http_content> content;
    endpoint listen;
    unsigned backlog = 4096;
    std::uint64_t idle_ns = 60'000'000'000;
};

class http_server : public worker_program {
  public:
    explicit http_server(http_settings settings);
    ~http_server() override; // on a worker that still is; its connections end
    result<void> start(sockets& here);

    std::uint64_t requests() const { return requests_; }

  private:
    struct conn;
    // What is being sent.
    struct answer {
        const http_response* of = nullptr; // nullptr: nothing
        bool with_body = true;
        std::size_t done = 0; // bytes, head first
    };

    // An answer with this second's date, in one piece that connections share.
    struct prepared {
        const http_response* of = nullptr;
        std::uint64_t date_ns = 0;
        std::string_view text;
        std::unique_ptr<lent_memory> owner; // nullptr: asked for once
    };
    static constexpr std::size_t prepared_bytes_min = 512; // less is copied, several to a buffer
    static constexpr std::size_t prepared_bytes_max = 32'768;
    // Bytes of all that is lent so, also of answers of seconds ago that a peer has not taken yet.
    static constexpr std::size_t prepared_alive_max = std::size_t{16} << 20;

    static tcp_socket* accept(void* self, sockets& here);
    static void on_event(tcp_socket& socket, std::uint8_t events);
    static void each_round(void* self, sockets& here);
    static const http_parser_settings& callbacks();

    void serve(conn& self);
    bool parse(conn& self);
    void begin(conn& self);
    void touch(conn& self);
    void move_behind(conn& self, std::uint64_t since_ns);
    prepared* find_prepared(const http_response& of);
    std::size_t write_begin(conn& self, std::span<const std::string_view> parts);
    bool send(conn& self);
    void linger(conn& self);
    void end(conn& self);
    void set_date(std::uint64_t now_ns);

    sockets* here_ = nullptr; // nullptr: not started
    http_settings settings_;
    lent_memory lent_; // the content's bodies
    http_response bad_request_;
    http_response not_found_;
    http_response not_allowed_;
    socket_pool<conn> conns_;
    intrusive_list<conn> by_age_; // the longest without a sign of life first
    std::uint64_t now_ns_ = 0;
    std::uint64_t date_ns_ = 0;   // when `date_` is to be made anew
    std::array<char, 33> date_{}; // of fixed length, with the empty line behind it
    std::shared_ptr<std::size_t> prepared_alive_ = std::make_shared<std::size_t>(0);
    std::array<prepared, 64> prepared_{}; // by the response's address
    std::uint64_t requests_ = 0;
};

} // namespace pantala::app
