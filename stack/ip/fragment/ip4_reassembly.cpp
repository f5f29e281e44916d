#include "stack/ip/fragment/ip4_reassembly.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t datagram_bytes_max = 65535;

wire::ipv4_header header_of(const rte_mbuf& packet) {
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(&packet, const void*), sizeof ip);
    return ip;
}

} // namespace

std::uint32_t ip4_reassembly::datagram_key::hash() const {
    const std::uint64_t mixed = (std::uint64_t{source.value.raw()} << 32 ^ destination.value.raw() ^
                                 std::uint64_t{identification.raw()} << 20 ^ protocol) *
                                0x9e3779b97f4a7c15U;
    return static_cast<std::uint32_t>(mixed >> 56);
}

ip4_reassembly::ip4_reassembly(drop_sink& drops)
    : drops_(drops), datagrams_(std::make_unique<datagram[]>(reassembly_datagrams_max)) {
    for (unsigned i = 0; i < reassembly_datagrams_max; ++i) {
        datagrams_[i].hash_next = free_;
        free_ = &datagrams_[i];
    }
}

ip4_reassembly::~ip4_reassembly() {
    while (!oldest_first_.empty()) {
        give_up(oldest_first_.front(), drop_reason::ip4_reassembly_timeout);
    }
}

ip4_reassembly::datagram* ip4_reassembly::find(const datagram_key& key) {
    datagram* at = buckets_[key.hash()];
    while (at != nullptr && at->key != key) {
        at = at->hash_next;
    }
    return at;
}

ip4_reassembly::datagram* ip4_reassembly::begin(const datagram_key& key, instant now) {
    if (free_ == nullptr) {
        // The oldest makes room: a flood of first fragments must not lock others out.
        give_up(oldest_first_.front(), drop_reason::ip4_reassembly_full);
    }
    datagram* fresh = free_;
    free_ = fresh->hash_next;
    fresh->key = key;
    fresh->started = now;
    fresh->received = 0;
    fresh->total = 0;
    fresh->count = 0;
    fresh->hash_next = buckets_[key.hash()];
    buckets_[key.hash()] = fresh;
    oldest_first_.push_back(*fresh);
    ++waiting_;
    return fresh;
}

// Off all lists; its packets went elsewhere.
void ip4_reassembly::end(datagram& which) {
    datagram** link = &buckets_[which.key.hash()];
    while (*link != &which) {
        link = &(*link)->hash_next;
    }
    *link = which.hash_next;
    intrusive_list<datagram>::remove(which);
    which.hash_next = free_;
    free_ = &which;
    --waiting_;
    mbufs_ -= which.count;
}

void ip4_reassembly::give_up(datagram& which, drop_reason reason, rte_mbuf* spared) {
    for (unsigned i = 0; i < which.count; ++i) {
        if (which.pieces[i].packet != spared) {
            drops_.drop(which.pieces[i].packet, reason);
        }
    }
    end(which);
}

