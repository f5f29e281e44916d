#include "stack/socket/bsd/bsd_ancillary.hpp"

#include "stack/socket/bsd/bsd_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

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

// One of sendmsg's, whose data begins at `data`.
int read_one(const cmsghdr& head, const std::byte* data, int domain, endpoint& from) {
    const bool v4 = domain == AF_INET;
    const std::size_t bytes = v4 ? sizeof(in_pktinfo) : sizeof(in6_pktinfo);
    const bool known = v4 ? head.cmsg_level == IPPROTO_IP && head.cmsg_type == IP_PKTINFO
                          : head.cmsg_level == IPPROTO_IPV6 && head.cmsg_type == IPV6_PKTINFO;
    if (!known || head.cmsg_len != CMSG_LEN(bytes)) {
        return EINVAL;
    }
    from = any_of(domain);
    if (v4) {
        in_pktinfo info;
        std::memcpy(&info, data, sizeof info);
        std::memcpy(from.address.data() + 12, &info.ipi_spec_dst, 4);
        return info.ipi_ifindex != 0 ? ENODEV : 0;
    }
    in6_pktinfo info;
    std::memcpy(&info, data, sizeof info);
    std::memcpy(from.address.data(), &info.ipi6_addr, 16);
    return info.ipi6_ifindex != 0 ? ENODEV : 0;
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

int read_ancillary(const msghdr& message, int domain, endpoint& from) {
    if (message.msg_control == nullptr && message.msg_controllen != 0) {
        return EFAULT;
    }
    const auto* at = static_cast<const std::byte*>(message.msg_control);
    std::size_t left = message.msg_controllen;
    while (left >= sizeof(cmsghdr)) {
        cmsghdr head;
        std::memcpy(&head, at, sizeof head);
        if (head.cmsg_len < sizeof head || head.cmsg_len > left) {
            return EINVAL;
        }
        if (const int wrong = read_one(head, at + CMSG_LEN(0), domain, from); wrong != 0) {
            return wrong;
        }
        const std::size_t step = std::min<std::size_t>(left, CMSG_ALIGN(head.cmsg_len));
        at += step;
        left -= step;
    }
    return 0;
}

} // namespace pantala::bsd
