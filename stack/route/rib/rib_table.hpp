// One table of one family: its prefixes, the routes of each, and the compiler. rib_table4 and
// rib_table6 have the same members, so that the RIB's code is written once for both. Private to
// stack/route/rib. Owner: control.
#pragma once

#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/fib/fib6_compiler.hpp"
#include "stack/route/index/prefix_index4.hpp"
#include "stack/route/index/prefix_map4.hpp"
#include "stack/route/index/prefix_trie6.hpp"
#include "stack/route/rib.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace pantala {

// One of the routes of a prefix.
struct candidate {
    std::uint32_t metric = 0;
    route_protocol protocol = route_protocol::boot;
    nexthop_id hop{};
};
using candidates = std::vector<candidate>; // by metric, each once

// The routes of prefixes that have not just one of their protocol's metric; entries' `more` says
// where.
class route_choices {
  public:
    bool empty() const { return lists_.size() == 1 + free_.size(); }
    const candidates& at(std::uint32_t more) const { return lists_[more]; }
    // Puts the list where `more` says, or in a new place where that is 0.
    void put(std::uint32_t& more, candidates list) {
        if (more == 0 && free_.empty()) {
            more = static_cast<std::uint32_t>(lists_.size());
            lists_.emplace_back();
        } else if (more == 0) {
            more = free_.back();
            free_.pop_back();
        }
        lists_[more] = std::move(list);
    }
    void drop(std::uint32_t& more) {
        if (more != 0) {
            lists_[more].clear();
            free_.push_back(more);
            more = 0;
        }
    }

  private:
    std::vector<candidates> lists_{1}; // 0 is unused
    std::vector<std::uint32_t> free_;
};

struct rib_table4 {
    using prefix = prefix4;
    using address = std::uint32_t;
    using entry = rib_entry4;
    using image = fib4_image;
    using image_set = std::vector<std::unique_ptr<image>>;

    rib_table4(unsigned of, nexthop_id of_default)
        : number(of), default_id(of_default), index(of == 0) {}
    // Errors: ENOMEM.
    result<void> make_compiler(route_writer& writer, fib4_compiler::populate_hook populate);

    void prefetch(const prefix4& of) const { map.prefetch(of); }
    entry* find(const prefix4& of) { return map.find(of); }
    const entry* find(const prefix4& of) const { return map.find(of); }
    // The longest prefix that covers an address, of 1 to below - 1 bits; nullptr: none. Dead or
    // not.
    const entry* longest(std::uint32_t host, unsigned below = 33) const;
    // The longest that covers a prefix and is not itself.
    const entry* cover(const prefix4& of) const { return longest(of.address, of.length); }
    entry& insert(const prefix4& of) {
        if (of.length != 0) {
            index.add(of);
        }
        return map.insert(of);
    }
    void erase(entry* gone) {
        if (gone->length != 0) {
            index.remove(gone->prefix());
        }
        map.erase(gone);
    }
    std::size_t size() const { return map.size(); }
    void reserve_entries(std::size_t entries) { map.reserve(entries); }
    template <class Each>
    void for_each(Each&& each) {
        map.for_each(each);
    }
    // Appends some of the prefixes from `from` on, in order; returns where to go on.
    std::optional<prefix4>
    walk(const prefix4& from, std::size_t count, std::vector<prefix4>& out) const;
    // The same of `top` and what it covers.
    std::optional<prefix4> walk_in(
        const prefix4& top, const prefix4& from, std::size_t count,
        std::vector<prefix4>& out) const;

