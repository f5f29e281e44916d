// What workers' messages find at control's endpoint: its context begins with this.
#pragma once

namespace pantala {

class rib;
class autoconf;

struct control_context {
    rib* routes = nullptr;
    autoconf* automatic = nullptr; // nullptr: advertisements of routers are not believed
};

} // namespace pantala
