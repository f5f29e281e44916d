// The shape of fib6's trees: leaves that split and merge, lines that are shared, what is written.
#include "stack/route/fib/fib6_compiler.hpp"

#include "engine/base/check.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {

namespace {

constexpr std::uint32_t no_key = ~std::uint32_t{0};

// How full new lines are; fuller when a whole table is compiled.
constexpr std::size_t leaf_fill = 9;
constexpr std::size_t leaf_fill_loading = 10;
constexpr std::size_t inner_fill = 12;
constexpr std::size_t inner_fill_loading = 14;
// Lines with so few are merged with a neighbour, if both together are not fuller than new ones.
constexpr std::size_t leaf_few = 3;
constexpr std::size_t leaf_merged_max = 8;
constexpr std::size_t inner_few = 4;
constexpr std::size_t inner_merged_max = 12;

unsigned children_of(const std::uint32_t* inner) {
    return 1 + static_cast<unsigned>(std::find(inner, inner + fib6_inner_lasts, no_key) - inner);
}

// The last key of one of an inner line's children.
std::uint32_t last_of(const std::uint32_t* inner, unsigned index, std::uint32_t last_of_all) {
    return index < fib6_inner_lasts && inner[index] != no_key ? inner[index] : last_of_all;
}

bool is_uniform(const std::uint32_t* leaf) {
    return leaf[0] == no_key;
}

// Calls each(first, count) for `parts` parts of `size`, alike but for one.
template <class Each>
void for_parts(std::size_t size, std::size_t parts, Each&& each) {
    for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t first = size * part / parts;
        each(first, size * (part + 1) / parts - first);
    }
}

} // namespace

std::uint16_t fib6_compiler::hop_of_tree(std::uint32_t word) const {
    return fib6_reader::hop_of(image_->line(word >> 3), 0);
}

fib6_compiler::path fib6_compiler::descend(const tree& of, std::uint32_t key) const {
    const std::uint32_t word = word_at(of.word);
    path way;
    way.leaf = word >> 3;
    for (unsigned height = word & 7; height != 0; --height) {
        const std::uint32_t* line = image_->line(way.leaf);
        const unsigned index = fib6_reader::interval(line, fib6_inner_lasts, key);
        way.steps[way.depth++] = {way.leaf, way.last, index};
        way.first = index == 0 ? way.first : line[index - 1] + 1;
        way.last = last_of(line, index, way.last);
        way.leaf = line[fib6_inner_lasts] + index;
    }
    return way;
}

fib6_compiler::line_content fib6_compiler::leaf_of(std::span<const interval> intervals) {
    PANTALA_DCHECK(!intervals.empty() && intervals.size() <= fib6_leaf_runs);
    line_content leaf{};
    std::array<std::uint16_t, fib6_leaf_runs + 1> hops{};
    for (std::size_t i = 0; i < fib6_leaf_lasts; ++i) {
        leaf[i] = i + 1 < intervals.size() ? intervals[i].last : no_key;
    }
    for (std::size_t i = 0; i < intervals.size(); ++i) {
        hops[i] = intervals[i].hop;
    }
    std::memcpy(&leaf[fib6_leaf_lasts], hops.data(), sizeof hops);
    return leaf;
}

// Appends a leaf's intervals; equal neighbours become one.
void fib6_compiler::read_leaf(
    const std::uint32_t* leaf, std::uint32_t last, std::vector<interval>& to) {
    for (unsigned run = 0; run < fib6_leaf_runs; ++run) {
        const std::uint16_t hop = fib6_reader::hop_of(leaf, run);
        const bool is_last = run == fib6_leaf_lasts || leaf[run] == no_key;
        if (!to.empty() && to.back().hop == hop) {
            to.pop_back();
        }
        to.push_back({is_last ? last : leaf[run], hop});
        if (is_last) {
            break;
        }
    }
}

