// Passive opens: listeners, the handshake through the SYN cache or cookies, the accept queue.
#pragma once

#include "stack/tcp/input/tcp_input.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;
struct syn_entry;

// A SYN that may reopen a flow in TIME-WAIT (RFC 6191, RFC 9293 3.6.1).
struct reopening {
    tcp_seq above;     // our sequence numbers begin above this one
    bool done = false; // told: it has a half-open connection now
};
// A segment of no known flow. False: nobody listens there (the caller answers with a reset).
// `again`: nullptr, or what it reopens.
bool listen_input(host& h, segment_in& segment, std::uint64_t hash, reopening* again);
// A hard ICMP error about a SYN-ACK of ours.
void listen_icmp(host& h, const flow_key& key, std::uint64_t hash, tcp_seq seq);
// Retransmits or forgets SYN-ACKs that are due, at most `budget`; returns how many.
unsigned listen_expire(host& h, unsigned budget);
// The listener for a segment of `key`: the exact address, then 0.0.0.0 (IPv4), then [::] (both,
// unless it is for IPv6 only).
// no_id: none. One to three lookups, however many listeners there are.
std::uint32_t find_listener(const host& h, const flow_key& key);
// The one on exactly this endpoint. Its hash needs no key: only our own side chooses endpoints.
std::uint32_t listener_at(const host& h, const ip_endpoint& local);
std::uint64_t listener_hash(const ip_endpoint& local);
// Forgets the half-open connections of a listener that closes.
void listen_forget(host& h, std::uint32_t listener);

} // namespace pantala::tcp
