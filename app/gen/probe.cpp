#include "app/gen/probe.hpp"

namespace pantala::app {

probe_template::probe_template(
    const wire::mac_address& source, const wire::mac_address& next, std::uint32_t source_address)
    : frame_{} {
    frame_.ethernet.destination = next;
    frame_.ethernet.source = source;
    frame_.ethernet.type = be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4));
    frame_.ip.version_ihl = 0x45;
    frame_.ip.time_to_live = probe_ttl;
    frame_.ip.protocol = static_cast<std::uint8_t>(wire::ip_protocol::udp);
    frame_.ip.source = wire::ipv4_address::from(source_address);
    frame_.udp.destination_port = be16::from(probe_l4_port);
    frame_.payload.magic = probe::mark;
    sum_ = wire::sum_ipv4_header20(&frame_.ip);
}

} // namespace pantala::app
