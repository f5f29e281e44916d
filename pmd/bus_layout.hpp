// The bytes of a native bus file, version 1.
//
// A bus is a file of fixed geometry that every attached process maps. Up to `nodes` peers ("nodes")
// have a slot each. All integers are little-endian and naturally aligned; N, L, G stand for
// `nodes`, `lanes` and `logs` of the header.
//
//   from                     bytes         what
//   0x0000                   4096          header: identity, geometry, epoch
//   nodes_offset             N * 512       node entries
//   controls_offset          N * G * 256   log controls: node-major, then log number
//   cursors_offset           N * N * G * 64  cursors: reading node, writing node, log number
//   data_offset (2 MiB up)   N * node_bytes  data areas, cut into logs by their owners
//
// Header (written once, before the file gets its name; then only `epoch` changes):
//   0x00  8  magic        "PANTALA\x01"
//   0x08  4  version      1
//   0x0c  4  header_bytes 4096
//   0x10  4  nodes        1..64
//   0x14  4  lanes        1..64, a power of two
//   0x18  4  logs         lanes..64, a multiple of lanes
//   0x1c  4  align        64: records begin at multiples of it
//   0x20  8  node_bytes   64 KiB * logs .. 4 GiB, a power of two
//   0x28  8  file_bytes   the size of the whole file
//   0x30  8  created_ns   CLOCK_REALTIME at creation
//   0x38  8  bus_id       random; tells one bus at a path from the next
//   0x40  8  check        FNV-1a of the bytes 0x00..0x3f
//   0x80  4  epoch        +1 whenever a node starts or stops; a hint to look at the node entries
//
// Node entry (`self` is written by the slot's owner only):
//   0x000  4  incarnation  new each time the node starts; names its logs' contents
//   0x004  4  state        0 free, 1 stopped, 2 started
//   0x008  2  tx_queues    1..logs/lanes; the node's data area holds tx_queues * lanes logs
//   0x00a  2  rx_queues    1..lanes
//   0x00c  2  wants        bit 0: wants flow hashes; bit 1: writers must fence before the bell
//   0x00e  2  mtu          for people
//   0x010  6  mac          for people
//   0x018  4  pid          for people
//   0x020  8  since_ns     CLOCK_REALTIME of the last join, start, stop or leave
//   0x028  32 name         NUL-padded; for people
//   0x080  8  armed        bit l: the reader of lane l sleeps and wants to be rung (owner)
//   0x088  4  arm_count    +1 each time the owner arms (owner)
//   0x100  8  rung         lanes that were rung for (any node ORs, the owner takes)
//   0x108  4  rings        +1 a ring; the futex the owner sleeps on (any node)
//
// Log control (owner writes):
//   0x00  8  head         position after the last whole frame
//   0x80  8  reserve      the owner may be writing anywhere below this position
//   0x88  4  incarnation  as in the node entry; 0 while the log is being made
//
// Logs. Log number q * L + l carries what transmit queue q sends in lane l. The owner's data area
// holds them in that order, each log_bytes long: the largest power of two not above
// node_bytes / (tx_queues * L). A *position* counts bytes since the start of the incarnation and
// never wraps; the byte at position p lies at p mod log_bytes. A log is cut into 8 chunks. Records
// never cross a chunk's end, so every chunk begins with a record. Before the owner writes into a
// chunk it sets `reserve` to the chunk's end. So the bytes from reserve - log_bytes up to head are
// intact, and a reader that finds its position below that was overrun.
//
// Record: 32-byte header, frame, padding to a multiple of 64:
//   0x00  4  length       of the frame (no FCS); of a pad record: of the whole record
//   0x04  2  flags        see record_flag
//   0x06  2  tag          low 16 bits of the incarnation
//   0x08  4  hash         symmetric flow hash, where flag has_hash is set
//   0x0c  4  sequence     number of this frame in its log, from 0; pads carry none
//   0x10  8  time_ns      CLOCK_REALTIME at transmission
//   0x18  8  0            room for what may come (checksums and large segments left to the reader)
//
// A reader drops and counts a frame with a flag that it does not know.
//
// Cursor (reading node writes), 8 bytes: bits 0..47 the low bits of the position up to which it has
// read, bits 48..63 the low bits of the incarnation it reads. Lossless writers wait for it; that it
// moves is also its heartbeat.
//
// Who is alive: a node holds an open-file-description lock on its slot's byte, lock_offset + slot.
// The kernel drops it when the process dies, however it dies. Nobody ever waits for such a lock.
//
// Trust: a peer can write every byte of the file. Whoever reads a field checks it before using it,
// keeps what it needs of its own state in private memory, and never reads that back.
#pragma once

