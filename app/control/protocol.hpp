// The control socket's protocol: lines of JSON over a Unix stream socket.
//
//   request   {"id": N, "do": NAME, "words": [..], "args": {..}, "body": BYTES} \n  then BYTES raw
//   reply     {"id": N, "row": VALUE} \n                       any number, as they are found
//             {"id": N, "progress": {"what": .., "done": D, "of": T}} \n        any number
//             {"id": N, "done": VALUE} \n   or   {"id": N, "error": TEXT, "code": ERRNO} \n
//
// `words`, `args` and `body` may be left out. Requests of one connection are answered in order. All
// that comes from a client is hostile: every length below is checked before memory is taken.
#pragma once

#include "engine/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

using nlohmann::json;

inline constexpr std::size_t request_line_max = 64 * 1024;   // bytes, with the newline
inline constexpr std::size_t request_body_max = 1024 * 1024; // bytes
inline constexpr unsigned request_depth_max = 16;            // brackets inside brackets
inline constexpr std::size_t request_words_max = 480;
inline constexpr std::size_t reply_line_max = 4 * 1024 * 1024; // a client refuses longer ones
inline constexpr unsigned clients_max = 32;
inline constexpr std::size_t reply_high_water = 256 * 1024; // a job pauses above this
inline constexpr std::uint64_t stuck_client_ms = 10'000;    // half a request, or an unread reply

struct control_request {
    std::uint64_t id = 0;
    std::string name;
    std::vector<std::string> words;
    json args = json::object();
    std::size_t body_bytes = 0;
    std::string body;
};

// One request line without its newline. Never throws; the sentence says what is wrong.
result<control_request> parse_request(std::string_view line);
std::string format_request(const control_request& request);

// Where the socket lies unless an option says otherwise: the user's runtime directory.
std::string default_socket_path();

} // namespace pantala::app
