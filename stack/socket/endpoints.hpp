// Between the public form of an endpoint and the stack's.
#pragma once

#include "stack/wire/flow.hpp"

#include <pantala/endpoint.hpp>

#include <cstring>

namespace pantala {

inline ip_endpoint to_internal(const endpoint& of) {
    ip_endpoint result;
    std::memcpy(result.address.words.data(), of.address.data(), of.address.size());
    result.port = l4_port::from(of.port);
    return result;
}

inline endpoint to_public(const ip_address& address, l4_port port) {
    endpoint result;
    std::memcpy(result.address.data(), address.words.data(), result.address.size());
    result.port = port.host();
    return result;
}

} // namespace pantala
