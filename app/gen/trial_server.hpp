// A generator or a sink behind a control socket, and the same seen from the other side.
#pragma once

#include "app/control/client.hpp"
#include "app/gen/generator.hpp"
#include "app/gen/trial.hpp"
#include "engine/setup/launch.hpp"

#include <string>

namespace pantala::app {

// Serves `trial.begin`, `trial.send`, `trial.cancel`, `trial.sender`, `trial.sink`, `gen.info` and
// `stop` until told to stop or a signal comes.
result<void> serve_trials(generator& gen, const std::string& socket, stop_signals& signals);

// The two ends behind sockets. The clients must outlive what is returned.
trial_ends remote_ends(control_client& sender, control_client& sink);

} // namespace pantala::app
