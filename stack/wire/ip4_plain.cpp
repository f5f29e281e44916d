#include "stack/wire/ip4_plain.hpp"

#include <algorithm>
#include <cstring>

#include <immintrin.h>

namespace pantala::wire {

// The steps below are the same in every variant; w0 to w4 are the five words of a header as the
// (little-endian) host loads them.
//
//   w0  version and header length in byte 0, total length in bytes 2 and 3
//   w2  time to live in byte 0, checksum in bytes 2 and 3
//   w3  source    w4  destination
//
// Aging: the time to live drops by one, so the 16-bit word that it heads drops by 0x0100 and the
// checksum grows by 0x0100, one's complement, which is 1 in the swapped order of the load:
// w2 - 1 + 0x10000. The end-around carry is due from 0xfffe on, not 0xffff, so that the result is
// never the 0xffff that RFC 1624 section 3 warns of.
namespace {

constexpr std::uint32_t age_step = 0xffff; // -1 in byte 0, +1 in the upper half
constexpr std::uint32_t age_carry_from = 0xfffe0000;
constexpr std::uint32_t age_carry = 0x10000;

std::uint32_t load_word(const std::uint8_t* from) {
    std::uint32_t value = 0;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// 0/8, 127/8 and from 224/8 on are not routed.
constexpr bool routable(std::uint32_t host_order) {
    const std::uint32_t net = host_order >> 24;
    return net - 1 < 223 && net != 127;
}

bool plain(const std::uint8_t* header, std::uint32_t bytes, ip4_plain& out, unsigned at) {
    const std::uint32_t w0 = load_word(header);
    const std::uint32_t w1 = load_word(header + 4);
    const std::uint32_t w2 = load_word(header + 8);
    const std::uint32_t w3 = load_word(header + 12);
    const std::uint32_t w4 = load_word(header + 16);
    const std::uint64_t sum = std::uint64_t{w0} + w1 + w2 + w3 + w4;
    const std::uint64_t folded = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    const std::uint32_t once = static_cast<std::uint32_t>((folded & 0xffff) + (folded >> 16));
    const std::uint32_t total = __builtin_bswap16(static_cast<std::uint16_t>(w0 >> 16));
    const std::uint32_t destination = __builtin_bswap32(w4);
    out.destination[at] = destination;
    out.aged[at] = w2 + age_step + (w2 >= age_carry_from ? age_carry : 0);
    out.total[at] = total;
    // All of it, without a branch for each.
    return static_cast<int>((w0 & 0xff) == 0x45) & static_cast<int>(total >= 20) &
           static_cast<int>(total <= bytes) & static_cast<int>((w2 & 0xff) > 1) &
           static_cast<int>(once == 0xffff) & static_cast<int>(routable(__builtin_bswap32(w3))) &
           static_cast<int>(routable(destination));
}

// A group that the burst does not fill is filled with this: readable, and not plain.
alignas(32) constexpr std::uint8_t no_header[32] = {};

} // namespace

std::uint64_t ip4_plain_scalar(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned first, unsigned last,
    ip4_plain& out) {
    out.begin(first);
    std::uint64_t mask = 0;
    for (unsigned i = first; i < last; ++i) {
        const bool is = plain(header[i], bytes[i], out, i);
        mask |= static_cast<std::uint64_t>(is) << i;
        out.padded |= out.total[i] != bytes[i];
        out.longest = std::max(out.longest, out.total[i]);
        out.total_sum += out.total[i];
    }
    return mask;
}

namespace {

// Lane 0: packet `low`, lane 1: packet `high`; 16 bytes of each from `offset` on.
[[gnu::target("avx2"), gnu::always_inline]] inline __m256i
load_pair(const std::uint8_t* low, const std::uint8_t* high, unsigned offset) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low + offset));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high + offset));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
}

struct words8 {
    __m256i w0, w1, w2, w3, w4;
};

// Packets 0 to 3 in the low lane, 4 to 7 in the high one: after transposing, in order.
[[gnu::target("avx2"), gnu::always_inline]] inline words8
transpose8(const std::uint8_t* const* header) {
    const __m256i a0 = load_pair(header[0], header[4], 0);
    const __m256i a1 = load_pair(header[1], header[5], 0);
    const __m256i a2 = load_pair(header[2], header[6], 0);
    const __m256i a3 = load_pair(header[3], header[7], 0);
    const __m256i low01 = _mm256_unpacklo_epi32(a0, a1);
    const __m256i low23 = _mm256_unpacklo_epi32(a2, a3);
    const __m256i high01 = _mm256_unpackhi_epi32(a0, a1);
    const __m256i high23 = _mm256_unpackhi_epi32(a2, a3);
    const __m256i b01 = _mm256_unpackhi_epi32(
        load_pair(header[0], header[4], 4), load_pair(header[1], header[5], 4));
    const __m256i b23 = _mm256_unpackhi_epi32(
        load_pair(header[2], header[6], 4), load_pair(header[3], header[7], 4));
    return {
        _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
        _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23),
        _mm256_unpackhi_epi64(b01, b23)};
}

[[gnu::target("avx2"), gnu::always_inline]] inline __m256i halves_sum(__m256i words) {
    return _mm256_add_epi32(
        _mm256_and_si256(words, _mm256_set1_epi32(0xffff)), _mm256_srli_epi32(words, 16));
}

[[gnu::target("avx2"), gnu::always_inline]] inline __m256i swap_bytes(__m256i words) {
    const __m256i order = _mm256_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6,
        7, 0, 1, 2, 3);
    return _mm256_shuffle_epi8(words, order);
}

