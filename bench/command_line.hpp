// The command line of a Google Benchmark program that has defaults of its own.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

namespace pantala::bench {

class command_line {
  public:
    // `defaults` stand before the caller's words, which win.
    command_line(int argc, char** argv, std::initializer_list<const char*> defaults)
        : words_(defaults.begin(), defaults.end()),
          for_people_(std::none_of(argv + 1, argv + argc, [](const char* word) {
              return std::string_view(word).starts_with("--benchmark_format");
          })) {
        words_.insert(words_.begin(), argv[0]);
        words_.insert(words_.end(), argv + 1, argv + argc);
    }

    // The value of an option of the program's own, which the library is not to see: `--NAME VALUE`
    // or `--NAME=VALUE`. Otherwise `value` stays.
    void take(const std::string& option, std::string& value) {
        for (std::size_t i = 1; i < words_.size(); ++i) {
            const bool separate = words_[i] == option && i + 1 < words_.size();
            if (separate || words_[i].starts_with(option + "=")) {
                value = separate ? words_[i + 1] : words_[i].substr(option.size() + 1);
                const auto at = words_.begin() + static_cast<std::ptrdiff_t>(i);
                words_.erase(at, at + (separate ? 2 : 1));
                return;
            }
        }
    }

    // Hands the words to the library. False: it does not know one of them, and has said so.
    bool initialize() {
        std::vector<char*> pointers;
        for (std::string& word : words_) {
            pointers.push_back(word.data());
        }
        int count = static_cast<int>(pointers.size());
        benchmark::Initialize(&count, pointers.data());
        return !benchmark::ReportUnrecognizedArguments(count, pointers.data());
    }

    // No format was asked for: the program may print a table of its own.
    bool for_people() const { return for_people_; }

  private:
    std::vector<std::string> words_;
    bool for_people_;
};

} // namespace pantala::bench
