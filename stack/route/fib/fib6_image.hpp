// The memory of one fib6. Owner: a worker, once control has handed it over.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib6.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace pantala {

class fib6_image {
  public:
    // An empty table: every address has `default_id`. Errors: ENOMEM.
    static result<std::unique_ptr<fib6_image>> make(nexthop_id default_id);

    fib6_reader reader() const { return {lasts_, hops_.data()}; }
    nexthop_id lookup(const address6& address) const { return reader().lookup(address); }

    // Control, before it is handed over.
    void assign(const fib6_image& other);
    void add(const address6& last, nexthop_id hop);
    void clear();

    std::size_t bytes() const { return lasts_.size() * (sizeof(address6) + sizeof(nexthop_id)); }
    std::uint64_t hash() const;

  private:
    std::vector<address6> lasts_;
    std::vector<nexthop_id> hops_;
};

} // namespace pantala
