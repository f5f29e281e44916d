// The generating port's two files, mapped: its destinations (read only) and its control block.
// Control code: opens, checks every field, explains what is wrong.
#pragma once

#include "bench/gen_vdev/gen_control.hpp"
#include "bench/gen_vdev/gen_keys.hpp"
#include "engine/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace pantala::gen {

// A mapped file; unmapped at the end.
class mapping {
  public:
    static result<mapping> open(const std::string& path, bool writable);

    mapping(mapping&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    mapping& operator=(mapping&&) = delete;
    ~mapping();

    std::byte* data() const { return at_; }
    std::size_t size() const { return bytes_; }

  private:
    mapping(std::byte* at, std::size_t bytes) : at_(at), bytes_(bytes) {}
    std::byte* at_;
    std::size_t bytes_;
};

class keys_file {
  public:
    static result<keys_file> open(const std::string& path);

    bool is_ip6() const { return is_ip6_; }
    std::size_t count(unsigned side) const { return expected_[side].size(); }
    // In wire order; of the file's family only.
    std::span<const std::uint32_t> destinations(unsigned side) const { return destinations_[side]; }
    std::span<const key6> destinations6(unsigned side) const { return destinations6_[side]; }
    std::span<const std::uint16_t> expected(unsigned side) const { return expected_[side]; }

  private:
    explicit keys_file(mapping file) : file_(std::move(file)) {}
    mapping file_;
    bool is_ip6_ = false;
    std::span<const std::uint32_t> destinations_[2];
    std::span<const key6> destinations6_[2];
    std::span<const std::uint16_t> expected_[2];
};

class control_file {
  public:
    static result<control_file> open(const std::string& path);
    control* operator->() const { return reinterpret_cast<control*>(file_.data()); }

  private:
    explicit control_file(mapping file) : file_(std::move(file)) {}
    mapping file_;
};

} // namespace pantala::gen
