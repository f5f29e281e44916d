#include "stack/route/fib/fib6_image.hpp"

#include "engine/base/check.hpp"
#include "stack/route/fib/image_memory.hpp"

#include <array>

namespace pantala {

namespace {

constexpr std::uint32_t populate_ahead_lines = 4096; // 256 KiB
constexpr std::uint32_t populate_ahead_lines_small = 64;

} // namespace

result<std::unique_ptr<fib6_image>> fib6_image::make(nexthop_id default_id, bool small) {
    std::unique_ptr<fib6_image> image(new fib6_image);
    image->small_ = small;
    image->mapping_bytes_ = lines_max * line_bytes + huge_page_bytes;
    auto mapping = reserve_memory(image->mapping_bytes_, !small);
    if (!mapping) {
        return mapping.failure();
    }
    image->mapping_ = *mapping;
    image->words_ = reinterpret_cast<std::uint32_t*>(huge_page_above(*mapping));
    touch_pages(image->words_, image->words_ + fib6_roots);
    image->populate(first_leaf + fib6_line_words, 0);
    std::array<std::uint32_t, fib6_line_words> leaf;
    leaf.fill(~std::uint32_t{0});
    std::fill(leaf.begin() + fib6_leaf_runs - 1, leaf.end(), 0);
    leaf[fib6_leaf_runs - 1] = default_id.value;
    image->write_lines(first_leaf, leaf.data(), 1);
    std::array<std::uint32_t, fib6_second> block;
    block.fill(first_leaf << 3);
    image->write_lines(first_block, block.data(), fib6_second / fib6_line_words);
    std::fill_n(image->words_, fib6_roots, first_block);
    return image;
}

fib6_image::~fib6_image() {
    release_memory(mapping_, mapping_bytes_);
}

void fib6_image::populate(std::uint32_t lines, std::uint32_t longs) {
    PANTALA_ASSERT(lines <= lines_max && longs <= fib6_longs_max);
    if (longs > populated_longs_) {
        std::uint32_t* first = words_ + fib6_roots;
        touch_pages(page_above(first + populated_longs_), first + longs);
        populated_longs_ = longs;
    }
    if (lines > populated_lines_) {
        const std::uint32_t ahead = small_ ? populate_ahead_lines_small : populate_ahead_lines;
        const std::uint32_t target = std::min(lines + ahead, lines_max);
        const std::uint32_t from = std::max(populated_lines_, fib6_first_line);
        touch_pages(
            page_above(words_ + std::size_t{from} * fib6_line_words),
            words_ + std::size_t{target} * fib6_line_words);
        populated_lines_ = target;
    }
}

void fib6_image::assign(const fib6_image& other) {
    populate(other.populated_lines_, other.populated_longs_);
    std::memcpy(words_, other.words_, (fib6_roots + other.longs_) * sizeof(std::uint32_t));
    const std::size_t first = std::size_t{fib6_first_line} * fib6_line_words;
    std::memcpy(
        words_ + first, other.words_ + first, (other.lines_ - fib6_first_line) * line_bytes);
    lines_ = other.lines_;
    longs_ = other.longs_;
}

// The directory, the words of long ids and the lines begin on a page each.
std::size_t fib6_image::resident_bytes() const {
    return whole_pages(fib6_roots * sizeof(std::uint32_t)) +
           whole_pages(populated_longs_ * sizeof(std::uint32_t)) +
           whole_pages((populated_lines_ - fib6_first_line) * line_bytes);
}

std::uint64_t fib6_image::hash() const {
    const std::size_t first = std::size_t{fib6_first_line} * fib6_line_words;
    const std::uint64_t hash =
        mix_bytes(longs_, words_, (fib6_roots + longs_) * sizeof(std::uint32_t));
    return mix_bytes(hash, words_ + first, (lines_ - fib6_first_line) * line_bytes);
}

} // namespace pantala
