#include "app/cli/commands.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
    try {
        return pantala::app::run_program(argc, argv);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "pantala: %s\n", failure.what());
        return 1;
    }
}