fib6_compiler::children fib6_compiler::leaves_of(std::span<const interval> intervals) const {
    const std::size_t fill = loading_ ? leaf_fill_loading : leaf_fill;
    children lines;
    for_parts(
        intervals.size(), (intervals.size() + fill - 1) / fill,
        [&](std::size_t first, std::size_t count) {
            const auto some = intervals.subspan(first, count);
            lines.push_back({some.back().last, leaf_of(some)});
        });
    return lines;
}

fib6_compiler::line_content
fib6_compiler::inner_of(std::span<const child> below, std::uint32_t block) {
    line_content inner;
    inner.fill(no_key);
    for (std::size_t i = 0; i + 1 < below.size(); ++i) {
        inner[i] = below[i].last;
    }
    inner[fib6_inner_lasts] = block;
    return inner;
}

// Puts lines of one height into blocks, and returns the inner lines above them.
fib6_compiler::children fib6_compiler::group(const children& lines) {
    const std::size_t fill = loading_ ? inner_fill_loading : inner_fill;
    children above;
    for_parts(
        lines.size(), (lines.size() + fill - 1) / fill, [&](std::size_t first, std::size_t count) {
            const auto some = std::span(lines).subspan(first, count);
            above.push_back({some.back().last, inner_of(some, write_block(some))});
        });
    return above;
}

// --- leaves ---

// intervals_ is what the leaf should be.
void fib6_compiler::put_leaf(const tree& of, path& at) {
    if (at.depth == 0) {
        put_root_leaf(of);
    } else if (intervals_.size() > fib6_leaf_runs) {
        replace(of, at, at.depth - 1, {at.steps[at.depth - 1].index, 1}, leaves_of(intervals_));
    } else {
        write_line(at.leaf, leaf_of(intervals_));
        if (intervals_.size() <= leaf_few) {
            merge_leaf(of, at);
        }
    }
    give_garbage();
}

// A tree of one leaf.
void fib6_compiler::put_root_leaf(const tree& of) {
    const std::uint32_t before = word_at(of.word);
    const bool was_uniform = is_uniform(image_->line(before >> 3));
    if (intervals_.size() > fib6_leaf_runs) {
        make_tree(of, leaves_of(intervals_), 0);
    } else if (intervals_.size() == 1) {
        if (was_uniform && hop_of_tree(before) == intervals_[0].hop) {
            return;
        }
        write_word(of.word, share_leaf(intervals_[0].hop) << 3);
    } else if (!was_uniform) {
        write_line(before >> 3, leaf_of(intervals_));
        return;
    } else {
        const std::uint32_t line = space_.take_line();
        write_line(line, leaf_of(intervals_));
        write_word(of.word, line << 3);
    }
    release_tree(before);
}

void fib6_compiler::merge_leaf(const tree& of, path& at) {
    const step& above = at.steps[at.depth - 1];
    const std::uint32_t* inner = image_->line(above.line);
    const unsigned count = children_of(inner);
    if (count == 1) {
        return;
    }
    const unsigned left = above.index > 0 ? above.index - 1 : 0;
    const std::uint32_t last = last_of(inner, left + 1, above.last);
    const std::uint32_t* leaf = image_->line(inner[fib6_inner_lasts] + left);
    std::vector<interval> both;
    read_leaf(leaf, inner[left], both);
    read_leaf(leaf + fib6_line_words, last, both);
    if (both.size() <= leaf_merged_max) {
        replace(of, at, at.depth - 1, {left, 2}, {{last, leaf_of(both)}});
    }
}

// --- inner lines ---

// A root above lines of a height, in place of the tree that was there (the caller releases it).
void fib6_compiler::make_tree(const tree& of, children lines, unsigned height) {
    for (; lines.size() > fib6_children; ++height) {
        lines = group(lines);
    }
    const std::uint32_t block = write_block(lines);
    const std::uint32_t root = space_.take_line();
    write_line(root, inner_of(lines, block));
    PANTALA_ASSERT(height < 7);
    write_word(of.word, root << 3 | (height + 1));
}

