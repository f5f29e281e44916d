// IP options (RFC 791 3.1; what a router does with them: RFC 1812 5.2.4, 5.3.13). Source routes are
// refused, as RFC 1812 5.3.13.1 allows and RFC 7126 advises; record route and timestamp are served;
// the rest is passed on untouched.
#pragma once

#include "stack/ip/ip4_context.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstdint>
#include <span>

namespace pantala {

enum class ip4_options_verdict : std::uint8_t { sound, malformed, source_route };

struct ip4_options_check {
    ip4_options_verdict verdict = ip4_options_verdict::sound;
    std::uint8_t pointer = 0; // malformed: of the octet at fault, counted from the header's start
};

// `header` is the whole header; nothing is changed.
ip4_options_check ip4_check_options(std::span<const std::uint8_t> header);

// Serves the options of a packet that leaves by `out`, and corrects the header's checksum. The
// options were checked. False: a timestamp option that must not grow is full (RFC 791: discard).
bool ip4_forward_options(ip4_context& context, rte_mbuf& packet, iface_id out);

// Options of a fragment that is not the first: those with the copied bit, padded to whole words
// (RFC 791 3.2). Returns their length; `out` has room for 40 bytes.
std::size_t ip4_copied_options(std::span<const std::uint8_t> options, std::uint8_t* out);

} // namespace pantala