    // The difference of a change that the map already has. Not for length 0.
    void compile(const prefix4& of, nexthop_id hop, bool is_new) { compiler->set(of, hop, is_new); }
    void compile_out(const prefix4& gone);
    // What is there may change and go, though nothing new has room any more. `wide_hops`: there
    // may be next hops of two bytes.
    result<void> reserve(const prefix4& of, bool wide_hops) const {
        return reserve(std::span(&of, 1), wide_hops);
    }
    result<void> reserve(std::span<const prefix4> all, bool wide_hops) const {
        const result<void> room = compiler->reserve(all);
        const bool there = !room.ok() && std::ranges::all_of(all, [this](const prefix4& each) {
            return find(each) != nullptr;
        });
        return there ? compiler->reserve(all, true, wide_hops) : room;
    }
    result<void> reserve_again(const prefix4& of) const { return compiler->reserve(of); }
    result<void> reserve_out(const prefix4& of) const { return compiler->reserve(of, true); }
    // Whether all of it, and as many prefixes more, is sure to fit an image that is compiled anew.
    bool may_rebuild(std::size_t more_prefixes) const {
        return size() + more_prefixes <= fib4_compiler::load_max;
    }
    result<std::unique_ptr<image>> make_image() const; // an empty one; errors: ENOMEM
    void compile_all(std::unique_ptr<image> into);
    const image& master() const { return compiler->image(); }

    unsigned number;
    nexthop_id default_id; // the next hop where no prefix of a bit or more matches
    prefix_map4 map;       // with length 0
    prefix_index4 index;   // without
    std::unique_ptr<fib4_compiler> compiler;
    route_choices more;
};

struct rib_table6 {
    using prefix = prefix6;
    using address = address6;
    using entry = rib_entry6;
    using image = fib6_image;
    using image_set = std::vector<std::unique_ptr<image>>;

    rib_table6(unsigned of, nexthop_id of_default) : number(of), default_id(of_default) {}
    result<void> make_compiler(route_writer& writer, fib4_compiler::populate_hook populate);

    void prefetch(const prefix6&) const {} // a trie's nodes are found one by one
    entry* find(const prefix6& of) { return trie.find(of); }
    const entry* find(const prefix6& of) const { return trie.find(of); }
    const entry* longest(const address6& host, unsigned below = 129) const {
        const entry* found = below > 0 ? trie.match(host, std::min(below - 1, 128U)) : nullptr;
        return found != nullptr && found->length != 0 ? found : nullptr;
    }
    const entry* cover(const prefix6& of) const { return longest(of.address, of.length); }
    entry& insert(const prefix6& of) { return trie.insert(of); }
    void erase(entry* gone) { trie.erase(gone); }
    std::size_t size() const { return trie.size(); }
    void reserve_entries(std::size_t entries) { trie.reserve(entries); }
    template <class Each>
    void for_each(Each&& each) {
        trie.for_each(each);
    }
    std::optional<prefix6>
    walk(const prefix6& from, std::size_t count, std::vector<prefix6>& out) const;
    std::optional<prefix6> walk_in(
        const prefix6& top, const prefix6& from, std::size_t count,
        std::vector<prefix6>& out) const;

    void compile(const prefix6& of, nexthop_id, bool is_new) {
        compiler->changed(of, is_new ? 1 : 0);
    }
    void compile_out(const prefix6& gone) { compiler->changed(gone, -1); }
    // What is there has room to change and to go.
    result<void> reserve(const prefix6& of, bool) const {
        const entry* there = trie.find(of);
        return there != nullptr && !there->out ? result<void>{} : compiler->reserve(of);
    }
    result<void> reserve(std::span<const prefix6> all, bool) const; // the same of several
    // Of what is there, but out.
    result<void> reserve_again(const prefix6& of) const { return compiler->reserve(of); }
    result<void> reserve_out(const prefix6&) const { return {}; } // there, it had room to go
    bool may_rebuild(std::size_t) const { return true; }          // reserve() has seen to it
    result<std::unique_ptr<image>> make_image() const;
    void compile_all(std::unique_ptr<image> into) { compiler->load(std::move(into)); }
    const image& master() const { return compiler->image(); }

    unsigned number;
    nexthop_id default_id;
    prefix_trie6 trie;
    std::unique_ptr<fib6_compiler> compiler;
    route_choices more;
};

// Empty images: the master's and one a worker. Errors: ENOMEM.
template <class Table>
result<typename Table::image_set> prepare_images(const Table& in, std::size_t workers) {
    typename Table::image_set images;
    for (std::size_t i = 0; i <= workers; ++i) {
        auto made = in.make_image();
        if (!made) {
            return made.failure();
        }
        images.push_back(std::move(*made));
    }
    return images;
}

} // namespace pantala
