// Between sockaddr and the public endpoint.
#pragma once

#include <pantala/endpoint.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

namespace pantala::bsd {

// Every address of the family, port 0.
inline endpoint any_of(int domain) {
    endpoint any;
    if (domain == AF_INET) {
        any.address[10] = any.address[11] = 0xff;
    }
    return any;
}

// Is it ::ffff:a.b.c.d?
inline bool is_v4(const endpoint& one) {
    const endpoint v4 = any_of(AF_INET);
    return std::equal(one.address.begin(), one.address.begin() + 12, v4.address.begin());
}

// 0 or errno.
inline int read_address(const sockaddr* address, socklen_t length, int domain, endpoint& out) {
    if (address == nullptr) {
        return EFAULT;
    }
    if (length < sizeof(sa_family_t)) {
        return EINVAL;
    }
    if (address->sa_family != domain) {
        return EAFNOSUPPORT;
    }
    out = any_of(domain);
    if (domain == AF_INET) {
        sockaddr_in in;
        if (length < sizeof in) {
            return EINVAL;
        }
        std::memcpy(&in, address, sizeof in);
        std::memcpy(out.address.data() + 12, &in.sin_addr, 4);
        out.port = static_cast<std::uint16_t>(__builtin_bswap16(in.sin_port));
        return 0;
    }
    sockaddr_in6 in;
    if (length < sizeof in) {
        return EINVAL;
    }
    std::memcpy(&in, address, sizeof in);
    std::memcpy(out.address.data(), &in.sin6_addr, 16);
    out.port = static_cast<std::uint16_t>(__builtin_bswap16(in.sin6_port));
    return 0;
}

// As accept and getsockname do: cut to `*length`, which then says how long it would be.
inline void write_address(const endpoint& from, int domain, sockaddr* address, socklen_t* length) {
    if (address == nullptr || length == nullptr) {
        return;
    }
    const auto put = [&](const auto& made) {
        std::memcpy(address, &made, std::min<std::size_t>(*length, sizeof made));
        *length = sizeof made;
    };
    if (domain == AF_INET) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = __builtin_bswap16(from.port);
        std::memcpy(&in.sin_addr, from.address.data() + 12, 4);
        return put(in);
    }
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = __builtin_bswap16(from.port);
    std::memcpy(&in.sin6_addr, from.address.data(), 16);
    put(in);
}

} // namespace pantala::bsd
