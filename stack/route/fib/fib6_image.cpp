#include "stack/route/fib/fib6_image.hpp"

namespace pantala {

result<std::unique_ptr<fib6_image>> fib6_image::make(nexthop_id default_id) {
    auto made = std::make_unique<fib6_image>();
    made->add(prefix6{}.last(), default_id);
    return made;
}

void fib6_image::assign(const fib6_image& other) {
    lasts_ = other.lasts_;
    hops_ = other.hops_;
}

void fib6_image::add(const address6& last, nexthop_id hop) {
    lasts_.push_back(last);
    hops_.push_back(hop);
}

void fib6_image::clear() {
    lasts_.clear();
    hops_.clear();
}

std::uint64_t fib6_image::hash() const {
    std::uint64_t hash = lasts_.size();
    for (std::size_t i = 0; i < lasts_.size(); ++i) {
        for (const std::uint64_t word :
             {lasts_[i].high, lasts_[i].low, std::uint64_t{hops_[i].value}}) {
            hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
            hash ^= hash >> 29;
        }
    }
    return hash;
}

} // namespace pantala
