#include "stack/socket/bsd/bsd_ancillary.hpp"

#include "stack/socket/bsd/bsd_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include <netinet/in.h>

namespace pantala::bsd {
namespace {

class control_writer {
  public:
    explicit control_writer(msghdr& message) : message_(message), room_(message.msg_controllen) {
        message_.msg_controllen = 0;
    }
    template <class T>
    void put(int level, int type, const T& value) {
        constexpr std::size_t bytes = CMSG_LEN(sizeof(T));
        if (message_.msg_control == nullptr || room_ < bytes) {
            message_.msg_flags |= MSG_CTRUNC;
            return;
        }
        cmsghdr head{};
        head.cmsg_len = bytes;
        head.cmsg_level = level;
        head.cmsg_type = type;
        auto* at = static_cast<std::byte*>(message_.msg_control) + message_.msg_controllen;
        std::memcpy(at, &head, sizeof head);
        std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
        const std::size_t taken = std::min<std::size_t>(room_, CMSG_SPACE(sizeof(T)));
        message_.msg_controllen += taken;
        room_ -= taken;
    }

  private:
    msghdr& message_;
    std::size_t room_;
};

void write_v4(const ancillary_wishes& wanted, const datagram_head& of, control_writer& to) {
    if (wanted.packet_info) {
        in_pktinfo info{};
        std::memcpy(&info.ipi_addr, of.here.address.data() + 12, 4);
        if (of.from_here) { // else an answer leaves from where the host chooses
            info.ipi_spec_dst = info.ipi_addr;
        }
        to.put(IPPROTO_IP, IP_PKTINFO, info);
    }
    if (wanted.traffic_class) {
        to.put(IPPROTO_IP, IP_TOS, of.traffic_class);
    }
    if (wanted.hop_limit) {
        to.put(IPPROTO_IP, IP_TTL, int{of.hop_limit});
    }
}

void write_v6(const ancillary_wishes& wanted, const datagram_head& of, control_writer& to) {
    if (wanted.packet_info) {
        in6_pktinfo info{};
        std::memcpy(&info.ipi6_addr, of.here.address.data(), 16);
        to.put(IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    if (wanted.traffic_class) {
        to.put(IPPROTO_IPV6, IPV6_TCLASS, int{of.traffic_class});
    }
    if (wanted.hop_limit) {
        to.put(IPPROTO_IPV6, IPV6_HOPLIMIT, int{of.hop_limit});
    }
}

// A whole value of this type is what the piece carries.
template <class T>
bool carries(std::span<const std::byte> data, T& value) {
    if (data.size() != sizeof value) {
        return false;
    }
    std::memcpy(&value, data.data(), sizeof value);
    return true;
}

int read_source(const endpoint& from, std::int64_t interface, datagram_head& out) {
    out.here = from;
    out.from_here = from != any_of(AF_INET) && from != endpoint{};
    return interface != 0 ? ENODEV : 0;
}

// An int of `least` to 255; IPv6's (RFC 3542 6.3, 6.5) also -1: as without it.
int read_mark(int value, int least, bool may_default, std::uint8_t& out) {
    if (may_default && value == -1) {
        return 0;
    }
    if (value < least || value > 255) {
        return EINVAL;
    }
    out = static_cast<std::uint8_t>(value);
    return 0;
}

int read_one4(int type, std::span<const std::byte> data, datagram_head& out) {
    in_pktinfo info;
    int value = 0;
    std::uint8_t octet = 0;
    if (type == IP_PKTINFO && carries(data, info)) {
        endpoint from = any_of(AF_INET);
        std::memcpy(from.address.data() + 12, &info.ipi_spec_dst, 4);
        return read_source(from, info.ipi_ifindex, out);
    }
    if (type == IP_TOS && carries(data, octet)) {
        out.traffic_class = octet;
        return 0;
    }
    if (type == IP_TOS && carries(data, value)) {
        return read_mark(value, 0, false, out.traffic_class);
    }
    return type == IP_TTL && carries(data, value) ? read_mark(value, 1, false, out.hop_limit)
                                                  : EINVAL;
}

int read_one6(int type, std::span<const std::byte> data, datagram_head& out) {
    in6_pktinfo info;
    int value = 0;
    if (type == IPV6_PKTINFO && carries(data, info)) {
        endpoint from;
        std::memcpy(from.address.data(), &info.ipi6_addr, 16);
        return read_source(from, info.ipi6_ifindex, out);
    }
    if (type == IPV6_TCLASS && carries(data, value)) {
        return read_mark(value, 0, true, out.traffic_class);
    }
    return type == IPV6_HOPLIMIT && carries(data, value) ? read_mark(value, 1, true, out.hop_limit)
                                                         : EINVAL;
}

} // namespace

void write_ancillary(const datagram_facts& facts, msghdr& message) {
    control_writer to(message);
    if (facts.domain == AF_INET) {
        write_v4(facts.wishes, facts.head, to);
    } else if (facts.domain == AF_INET6) {
        write_v6(facts.wishes, facts.head, to);
    }
}

int read_ancillary(const msghdr& message, int domain, datagram_head& out) {
    if (message.msg_control == nullptr && message.msg_controllen != 0) {
        return EFAULT;
    }
    const bool v4 = domain == AF_INET;
    std::span rest(static_cast<const std::byte*>(message.msg_control), message.msg_controllen);
    while (rest.size() >= sizeof(cmsghdr)) {
        cmsghdr head;
        std::memcpy(&head, rest.data(), sizeof head);
        if (head.cmsg_len < CMSG_LEN(0) || head.cmsg_len > rest.size() ||
            head.cmsg_level != (v4 ? IPPROTO_IP : IPPROTO_IPV6)) {
            return EINVAL;
        }
        const auto data = rest.first(head.cmsg_len).subspan(CMSG_LEN(0));
        const int wrong =
            v4 ? read_one4(head.cmsg_type, data, out) : read_one6(head.cmsg_type, data, out);
        if (wrong != 0) {
            return wrong;
        }
        rest = rest.subspan(std::min<std::size_t>(rest.size(), CMSG_ALIGN(head.cmsg_len)));
    }
    return 0;
}

} // namespace pantala::bsd