void fib6_compiler::append_children(
    const std::uint32_t* inner, std::uint32_t last, children& to) const {
    const unsigned count = children_of(inner);
    for (unsigned i = 0; i < count; ++i) {
        child& made = to.emplace_back();
        made.last = last_of(inner, i, last);
        std::memcpy(
            made.line.data(), image_->line(inner[fib6_inner_lasts] + i), fib6_image::line_bytes);
    }
}

// Puts `with` in the place of some children of a line on the way; the line is split or merged as
// need be, and so are those above it.
void fib6_compiler::replace(
    const tree& of, path& at, unsigned depth, child_range which, const children& with) {
    const step& here = at.steps[depth];
    const std::uint32_t* inner = image_->line(here.line);
    children all;
    append_children(inner, here.last, all);
    garbage_blocks_.push_back(inner[fib6_inner_lasts]);
    const auto first = all.begin() + which.first;
    all.insert(all.erase(first, first + which.count), with.begin(), with.end());
    const unsigned height = at.depth - depth; // of this line
    if (all.size() == 1 && depth == 0) {
        collapse(of, all.front().line, height - 1);
        garbage_lines_.push_back(here.line);
    } else if (all.size() <= fib6_children) {
        const std::uint32_t block = write_block(all);
        write_line(here.line, inner_of(all, block));
        if (depth > 0 && all.size() <= inner_few) {
            merge_inner(of, at, depth);
        }
    } else if (depth > 0) {
        replace(of, at, depth - 1, {at.steps[depth - 1].index, 1}, group(all));
    } else {
        make_tree(of, group(all), height);
        garbage_lines_.push_back(here.line);
    }
}

void fib6_compiler::merge_inner(const tree& of, path& at, unsigned depth) {
    const step& above = at.steps[depth - 1];
    const std::uint32_t* parent = image_->line(above.line);
    if (children_of(parent) == 1) {
        return;
    }
    const unsigned left = above.index > 0 ? above.index - 1 : 0;
    const std::uint32_t last = last_of(parent, left + 1, above.last);
    const std::uint32_t* one = image_->line(parent[fib6_inner_lasts] + left);
    const std::uint32_t* other = one + fib6_line_words;
    if (children_of(one) + children_of(other) > inner_merged_max) {
        return;
    }
    children all;
    append_children(one, parent[left], all);
    append_children(other, last, all);
    garbage_blocks_.push_back(one[fib6_inner_lasts]);
    garbage_blocks_.push_back(other[fib6_inner_lasts]);
    const std::uint32_t block = write_block(all);
    replace(of, at, depth - 1, {left, 2}, {{last, inner_of(all, block)}});
}

// The root's only child becomes the root.
void fib6_compiler::collapse(const tree& of, const line_content& only, unsigned height) {
    if (height == 0 && is_uniform(only.data())) {
        write_word(of.word, share_leaf(fib6_reader::hop_of(only.data(), 0)) << 3);
        return;
    }
    const std::uint32_t line = space_.take_line();
    write_line(line, only);
    write_word(of.word, line << 3 | height);
}

// --- places ---

void fib6_compiler::release_tree(std::uint32_t word) {
    const std::uint32_t line = word >> 3;
    if ((word & 7) == 0 && is_uniform(image_->line(line))) {
        unshare_leaf(hop_of_tree(word));
        return;
    }
    garbage_lines_.push_back(line);
    release_below(line, word & 7);
}

void fib6_compiler::release_below(std::uint32_t line, unsigned height) {
    if (height == 0) {
        return;
    }
    const std::uint32_t* inner = image_->line(line);
    const unsigned count = children_of(inner);
    for (unsigned i = 0; i < count; ++i) {
        release_below(inner[fib6_inner_lasts] + i, height - 1);
    }
    garbage_blocks_.push_back(inner[fib6_inner_lasts]);
}