#include "engine/base/cache_line.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pantala::bus {

inline constexpr std::array<char, 8> bus_magic = {'P', 'A', 'N', 'T', 'A', 'L', 'A', '\x01'};
inline constexpr std::uint32_t bus_version = 1;
inline constexpr std::uint32_t header_bytes = 4096;
inline constexpr std::uint32_t record_align = 64;
inline constexpr std::uint32_t nodes_max = 64;
inline constexpr std::uint32_t lanes_max = 64;
inline constexpr std::uint32_t logs_max = 64;
inline constexpr std::uint32_t chunks_per_log = 8;
inline constexpr std::uint64_t log_bytes_min = 64 * 1024;
inline constexpr std::uint64_t node_bytes_max = std::uint64_t{4} << 30;
inline constexpr std::uint64_t data_align = 2 * 1024 * 1024;
inline constexpr std::uint64_t lock_offset = std::uint64_t{1} << 40; // beyond any data

struct bus_header {
    std::array<char, 8> magic;
    std::uint32_t version;
    std::uint32_t header_bytes;
    std::uint32_t nodes;
    std::uint32_t lanes;
    std::uint32_t logs;
    std::uint32_t align;
    std::uint64_t node_bytes;
    std::uint64_t file_bytes;
    std::uint64_t created_ns;
    std::uint64_t bus_id;
    std::uint64_t check;
    std::array<char, 0x38> unused;
    std::atomic<std::uint32_t> epoch;
};
static_assert(offsetof(bus_header, node_bytes) == 0x20 && offsetof(bus_header, check) == 0x40);
static_assert(offsetof(bus_header, epoch) == 0x80);

enum class node_state : std::uint32_t { free = 0, stopped = 1, started = 2 };

inline constexpr std::uint16_t wants_hash = 1;
inline constexpr std::uint16_t wants_fence = 2;

struct node_entry {
    // The owner writes these when it joins, starts and stops.
    std::atomic<std::uint32_t> incarnation;
    std::atomic<std::uint32_t> state;
    std::atomic<std::uint16_t> tx_queues;
    std::atomic<std::uint16_t> rx_queues;
    std::atomic<std::uint16_t> wants;
    std::uint16_t mtu;
    std::array<std::uint8_t, 6> mac;
    std::array<std::uint8_t, 2> unused0;
    std::uint32_t pid;
    std::uint32_t unused1;
    std::uint64_t since_ns;
    std::array<char, 32> name;
    // The owner writes these before it sleeps; every writer reads them once a burst.
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> armed;
    std::atomic<std::uint32_t> arm_count;
    // Whoever rings writes these.
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> rung;
    std::atomic<std::uint32_t> rings;
    alignas(sharing_range_bytes) std::array<char, 128> unused2;
};
static_assert(sizeof(node_entry) == 512 && offsetof(node_entry, name) == 0x28);
static_assert(offsetof(node_entry, armed) == 0x80 && offsetof(node_entry, rung) == 0x100);

struct log_control {
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> head;    // stored once a burst
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> reserve; // stored once a chunk
    std::atomic<std::uint32_t> incarnation;
};
static_assert(sizeof(log_control) == 256 && offsetof(log_control, reserve) == 0x80);

struct alignas(cache_line_bytes) shared_word {
    std::atomic<std::uint64_t> value;
};
static_assert(sizeof(shared_word) == 64);

namespace record_flag {
inline constexpr std::uint16_t pad = 1;      // no frame: go on behind it
inline constexpr std::uint16_t has_hash = 2; // `hash` is set
inline constexpr std::uint16_t known = pad | has_hash;
} // namespace record_flag

