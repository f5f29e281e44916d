#include "stack/route/fib/fib6_compiler.hpp"

#include <vector>

namespace pantala {

namespace {

address6 plus_one(const address6& address) {
    return {address.high + (address.low == ~std::uint64_t{0}), address.low + 1};
}

} // namespace

result<std::unique_ptr<fib6_compiler>>
fib6_compiler::make(const prefix_trie6& routes, nexthop_id default_id, std::function<void()> ship) {
    auto image = fib6_image::make(default_id);
    if (!image) {
        return image.failure();
    }
    std::unique_ptr<fib6_compiler> made(new fib6_compiler(routes, default_id, std::move(ship)));
    made->load(std::move(*image));
    return made;
}

result<void> fib6_compiler::reserve(const prefix6&) const {
    return {};
}

void fib6_compiler::changed(const prefix6&) {
    if (!paused_) {
        auto image = fib6_image::make(default_);
        load(std::move(*image));
        ship_();
    }
}

// Sweeps over the prefixes in order with those that are open, the longest last.
void fib6_compiler::load(std::unique_ptr<fib6_image> image) {
    paused_ = false;
    image_ = std::move(image);
    image_->clear();
    struct open {
        address6 last;
        nexthop_id hop;
    };
    std::vector<open> stack = {{prefix6{}.last(), default_}};
    address6 next{}; // not yet in the image
    bool all = false;
    const auto close_until = [&](const address6& until) {
        while (stack.size() > 1 && stack.back().last < until) {
            if (!all && stack.back().last >= next) {
                image_->add(stack.back().last, stack.back().hop);
                next = plus_one(stack.back().last);
                all = next == address6{};
            }
            stack.pop_back();
        }
    };
    prefix_trie6::cursor cursor(routes_, address6{});
    while (const rib_entry6* entry = cursor.next()) {
        if (entry->length == 0) {
            continue;
        }
        close_until(entry->address);
        if (entry->address > next) {
            image_->add(
                {entry->address.high - (entry->address.low == 0), entry->address.low - 1},
                stack.back().hop);
            next = entry->address;
        }
        stack.push_back({entry->prefix().last(), entry->hop});
    }
    close_until(prefix6{}.last());
    for (; stack.size() > 1 && !all; stack.pop_back()) { // those that reach the end
        image_->add(stack.back().last, stack.back().hop);
        all = true;
    }
    if (!all) {
        image_->add(prefix6{}.last(), default_);
    }
}

} // namespace pantala
