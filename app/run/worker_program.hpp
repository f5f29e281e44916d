// What an application keeps on one worker: made by control before the workers run, destroyed after
// they stopped, used in between by its worker alone.
#pragma once

#include "engine/base/result.hpp"

#include <pantala/sockets.hpp>

#include <functional>
#include <memory>

namespace pantala::app {

class worker_program {
  public:
    worker_program() = default;
    worker_program(const worker_program&) = delete;
    worker_program& operator=(const worker_program&) = delete;
    virtual ~worker_program() = default;
};

using program_factory = std::function<result<std::unique_ptr<worker_program>>(sockets& here)>;

} // namespace pantala::app
