#include "stack/route/fib/fib4_image.hpp"

#include "engine/base/check.hpp"
#include "stack/route/fib/image_memory.hpp"

namespace pantala {

namespace {

constexpr std::uint32_t populate_ahead_units = std::uint32_t{1} << 15; // 256 KiB
constexpr std::uint32_t populate_ahead_units_small = 512;              // a page

std::size_t directory_bytes(fib4_shape shape) {
    return (shape.roots() + std::size_t{4} * fib4_longs_max) * sizeof(std::uint32_t);
}

} // namespace

result<std::unique_ptr<fib4_image>> fib4_image::make(unsigned root_bits, nexthop_id default_id) {
    std::unique_ptr<fib4_image> image(new fib4_image(root_bits));
    const std::size_t directory = directory_bytes(image->shape_);
    const std::size_t bytes = directory + units_max * sizeof(std::uint64_t) + huge_page_bytes;
    const bool big = root_bits == fib4_root_bits_main; // a small table stays small
    result<std::byte*> mapping = reserve_memory(bytes, big);
    if (!mapping) {
        return mapping.failure();
    }
    image->mapping_ = *mapping;
    image->mapping_bytes_ = bytes;
    std::byte* const start = huge_page_above(*mapping);
    image->directory_ = reinterpret_cast<std::uint32_t*>(start);
    image->arena_ = reinterpret_cast<std::uint64_t*>(start + directory);
    image->populate(64, image->shape_.roots());
    const auto uniform = fib4_uniform(default_id.value); // every word points here, to unit 0
    image->write_node(0, 0, uniform.data(), 2);
    image->words_ = image->shape_.roots();
    return image;
}

fib4_image::~fib4_image() {
    release_memory(mapping_, mapping_bytes_);
}

void fib4_image::populate(std::uint32_t units, std::uint32_t words) {
    PANTALA_ASSERT(units <= units_max);
    if (words > populated_words_) {
        touch_pages(page_above(directory_ + populated_words_), directory_ + words);
        populated_words_ = words;
    }
    if (units > populated_units_) {
        const bool big = shape_.root_bits == fib4_root_bits_main;
        const std::uint32_t ahead = big ? populate_ahead_units : populate_ahead_units_small;
        const std::uint32_t target = std::min(units + ahead, units_max);
        touch_pages(page_above(arena_ + populated_units_), arena_ + target);
        populated_units_ = target;
    }
}

void fib4_image::assign(const fib4_image& other) {
    PANTALA_DCHECK(shape_.root_bits == other.shape_.root_bits);
    populate(other.populated_units_, other.populated_words_);
    std::memcpy(directory_, other.directory_, other.words_ * sizeof(std::uint32_t));
    std::memcpy(arena_, other.arena_, other.units_ * sizeof(std::uint64_t));
    words_ = other.words_;
    units_ = other.units_;
    mixed_ = other.mixed_;
}

nexthop_id fib4_image::lookup(std::uint32_t address) const {
    return shape_.root_bits == fib4_root_bits_main ? reader<fib4_root_bits_main>().lookup(address)
                                                   : reader<fib4_root_bits_small>().lookup(address);
}

void fib4_image::lookup(std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
    if (shape_.root_bits == fib4_root_bits_main) {
        reader<fib4_root_bits_main>().lookup(addresses, answers);
    } else {
        reader<fib4_root_bits_small>().lookup(addresses, answers);
    }
}

// Directory and arena begin on a page each.
std::size_t fib4_image::resident_bytes() const {
    return whole_pages(populated_words_ * sizeof(std::uint32_t)) +
           whole_pages(populated_units_ * sizeof(std::uint64_t));
}

std::uint64_t fib4_image::hash() const {
    std::uint64_t hash =
        mix_bytes(0x243f6a8885a308d3ULL, directory_, words_ * sizeof(std::uint32_t));
    return mix_bytes(hash, arena_, units_ * sizeof(std::uint64_t));
}

bool fib4_image::same_bytes(const fib4_image& other) const {
    return words_ == other.words_ && units_ == other.units_ &&
           std::memcmp(directory_, other.directory_, words_ * sizeof(std::uint32_t)) == 0 &&
           std::memcmp(arena_, other.arena_, units_ * sizeof(std::uint64_t)) == 0;
}

} // namespace pantala
