// What a web server can answer with, made before the workers run and only read afterwards.
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pantala::app {

// The head ends where the Date field's value goes; the date, an empty line and the body follow.
struct http_response {
    std::string head;
    std::string body;
};

inline constexpr std::uint64_t http_content_bytes_max = std::uint64_t{1} << 30;
inline constexpr unsigned http_files_max = 100'000;

class http_content {
  public:
    // Every path gets a body of this many bytes.
    static http_content fixed(std::uint64_t body_bytes);
    // The regular files below a directory, read now; a path that ends with '/' means its
    // index.html. Names that begin with a dot are left out, symbolic links not followed.
    static result<http_content> files(const std::string& directory);

    // By the request's target, up to its query; nullptr: nothing there.
    const http_response* find(std::string_view target) const;

    static http_response make(unsigned status, std::string_view type, std::string body);

  private:
    struct hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    bool fixed_ = false;
    http_response all_;
    std::unordered_map<std::string, http_response, hash, std::equal_to<>> paths_;
};

} // namespace pantala::app
