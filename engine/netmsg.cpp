#include "engine/netmsg.hpp"