struct record_header {
    std::uint32_t length;
    std::uint16_t flags;
    std::uint16_t tag;
    std::uint32_t hash;
    std::uint32_t sequence;
    std::uint64_t time_ns;
    std::uint64_t unused;
};
static_assert(sizeof(record_header) == 32 && offsetof(record_header, unused) == 0x18);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t power_of_two) {
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

// A cursor word for a position in a log of an incarnation.
inline constexpr std::uint64_t cursor_mask = (std::uint64_t{1} << 48) - 1;
constexpr std::uint64_t cursor_word(std::uint64_t position, std::uint32_t incarnation) {
    return (position & cursor_mask) | std::uint64_t{incarnation} << 48;
}

// Bytes that a frame takes in a log.
constexpr std::uint64_t record_bytes(std::uint32_t frame_bytes) {
    return round_up(sizeof(record_header) + std::uint64_t{frame_bytes}, record_align);
}

// The fixed shape of a bus, as its creator chose it.
struct geometry {
    std::uint32_t nodes = 16;
    std::uint32_t lanes = 8;
    std::uint32_t logs = 64;
    std::uint64_t node_bytes = std::uint64_t{16} << 20;

    bool operator==(const geometry&) const = default;

    // Every bound named at the top of this file. True of any geometry that the functions below get.
    constexpr bool valid() const {
        return nodes >= 1 && nodes <= nodes_max && lanes >= 1 && lanes <= lanes_max &&
               std::has_single_bit(lanes) && logs >= lanes && logs <= logs_max &&
               logs % lanes == 0 && std::has_single_bit(node_bytes) &&
               node_bytes >= log_bytes_min * std::bit_ceil(logs) && node_bytes <= node_bytes_max;
    }

    constexpr std::uint64_t nodes_offset() const { return header_bytes; }
    constexpr std::uint64_t controls_offset() const {
        return nodes_offset() + sizeof(node_entry) * nodes;
    }
    constexpr std::uint64_t cursors_offset() const {
        return controls_offset() + sizeof(log_control) * nodes * logs;
    }
    constexpr std::uint64_t shared_bytes() const { // all but the data areas
        return cursors_offset() + sizeof(shared_word) * nodes * nodes * logs;
    }
    constexpr std::uint64_t data_offset() const { return round_up(shared_bytes(), data_align); }
    constexpr std::uint64_t file_bytes() const { return data_offset() + node_bytes * nodes; }

    constexpr std::uint32_t tx_queues_max() const { return logs / lanes; }
    // tx_queues: 1..tx_queues_max().
    constexpr std::uint64_t log_bytes(std::uint32_t tx_queues) const {
        return std::bit_floor(node_bytes / (std::uint64_t{tx_queues} * lanes));
    }
    // The longest frame that fits whatever number of queues its sender has.
    constexpr std::uint32_t frame_bytes_max() const {
        const std::uint64_t chunk = log_bytes(tx_queues_max()) / chunks_per_log;
        const std::uint64_t most = chunk - sizeof(record_header);
        return static_cast<std::uint32_t>(most < 65535 ? most : 65535);
    }
};
static_assert(geometry{}.valid());

// Pointers into a mapped bus; every index is the caller's to bound.
struct bus_map {
    std::uint8_t* base = nullptr;
    geometry shape;

    bus_header& header() const { return *reinterpret_cast<bus_header*>(base); }
    node_entry& node(std::uint32_t slot) const {
        return reinterpret_cast<node_entry*>(base + shape.nodes_offset())[slot];
    }
    log_control& control(std::uint32_t slot, std::uint32_t log) const {
        const std::uint64_t index = std::uint64_t{slot} * shape.logs + log;
        return reinterpret_cast<log_control*>(base + shape.controls_offset())[index];
    }
    shared_word& cursor(std::uint32_t reader, std::uint32_t writer, std::uint32_t log) const {
        const std::uint64_t index =
            (std::uint64_t{reader} * shape.nodes + writer) * shape.logs + log;
        return reinterpret_cast<shared_word*>(base + shape.cursors_offset())[index];
    }
    std::uint8_t* data(std::uint32_t slot) const {
        return base + shape.data_offset() + shape.node_bytes * slot;
    }
};

// The header's check sum: FNV-1a over its first 64 bytes.
constexpr std::uint64_t fnv1a(const char* bytes, std::size_t count) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (std::size_t i = 0; i < count; ++i) {
        sum = (sum ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3;
    }
    return sum;
}

} // namespace pantala::bus
