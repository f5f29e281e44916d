#include "app/config/stable_secret.hpp"

#include <fstream>
#include <random>

namespace pantala::app {

namespace {

// Fixed: the machine's identity itself is never shown, and other programs make other keys of it.
constexpr siphash_key first_half{0x50616e74616c6120, 0x666c617665736365};
constexpr siphash_key second_half{0x6e732c2052464320, 0x373231372c203120};

} // namespace

siphash_key stable_secret(const std::string& given) {
    std::string text = given;
    if (text.empty()) {
        std::ifstream("/etc/machine-id") >> text;
    }
    if (text.empty()) {
        std::random_device random;
        for (unsigned i = 0; i < 8; ++i) {
            text += std::to_string(random());
        }
    }
    return {
        siphash24::of(first_half, text.data(), text.size()),
        siphash24::of(second_half, text.data(), text.size())};
}

} // namespace pantala::app
