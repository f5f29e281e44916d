#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/fib/fib4_encoding.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace pantala {

namespace {

constexpr unsigned node_words_max = fib4_allocator::node_units_max;

// Bit i: slot i differs from slot i - 1; bit 0 is always set.
std::uint64_t run_starts(const std::uint16_t* slots) {
#if defined(__AVX512BW__)
    const __m512i low = _mm512_loadu_si512(slots);
    const __m512i high = _mm512_loadu_si512(slots + 32);
    const __m512i high_before = _mm512_loadu_si512(slots + 31);
    alignas(64) std::uint16_t before[32];
    before[0] = 0;
    std::memcpy(before + 1, slots, 31 * sizeof(std::uint16_t));
    const std::uint64_t starts_low = _mm512_cmpneq_epi16_mask(low, _mm512_load_si512(before));
    const std::uint64_t starts_high = _mm512_cmpneq_epi16_mask(high, high_before);
    return starts_low | starts_high << 32 | 1;
#else
    std::uint64_t starts = 1;
    for (unsigned slot = 1; slot < fib4_slots; ++slot) {
        starts |= static_cast<std::uint64_t>(slots[slot] != slots[slot - 1]) << slot;
    }
    return starts;
#endif
}

// The node of 64 slots; returns its units. The tail of the last word is zero.
unsigned encode(
    const std::uint16_t* slots, std::uint64_t starts,
    std::array<std::uint64_t, node_words_max>& node) {
    std::uint16_t values[fib4_slots];
    std::uint16_t ids[fib4_slots];
    unsigned runs = 0;
    unsigned longs = 0;
    bool wide = false;
    for (std::uint64_t left = starts; left != 0; left &= left - 1) {
        const std::uint16_t value = slots[std::countr_zero(left)];
        const bool is_long = (value & fib4_long_flag) != 0;
        wide |= !is_long && value >= fib4_more;
        ids[longs] = value;
        longs += is_long;
        values[runs++] = value;
    }
    const unsigned units = units_for(wide ? wide_bytes(runs) : narrow_bytes(runs, longs));
    std::fill_n(node.begin(), units, 0);
    node[0] = wide ? starts : starts & ~std::uint64_t{1};
    auto* const bytes = reinterpret_cast<std::uint8_t*>(&node[1]);
    if (wide) {
        std::memcpy(bytes, values, wide_bytes(runs));
        return units;
    }
    for (unsigned run = 0; run < runs; ++run) {
        bytes[run] = static_cast<std::uint8_t>(std::min(values[run], fib4_more));
    }
    std::memcpy(bytes + narrow_bytes(runs, 0) + runs % 2, ids, 2 * std::size_t{longs});
    return units;
}
unsigned encode(const std::uint16_t* slots, std::array<std::uint64_t, node_words_max>& node) {
    return encode(slots, run_starts(slots), node);
}

// Of a uniform node (fib4_uniform).
std::uint16_t first_value(const std::uint64_t* node) {
    return static_cast<std::uint16_t>(node[1]);
}

} // namespace

fib4_compiler::fib4_compiler(
    unsigned root_bits, std::uint8_t table, nexthop_id default_id, route_writer& writer,
    std::uint32_t units_max)
    : shape_{root_bits}, table_(table), default_(default_id.value), units_max_(units_max),
      writer_(writer), allocator_(units_max) {}

result<std::unique_ptr<fib4_compiler>> fib4_compiler::make(
    unsigned root_bits, std::uint8_t table, nexthop_id default_id, route_writer& writer,
    std::uint32_t units_max) {
    PANTALA_ASSERT(units_max <= fib4_image::units_max);
    std::unique_ptr<fib4_compiler> made(
        new fib4_compiler(root_bits, table, default_id, writer, units_max));
    auto image = fib4_image::make(root_bits, default_id);
    if (!image) {
        return image.failure();
    }
    made->load({}, std::move(*image));
    return made;
}

