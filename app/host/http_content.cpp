#include "app/host/http_content.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace pantala::app {

namespace {

std::string_view reason_of(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    default:
        return "Error";
    }
}

std::string_view type_of(const std::filesystem::path& file) {
    static const std::unordered_map<std::string, std::string_view> types = {
        {".html", "text/html"},     {".txt", "text/plain"},        {".css", "text/css"},
        {".js", "text/javascript"}, {".json", "application/json"}, {".svg", "image/svg+xml"},
        {".png", "image/png"},      {".jpg", "image/jpeg"},        {".pdf", "application/pdf"},
    };
    const auto found = types.find(file.extension().string());
    return found == types.end() ? "application/octet-stream" : found->second;
}

bool hidden(const std::filesystem::path& relative) {
    for (const auto& part : relative) {
        if (part.string().starts_with('.')) {
            return true;
        }
    }
    return false;
}

result<std::string> read_all(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    std::string bytes;
    if (in) {
        bytes.resize(static_cast<std::size_t>(in.tellg()));
        in.seekg(0);
        in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    if (!in) {
        return error{EIO, fmt::format("cannot read {}", file.string())};
    }
    return bytes;
}

} // namespace

http_response http_content::make(unsigned status, std::string_view type, std::string body) {
    http_response made;
    made.head = fmt::format(
        "HTTP/1.1 {} {}\r\nServer: pantala\r\n{}Content-Type: {}\r\nContent-Length: {}\r\nDate: ",
        status, reason_of(status), status == 405 ? "Allow: GET, HEAD\r\n" : "", type, body.size());
    made.body = std::move(body);
    return made;
}

http_content http_content::fixed(std::uint64_t body_bytes) {
    http_content content;
    content.fixed_ = true;
    std::string body(body_bytes, 'p');
    content.all_ = make(200, "text/plain", std::move(body));
    return content;
}

result<http_content> http_content::files(const std::string& directory) {
    namespace fs = std::filesystem;
    http_content content;
    std::error_code code;
    std::uint64_t bytes = 0;
    for (fs::recursive_directory_iterator at(directory, code), end; !code && at != end;
         at.increment(code)) {
        const fs::path relative = at->path().lexically_relative(directory);
        if (hidden(relative) || !fs::is_regular_file(at->symlink_status())) {
            continue;
        }
        bytes += at->file_size(code);
        if (code || bytes > http_content_bytes_max || content.paths_.size() >= http_files_max) {
            return error{
                EFBIG, fmt::format(
                           "{}: more than {} files or {} bytes; serve a smaller directory",
                           directory, http_files_max, http_content_bytes_max)};
        }
        auto body = read_all(at->path());
        if (!body) {
            return body.failure();
        }
        const std::string path = "/" + relative.generic_string();
        http_response made = make(200, type_of(at->path()), std::move(*body));
        if (relative.filename() == "index.html") {
            content.paths_.emplace(path.substr(0, path.size() - 10), made);
        }
        content.paths_.emplace(path, std::move(made));
    }
    if (code) {
        return error{code.value(), fmt::format("cannot read {}: {}", directory, code.message())};
    }
    return content;
}

const http_response* http_content::find(std::string_view target) const {
    if (fixed_) {
        return &all_;
    }
    const auto found = paths_.find(target.substr(0, target.find_first_of("?#")));
    return found == paths_.end() ? nullptr : &found->second;
}

} // namespace pantala::app
