// Compiles IPv6 routes into a fib6 image and writes the difference to the route log. Owner:
// control.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib/fib6_image.hpp"
#include "stack/route/rib/prefix_trie6.hpp"

#include <functional>
#include <memory>

namespace pantala {

class fib6_compiler {
  public:
    // `routes` outlives it, and says what the image should be. Errors: ENOMEM.
    static result<std::unique_ptr<fib6_compiler>>
    make(const prefix_trie6& routes, nexthop_id default_id, std::function<void()> ship);

    // Whether a change of `prefix` is sure to find room: to be asked before changed().
    result<void> reserve(const prefix6& prefix) const;
    // A prefix (of a bit or more) was added, changed or erased.
    void changed(const prefix6& prefix);
    // Compiles all into an empty image. The log is not written: the caller ships copies of image().
    void load(std::unique_ptr<fib6_image> image);
    // changed() does nothing until the next load().
    void pause() { paused_ = true; }

    const fib6_image& image() const { return *image_; }

  private:
    fib6_compiler(const prefix_trie6& routes, nexthop_id default_id, std::function<void()> ship)
        : routes_(routes), default_(default_id), ship_(std::move(ship)) {}

    const prefix_trie6& routes_;
    nexthop_id default_;
    std::function<void()> ship_;
    bool paused_ = false;
    std::unique_ptr<fib6_image> image_;
};

} // namespace pantala