// Of a level that is not to be changed nobody writes through what it has.
fib4_compiler::level fib4_compiler::top() const {
    return {
        const_cast<std::uint16_t*>(values_.data()), const_cast<std::uint8_t*>(lengths_.data()), 0,
        shape_.slot_shift()};
}

fib4_compiler::level fib4_compiler::below(std::uint16_t flagged, unsigned shift) const {
    long_block& block = long_at(flagged);
    const std::uint32_t id = flagged & ~fib4_long_flag;
    return {block.values, block.lengths, shape_.roots() + 4 * id, shift - 8};
}

namespace {

// The slot of an address at a level: below the top, 256 slots.
std::uint32_t slot_of(std::uint32_t address, unsigned shift, bool is_top) {
    return is_top ? address >> shift : (address >> shift) & 255;
}

} // namespace

void fib4_compiler::set(const prefix4& prefix, nexthop_id value, bool is_new) {
    PANTALA_DCHECK(prefix.length >= 1 && prefix.length <= 32);
    if (paused_) {
        return;
    }
    change_at(top(), {prefix, value.value, prefix.length, false}, is_new ? 1 : 0);
}

void fib4_compiler::clear(const prefix4& prefix, const fib4_entry& covering) {
    PANTALA_DCHECK(covering.prefix.length < prefix.length);
    if (paused_) {
        return;
    }
    change_at(top(), {prefix, covering.value.value, covering.prefix.length, true}, -1);
}

void fib4_compiler::change_at(level at, const painting& how, int prefixes) {
    const std::uint32_t slot = slot_of(how.prefix.address, at.shift, at.first_word == 0);
    const unsigned slot_length = 32 - at.shift;
    if (how.prefix.length <= slot_length) {
        const std::uint32_t count = std::uint32_t{1} << (slot_length - how.prefix.length);
        paint_range(at, slot, count, how);
        for (std::uint32_t b = slot / fib4_slots; b <= (slot + count - 1) / fib4_slots; ++b) {
            emit(at, b);
        }
        return;
    }
    if (at.lengths[slot] != has_longs) {
        open_long(at, slot);
    }
    change_at(below(at.values[slot], at.shift), how, prefixes); // closes what is within it
    long_block& block = long_at(at.values[slot]);
    block.prefixes += static_cast<std::uint32_t>(prefixes);
    if (block.prefixes == 0) {
        close_long(at, slot);
    } else {
        emit(at, slot / fib4_slots);
    }
}

void fib4_compiler::paint_range(
    level at, std::uint32_t first, std::uint32_t count, const painting& how) {
    for (std::uint32_t slot = first; slot < first + count; ++slot) {
        if (at.lengths[slot] == has_longs) {
            paint_under(at, slot, how);
        } else if (how.applies(at.lengths[slot])) {
            at.values[slot] = how.value;
            at.lengths[slot] = how.length;
        }
    }
}

void fib4_compiler::paint_under(level at, std::uint32_t slot, const painting& how) {
    long_block& block = long_at(at.values[slot]);
    if (how.applies(block.under_length)) {
        block.under = how.value;
        block.under_length = how.length;
    }
    const level inner = below(at.values[slot], at.shift);
    paint_range(inner, 0, long_slots, how);
    for (std::uint32_t b = 0; b < long_slots / fib4_slots; ++b) {
        emit(inner, b);
    }
}

std::uint16_t fib4_compiler::take_long_id() {
    ++longs_used_;
    if (!free_longs_.empty()) {
        const std::uint16_t id = free_longs_.back();
        free_longs_.pop_back();
        return id;
    }
    PANTALA_ASSERT(longs_.size() < fib4_longs_max); // reserve() has asked
    longs_.push_back(std::make_unique<long_block>());
    return static_cast<std::uint16_t>(longs_.size() - 1);
}