// All ones where the address (host order) is not routed.
[[gnu::target("avx2"), gnu::always_inline]] inline __m256i unroutable(__m256i address) {
    const __m256i net = _mm256_srli_epi32(address, 24);
    const __m256i limit = _mm256_set1_epi32(223);
    const __m256i outside = _mm256_cmpeq_epi32(
        _mm256_min_epu32(_mm256_sub_epi32(net, _mm256_set1_epi32(1)), limit), limit);
    return _mm256_or_si256(outside, _mm256_cmpeq_epi32(net, _mm256_set1_epi32(127)));
}

[[gnu::target("avx2"), gnu::always_inline]] inline void store8(std::uint32_t* to, __m256i words) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
}

// What ip4_plain says of all headers, by lane.
struct lengths8 {
    __m256i longest, sum, padding;
};

[[gnu::target("avx2"), gnu::always_inline]] inline void
add_up(lengths8& lengths, __m256i total, __m256i room) {
    lengths.longest = _mm256_max_epu32(lengths.longest, total);
    lengths.sum = _mm256_add_epi32(lengths.sum, total);
    lengths.padding = _mm256_or_si256(lengths.padding, _mm256_xor_si256(total, room));
}

[[gnu::target("avx2"), gnu::always_inline]] inline void
store_lengths(const lengths8& lengths, ip4_plain& out) {
    alignas(32) std::uint32_t longest[8];
    alignas(32) std::uint32_t sum[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(longest), lengths.longest);
    _mm256_store_si256(reinterpret_cast<__m256i*>(sum), lengths.sum);
    for (unsigned i = 0; i < 8; ++i) {
        out.longest = longest[i] > out.longest ? longest[i] : out.longest;
        out.total_sum += sum[i];
    }
    out.padded |= _mm256_testz_si256(lengths.padding, lengths.padding) == 0;
}

// Eight headers; the result has a bit for each, and elements `at` and the next seven of `out` are
// written.
[[gnu::target("avx2"), gnu::always_inline]] inline unsigned plain8(
    const std::uint8_t* const* header, const std::uint32_t* bytes, ip4_plain& out, unsigned at,
    lengths8& lengths) {
    const auto [w0, w1, w2, w3, w4] = transpose8(header);
    __m256i sum = _mm256_add_epi32(halves_sum(w0), halves_sum(w1));
    sum = _mm256_add_epi32(sum, _mm256_add_epi32(halves_sum(w2), halves_sum(w3)));
    sum = halves_sum(_mm256_add_epi32(sum, halves_sum(w4)));
    const __m256i sum_right = _mm256_cmpeq_epi32(sum, _mm256_set1_epi32(0xffff));

    const __m256i version =
        _mm256_cmpeq_epi32(_mm256_and_si256(w0, _mm256_set1_epi32(0xff)), _mm256_set1_epi32(0x45));
    const __m256i total = _mm256_srli_epi32(swap_bytes(_mm256_srli_epi32(w0, 16)), 16);
    const __m256i room = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i fits = _mm256_cmpeq_epi32(_mm256_min_epu32(total, room), total);
    const __m256i enough = _mm256_cmpgt_epi32(total, _mm256_set1_epi32(19));
    const __m256i lives =
        _mm256_cmpgt_epi32(_mm256_and_si256(w2, _mm256_set1_epi32(0xff)), _mm256_set1_epi32(1));

    const __m256i to = swap_bytes(w4);
    const __m256i wrong = _mm256_or_si256(unroutable(swap_bytes(w3)), unroutable(to));
    const __m256i high = _mm256_srli_epi32(w2, 16);
    const __m256i carries = _mm256_cmpgt_epi32(high, _mm256_set1_epi32(0xfffd));
    const __m256i step = _mm256_add_epi32(w2, _mm256_set1_epi32(age_step));
    const __m256i carry = _mm256_and_si256(carries, _mm256_set1_epi32(age_carry));
    store8(out.destination + at, to);
    store8(out.aged + at, _mm256_add_epi32(step, carry));
    store8(out.total + at, total);
    add_up(lengths, total, room);

    const __m256i right = _mm256_and_si256(
        _mm256_and_si256(_mm256_and_si256(sum_right, version), lives),
        _mm256_and_si256(fits, enough));
    return static_cast<unsigned>(
        _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_andnot_si256(wrong, right))));
}

} // namespace

[[gnu::target("avx2")]] std::uint64_t ip4_plain_avx2(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned first, unsigned end,
    ip4_plain& out) {
    out.begin(first);
    lengths8 lengths{_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    std::uint64_t mask = 0;
    unsigned i = first;
    for (; i + 8 <= end; i += 8) {
        mask |= std::uint64_t{plain8(header + i, bytes + i, out, i, lengths)} << i;
    }
    if (i != end) {
        const std::uint8_t* last[8];
        std::uint32_t room[8] = {};
        for (unsigned j = 0; j < 8; ++j) {
            last[j] = i + j < end ? header[i + j] : no_header;
            room[j] = i + j < end ? bytes[i + j] : 0;
        }
        mask |= std::uint64_t{plain8(last, room, out, i, lengths)} << i;
    }
    store_lengths(lengths, out);
    return mask;
}

ip4_plain_function choose_ip4_plain() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? ip4_plain_avx2 : ip4_plain_scalar;
}

const char* name_of(ip4_plain_function function) {
    return function == ip4_plain_avx2 ? "avx2" : "scalar";
}

} // namespace pantala::wire