// Once nothing leads to them any more.
void fib6_compiler::give_garbage() {
    for (const std::uint32_t block : garbage_blocks_) {
        space_.give_block(block);
    }
    for (const std::uint32_t line : garbage_lines_) {
        space_.give_line(line);
    }
    garbage_blocks_.clear();
    garbage_lines_.clear();
}

std::uint32_t fib6_compiler::share_leaf(std::uint16_t hop) {
    shared_place& place = leaves_[hop];
    if (place.users++ == 0) {
        place.line = space_.take_line();
        const interval all{no_key, hop};
        write_line(place.line, leaf_of({&all, 1}));
    }
    return place.line;
}

void fib6_compiler::unshare_leaf(std::uint16_t hop) {
    const auto place = leaves_.find(hop);
    if (--place->second.users == 0) {
        garbage_lines_.push_back(place->second.line);
        leaves_.erase(place);
    }
}

std::uint32_t fib6_compiler::share_block(std::uint16_t hop) {
    shared_place& place = blocks_[hop];
    if (place.users++ == 0) {
        place.line = space_.take_block();
        std::array<std::uint32_t, fib6_second> words;
        words.fill(share_leaf(hop) << 3);
        write_lines(place.line, words.data(), fib6_children);
    }
    return place.line;
}

void fib6_compiler::unshare_block(std::uint16_t hop) {
    const auto place = blocks_.find(hop);
    if (--place->second.users == 0) {
        garbage_blocks_.push_back(place->second.line);
        blocks_.erase(place);
        unshare_leaf(hop);
    }
}

// --- writes ---

std::uint32_t fib6_compiler::write_block(std::span<const child> lines) {
    std::array<line_content, fib6_children> block;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        block[i] = lines[i].line;
    }
    const std::uint32_t first = space_.take_block();
    write_lines(first, block.data(), static_cast<unsigned>(lines.size()));
    return first;
}

void fib6_compiler::write_line(std::uint32_t line, const line_content& content) {
    ensure(line + 1, 0);
    if (std::memcmp(image_->line(line), content.data(), fib6_image::line_bytes) != 0) {
        write_lines(line, content.data(), 1);
    }
}

void fib6_compiler::write_lines(std::uint32_t line, const void* from, unsigned lines) {
    constexpr unsigned lines_a_write = 8;
    constexpr unsigned line_words = fib6_image::line_bytes / sizeof(std::uint64_t);
    ensure(line + lines, 0);
    image_->write_lines(line, from, lines);
    const auto* bytes = static_cast<const std::byte*>(from);
    for (unsigned done = 0; done < lines && !loading_; done += lines_a_write) {
        const unsigned some = std::min(lines - done, lines_a_write);
        writer_.write(
            {static_cast<std::uint16_t>(1 + some * line_words), route_op::fib6_lines, table_,
             line + done},
            bytes + done * fib6_image::line_bytes);
    }
}

void fib6_compiler::write_word(std::uint32_t word, std::uint32_t value) {
    if (word_at(word) == value) {
        return;
    }
    image_->write_word(word, value);
    if (!loading_) {
        const std::uint64_t body = value;
        writer_.write({2, route_op::fib6_word, table_, word}, &body);
    }
}

void fib6_compiler::ensure(std::uint32_t lines, std::uint32_t longs) {
    if (lines <= ready_lines_ && longs <= ready_longs_) {
        return;
    }
    constexpr std::uint32_t longs_ahead = 1024; // a page
    const std::uint32_t lines_ahead = table_ == 0 ? 1024 : 48;
    if (lines > ready_lines_) {
        ready_lines_ = std::min(lines + lines_ahead, fib6_image::lines_max);
    }
    if (longs > ready_longs_) {
        ready_longs_ = std::min(longs + longs_ahead, fib6_longs_max);
    }
    image_->populate(ready_lines_, ready_longs_);
    if (populate_ && !loading_) {
        populate_(ready_lines_, ready_longs_);
    }
}

} // namespace pantala