void fib4_compiler::open_long(level at, std::uint32_t slot) {
    const std::uint16_t id = take_long_id();
    long_block& block = *longs_[id];
    block.under = at.values[slot];
    block.under_length = at.lengths[slot];
    block.prefixes = 0;
    std::fill_n(block.values, long_slots, block.under);
    std::fill_n(block.lengths, long_slots, block.under_length);
    at.values[slot] = fib4_long_flag | id;
    at.lengths[slot] = has_longs;
    if (!loading_) {
        ensure(0, shape_.roots() + 4 * (id + 1U));
        const level inner = below(at.values[slot], at.shift);
        for (std::uint32_t b = 0; b < long_slots / fib4_slots; ++b) {
            emit(inner, b);
        }
    }
}

// The slot's own node goes out first: then nothing leads to the long block any more.
void fib4_compiler::close_long(level at, std::uint32_t slot) {
    const std::uint16_t id = at.values[slot] & ~fib4_long_flag;
    at.values[slot] = longs_[id]->under;
    at.lengths[slot] = longs_[id]->under_length;
    free_longs_.push_back(id);
    --longs_used_;
    emit(at, slot / fib4_slots);
    for (std::uint32_t b = 0; b < long_slots / fib4_slots; ++b) {
        const std::uint32_t word = shape_.roots() + 4U * id + b;
        const std::uint32_t unit = image_->directory()[word];
        release_node(image_->arena() + unit, unit);
        emit_word(word, 0);
    }
}

// What a node leaves is free for what takes its place: only one that grows takes more (growth_of).
void fib4_compiler::emit(level at, std::uint32_t block) {
    if (loading_) {
        return;
    }
    std::array<std::uint64_t, node_words_max> node;
    const unsigned units = encode(at.values + std::size_t{block} * fib4_slots, node);
    const std::uint32_t word = at.first_word + block;
    const std::uint32_t old_unit = image_->directory()[word];
    const std::uint64_t* old = image_->arena() + old_unit;
    if (fib4_is_uniform(node[0])) {
        const std::uint16_t value = first_value(node.data());
        if (fib4_is_uniform(old[0]) && first_value(old) == value) {
            return;
        }
        release_node(old, old_unit);
        bool fresh = false;
        const std::uint32_t unit = share(value, fresh);
        fresh ? emit_node(word, unit, node.data(), units) : emit_word(word, unit);
        return;
    }
    if (!fib4_is_uniform(old[0]) && units_of(old) == units) {
        if (std::memcmp(old, node.data(), units * sizeof(std::uint64_t)) != 0) {
            emit_node(word, old_unit, node.data(), units);
        }
        return;
    }
    release_node(old, old_unit);
    const std::uint32_t unit = take(units);
    emit_node(word, unit, node.data(), units);
}

void fib4_compiler::emit_node(
    std::uint32_t word, std::uint32_t unit, const std::uint64_t* node, unsigned units) {
    ensure(unit + units, 0);
    image_->write_node(word, unit, node, units);
    std::array<std::uint64_t, node_words_max + 1> body;
    body[0] = unit;
    std::memcpy(&body[1], node, units * sizeof(std::uint64_t));
    writer_.write(
        {static_cast<std::uint16_t>(units + 2), route_op::fib4_node, table_, word}, body.data());
}

void fib4_compiler::emit_word(std::uint32_t word, std::uint32_t unit) {
    image_->write_word(word, unit);
    const std::uint64_t body = unit;
    writer_.write({2, route_op::fib4_dir, table_, word}, &body);
}

void fib4_compiler::release_node(const std::uint64_t* node, std::uint32_t unit) {
    if (fib4_is_uniform(node[0])) {
        unshare(first_value(node));
    } else {
        allocator_.give(unit, units_of(node));
    }
}

std::uint32_t fib4_compiler::share(std::uint16_t value, bool& fresh) {
    if (value == default_) {
        return 0; // always there
    }
    if (value >= shared_.size()) {
        shared_.resize(value + 1U);
    }
    shared_node& node = shared_[value];
    if (node.users++ == 0) {
        node.unit = take(2);
        fresh = true;
    }
    return node.unit;
}

