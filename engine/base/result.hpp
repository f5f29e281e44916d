// result<T>: a value, or an error whose sentence says what to do about it. Control code only; hot
// code answers bad packets with a drop reason.
#pragma once

#include "engine/base/check.hpp"

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace pantala {

struct error {
    int code = EINVAL; // errno value of the nearest meaning, for programs
    std::string text;  // for people: what is wrong, with what, and what to do
};

template <class T>
class [[nodiscard]] result {
  public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(error failure) : state_(std::in_place_index<1>, std::move(failure)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & {
        PANTALA_ASSERT(ok());
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        PANTALA_ASSERT(ok());
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        PANTALA_ASSERT(ok());
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const error& failure() const {
        PANTALA_ASSERT(!ok());
        return *std::get_if<1>(&state_);
    }

  private:
    std::variant<T, error> state_;
};

template <>
class [[nodiscard]] result<void> {
  public:
    result() = default;
    result(error failure) : failed_(true), failure_(std::move(failure)) {}

    bool ok() const { return !failed_; }
    explicit operator bool() const { return ok(); }
    const error& failure() const {
        PANTALA_ASSERT(failed_);
        return failure_;
    }

  private:
    bool failed_ = false;
    error failure_;
};

} // namespace pantala