rte_mbuf* ip4_reassembly::add(rte_mbuf* fragment, instant now) {
    const wire::ipv4_header ip = header_of(*fragment);
    const std::uint32_t offset = ip.fragment_offset_bytes();
    const std::uint32_t bytes = ip.total_length.host() - ip.header_bytes();
    const std::uint32_t end_offset = offset + bytes;
    // Lengths that no datagram can have; pieces but the last come in units of 8 bytes.
    if (bytes == 0 || end_offset + ip.header_bytes() > datagram_bytes_max ||
        (ip.has_more_fragments() && bytes % 8 != 0)) {
        drops_.drop(fragment, drop_reason::ip4_reassembly_overlap);
        return nullptr;
    }
    const datagram_key key{ip.source, ip.destination, ip.identification, ip.protocol};
    datagram* whole = find(key);
    if (whole == nullptr) {
        if (mbufs_ >= reassembly_mbufs_max) {
            drops_.drop(fragment, drop_reason::ip4_reassembly_full);
            return nullptr;
        }
        whole = begin(key, now);
    }
    piece* const first = whole->pieces.data();
    piece* const last = first + whole->count;
    piece* at =
        std::find_if(first, last, [&](const piece& other) { return other.offset >= offset; });
    if (at != last && at->offset == offset && at->end == end_offset) {
        drops_.drop(fragment, drop_reason::ip4_reassembly_overlap); // a repetition
        return nullptr;
    }
    const bool overlaps =
        (at != last && at->offset < end_offset) || (at != first && (at - 1)->end > offset);
    const bool contradicts = ip.has_more_fragments()
                                 ? whole->total != 0 && end_offset >= whole->total
                                 : whole->total != 0 || at != last;
    if (overlaps || contradicts) {
        drops_.drop(fragment, drop_reason::ip4_reassembly_overlap);
        give_up(*whole, drop_reason::ip4_reassembly_overlap);
        return nullptr;
    }
    if (whole->count == reassembly_fragments_max || mbufs_ >= reassembly_mbufs_max) {
        drops_.drop(fragment, drop_reason::ip4_reassembly_full);
        give_up(*whole, drop_reason::ip4_reassembly_full);
        return nullptr;
    }
    std::copy_backward(at, last, last + 1);
    *at = {offset, end_offset, fragment};
    ++whole->count;
    ++mbufs_;
    whole->received += bytes;
    if (!ip.has_more_fragments()) {
        whole->total = end_offset;
    }
    if (whole->total == 0 || whole->received != whole->total) {
        return nullptr;
    }
    rte_mbuf* packet = join(*whole);
    if (packet == nullptr) {
        give_up(*whole, drop_reason::ip4_reassembly_full);
        return nullptr;
    }
    end(*whole);
    return packet;
}

// All pieces are there, in order. nullptr: more segments than an mbuf may have, or longer than a
// datagram with this header may be; nothing is changed then.
rte_mbuf* ip4_reassembly::join(datagram& which) {
    rte_mbuf* head = which.pieces[0].packet;
    wire::ipv4_header ip = header_of(*head);
    unsigned segments = 0;
    for (unsigned i = 0; i < which.count; ++i) {
        segments += which.pieces[i].packet->nb_segs;
    }
    if (segments > 255 || ip.header_bytes() + which.total > datagram_bytes_max) {
        return nullptr;
    }
    for (unsigned i = 1; i < which.count; ++i) {
        rte_mbuf* next = which.pieces[i].packet;
        rte_pktmbuf_adj(next, static_cast<std::uint16_t>(header_of(*next).header_bytes()));
        rte_pktmbuf_chain(head, next);
    }
    ip.total_length = be16::from(static_cast<std::uint16_t>(ip.header_bytes() + which.total));
    ip.flags_offset = {};
    ip.checksum = {};
    auto* at = rte_pktmbuf_mtod(head, std::uint8_t*);
    std::memcpy(at, &ip, sizeof ip);
    ip.checksum = wire::checksum_of(wire::sum_bytes(at, ip.header_bytes()));
    std::memcpy(at, &ip, sizeof ip);
    return head;
}

void ip4_reassembly::expire(instant now, unsigned budget, mbuf_burst& late) {
    for (; budget > 0 && next_deadline() <= now; --budget) {
        datagram& oldest = oldest_first_.front();
        rte_mbuf* first = nullptr;
        if (oldest.count > 0 && oldest.pieces[0].offset == 0 && !late.full()) {
            first = oldest.pieces[0].packet;
            late.push(first);
        }
        give_up(oldest, drop_reason::ip4_reassembly_timeout, first);
    }
}

instant ip4_reassembly::next_deadline() const {
    auto& list = const_cast<intrusive_list<datagram>&>(oldest_first_);
    return list.empty() ? instant::never() : list.front().started + reassembly_ns;
}

} // namespace pantala