void fib4_compiler::unshare(std::uint16_t value) {
    if (value != default_ && --shared_[value].users == 0) {
        allocator_.give(shared_[value].unit, 2);
    }
}

std::uint32_t fib4_compiler::take(unsigned units) {
    const std::uint32_t unit = allocator_.take(units);
    PANTALA_ASSERT(unit != fib4_allocator::none); // reserve() has asked
    return unit;
}

void fib4_compiler::ensure(std::uint32_t units, std::uint32_t words) {
    if (units <= ready_units_ && words <= ready_words_) {
        return;
    }
    const bool big = shape_.root_bits == fib4_root_bits_main;
    const std::uint32_t units_ahead = big ? std::uint32_t{1} << 13 : 64; // 64 KiB, 512 bytes
    const std::uint32_t words_ahead = big ? 1024 : 64;
    if (units > ready_units_) {
        ready_units_ = std::min(units + units_ahead, units_max_);
    }
    if (words > ready_words_) {
        ready_words_ = std::min(words + words_ahead, shape_.roots() + 4 * fib4_longs_max);
    }
    image_->populate(ready_units_, ready_words_);
    if (populate_) {
        populate_(ready_units_, ready_words_);
    }
}

// Runs are found in parallel; places are given in directory order, so that the image is a function
// of the table alone.
void fib4_compiler::load_image() {
    const std::size_t words = shape_.roots() + 4 * longs_.size();
    const auto slots_of = [this](std::size_t word) -> const std::uint16_t* {
        if (word < shape_.roots()) {
            return values_.data() + word * fib4_slots;
        }
        const std::size_t block = word - shape_.roots();
        return longs_[block / 4]->values + block % 4 * fib4_slots;
    };
    std::vector<std::uint64_t> starts(words);
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, words, 4096),
        [&](const tbb::blocked_range<std::size_t>& range) {
            for (std::size_t word = range.begin(); word < range.end(); ++word) {
                starts[word] = run_starts(slots_of(word));
            }
        });
    std::array<std::uint64_t, node_words_max> node;
    for (std::uint32_t word = 0; word < words; ++word) {
        const std::uint16_t* slots = slots_of(word);
        bool fresh = true;
        const unsigned units = encode(slots, starts[word], node);
        const std::uint32_t unit =
            fib4_is_uniform(node[0]) ? share(*slots, fresh = false) : take(units);
        if (fresh) {
            ensure(unit + units, word + 1);
            image_->write_node(word, unit, node.data(), units);
        } else {
            ensure(0, word + 1);
            image_->write_word(word, unit);
        }
    }
}

void fib4_compiler::prefetch(const prefix4& prefix) const {
    const std::uint32_t slot = prefix.address >> shape_.slot_shift();
    __builtin_prefetch(&values_[slot / fib4_slots * fib4_slots]);
    __builtin_prefetch(&values_[slot / fib4_slots * fib4_slots + 32]);
    __builtin_prefetch(&lengths_[slot], 1);
    const std::uint32_t unit = image_->directory()[slot / fib4_slots];
    __builtin_prefetch(image_->arena() + unit, 1);
}

unsigned fib4_compiler::match_length(std::uint32_t address) const {
    std::uint32_t slot = address >> shape_.slot_shift();
    const std::uint16_t* values = values_.data();
    const std::uint8_t* lengths = lengths_.data();
    for (unsigned shift = shape_.slot_shift(); lengths[slot] == has_longs;) {
        const long_block& block = *longs_[values[slot] & ~fib4_long_flag];
        values = block.values;
        lengths = block.lengths;
        shift -= 8;
        slot = (address >> shift) & 255;
    }
    return lengths[slot];
}

std::size_t fib4_compiler::authority_bytes() const {
    return values_.size() * 3 + longs_.size() * sizeof(long_block);
}

} // namespace pantala
