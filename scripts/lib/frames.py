"""Ethernet frames made and read byte by byte, with nothing but the standard library."""
import ipaddress
import struct

ETHERTYPE_IP4 = 0x0800
ETHERTYPE_ARP = 0x0806
PROTOCOL_ICMP = 1
PROTOCOL_UDP = 17
ARP_REQUEST = 1
ARP_REPLY = 2
ICMP_ECHO_REPLY = 0
ICMP_ECHO = 8
ICMP_TIME_EXCEEDED = 11
FRAME_MIN = 60  # without the FCS
BROADCAST = b"\xff" * 6


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def address(text):
    return ipaddress.IPv4Address(text).packed


def checksum(data):
    """The Internet checksum (RFC 1071) of `data`; 0 where `data` holds its own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, ethertype, payload):
    return (destination + source + struct.pack("!H", ethertype) + payload).ljust(FRAME_MIN, b"\0")


def arp(operation, sender_mac, sender_ip, target_mac, target_ip):
    body = struct.pack("!HHBBH", 1, ETHERTYPE_IP4, 6, 4, operation)
    body += sender_mac + sender_ip + target_mac + target_ip
    return ethernet(BROADCAST if operation == ARP_REQUEST else target_mac, sender_mac, ETHERTYPE_ARP, body)


def ipv4(source, destination, protocol, payload, ttl=64, identification=0):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identification, 0, ttl, protocol, 0)
    head += source + destination
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def echo(kind, identifier, sequence, payload):
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence)
    return head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload


def udp(source, destination, source_port, destination_port, payload):
    length = 8 + len(payload)
    pseudo = source + destination + struct.pack("!BBH", 0, PROTOCOL_UDP, length)
    head = struct.pack("!HHHH", source_port, destination_port, length, 0)
    total = checksum(pseudo + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + payload


class Malformed(Exception):
    """A frame that is not what its headers say."""


class Ethernet:
    def __init__(self, frame):
        if len(frame) < 14:
            raise Malformed("a frame of less than 14 bytes")
        self.destination, self.source = frame[:6], frame[6:12]
        self.ethertype = struct.unpack("!H", frame[12:14])[0]
        self.payload = frame[14:]


class Arp:
    def __init__(self, data):
        if len(data) < 28:
            raise Malformed("an ARP packet of less than 28 bytes")
        kind, protocol, hardware, logical, self.operation = struct.unpack("!HHBBH", data[:8])
        if (kind, protocol, hardware, logical) != (1, ETHERTYPE_IP4, 6, 4):
            raise Malformed("an ARP packet that is not Ethernet and IPv4")
        self.sender_mac, self.sender_ip = data[8:14], data[14:18]
        self.target_mac, self.target_ip = data[18:24], data[24:28]


class Ipv4:
    """A packet whose version, lengths and header checksum are right."""

    def __init__(self, data):
        if len(data) < 20 or data[0] >> 4 != 4:
            raise Malformed("not an IPv4 packet")
        head = (data[0] & 15) * 4
        total, = struct.unpack("!H", data[2:4])
        if head < 20 or not head <= total <= len(data):
            raise Malformed("an IPv4 packet with wrong lengths")
        if checksum(data[:head]):
            raise Malformed("an IPv4 packet with a wrong header checksum")
        self.identification, fragment = struct.unpack("!HH", data[4:8])
        self.fragment = fragment & 0x3FFF
        self.ttl, self.protocol = data[8], data[9]
        self.source, self.destination = data[12:16], data[16:20]
        self.payload = data[head:total]


class Udp:
    """A datagram of `packet` (an Ipv4) whose length and checksum are right."""

    def __init__(self, packet):
        data = packet.payload
        if len(data) < 8:
            raise Malformed("a UDP datagram of less than 8 bytes")
        self.source_port, self.destination_port, length, total = struct.unpack("!HHHH", data[:8])
        if length != len(data):
            raise Malformed("a UDP datagram with a wrong length")
        pseudo = packet.source + packet.destination + struct.pack("!BBH", 0, PROTOCOL_UDP, length)
        if total and checksum(pseudo + data):
            raise Malformed("a UDP datagram with a wrong checksum")
        self.payload = data[8:]


class Icmp:
    """An ICMP message of `packet` (an Ipv4) whose checksum is right."""

    def __init__(self, packet):
        data = packet.payload
        if len(data) < 8 or checksum(data):
            raise Malformed("an ICMP message that is short or has a wrong checksum")
        self.kind, self.code = data[0], data[1]
        self.identifier, self.sequence = struct.unpack("!HH", data[4:8])
        self.payload = data[8:]
