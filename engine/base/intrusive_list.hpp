// A doubly linked list whose links live in its elements: no allocation, O(1) removal knowing only
// the element. An element derives from list_hook<Tag> once for each list it can be on at the same
// time. The list owns nothing; an element must be off its list before it dies.
#pragma once

#include "engine/base/check.hpp"

#include <cstddef>

namespace pantala {

struct default_list_tag;

template <class Tag = default_list_tag>
class list_hook {
  public:
    list_hook() = default;
    list_hook(const list_hook&) = delete;
    list_hook& operator=(const list_hook&) = delete;

    bool on_list() const { return next_ != nullptr; }

    // Takes the element off whatever list of this tag it is on.
    void unlink() {
        PANTALA_DCHECK(on_list());
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = previous_ = nullptr;
    }

  private:
    template <class, class>
    friend class intrusive_list;

    void insert_before(list_hook& place) {
        PANTALA_DCHECK(!on_list());
        previous_ = place.previous_;
        next_ = &place;
        previous_->next_ = this;
        place.previous_ = this;
    }

    list_hook* previous_ = nullptr;
    list_hook* next_ = nullptr;
};

template <class T, class Tag = default_list_tag>
class intrusive_list {
    using hook = list_hook<Tag>;

  public:
    intrusive_list() { root_.next_ = root_.previous_ = &root_; }
    intrusive_list(const intrusive_list&) = delete;
    intrusive_list& operator=(const intrusive_list&) = delete;

    bool empty() const { return root_.next_ == &root_; }
    void push_back(T& element) { static_cast<hook&>(element).insert_before(root_); }
    void push_front(T& element) { static_cast<hook&>(element).insert_before(*root_.next_); }

    T& front() {
        PANTALA_DCHECK(!empty());
        return static_cast<T&>(*root_.next_);
    }
    T& back() {
        PANTALA_DCHECK(!empty());
        return static_cast<T&>(*root_.previous_);
    }
    T& pop_front() {
        T& first = front();
        static_cast<hook&>(first).unlink();
        return first;
    }
    static void remove(T& element) { static_cast<hook&>(element).unlink(); }

    // All of `other`, in order, behind what is here; `other` is empty afterwards. O(1).
    void splice_back(intrusive_list& other) {
        if (other.empty()) {
            return;
        }
        hook* first = other.root_.next_;
        hook* last = other.root_.previous_;
        first->previous_ = root_.previous_;
        root_.previous_->next_ = first;
        last->next_ = &root_;
        root_.previous_ = last;
        other.root_.next_ = other.root_.previous_ = &other.root_;
    }

    // Forward iteration; the element under the iterator must not be unlinked before ++.
    class iterator {
      public:
        explicit iterator(hook* at) : at_(at) {}
        T& operator*() const { return static_cast<T&>(*at_); }
        T* operator->() const { return static_cast<T*>(at_); }
        iterator& operator++() {
            at_ = at_->next_;
            return *this;
        }
        bool operator==(const iterator&) const = default;

      private:
        hook* at_;
    };
    iterator begin() { return iterator(root_.next_); }
    iterator end() { return iterator(&root_); }

  private:
    hook root_;
};

} // namespace pantala
