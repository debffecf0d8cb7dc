// Admission: a counted limit. What was let in holds a Place, and leaves with it.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace imgtrain::serve {

// Thread-safe. Outlives its places.
class Admission {
 public:
  class Place {
   public:
    Place(Admission& owner, size_t count) : owner_(&owner), count_(count) {}
    Place(Place&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), count_(other.count_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (owner_ != nullptr) owner_->leave(count_);
    }

   private:
    Admission* owner_;
    size_t count_;
  };

  // `on_change` is told by how much the number of those inside changed; may be empty.
  explicit Admission(size_t limit, std::function<void(int64_t)> on_change = {})
      : limit_(limit), on_change_(std::move(on_change)) {}

  // nullopt: `count` more are too many.
  std::optional<Place> enter(size_t count) {
    size_t inside = inside_.load();
    do {
      if (count > limit_ - inside) return std::nullopt;
    } while (!inside_.compare_exchange_weak(inside, inside + count));
    if (on_change_) on_change_(static_cast<int64_t>(count));
    return Place(*this, count);
  }
  size_t inside() const { return inside_; }
  size_t limit() const { return limit_; }

 private:
  void leave(size_t count) {
    inside_ -= count;
    if (on_change_) on_change_(-static_cast<int64_t>(count));
  }

  const size_t limit_;
  const std::function<void(int64_t)> on_change_;
  std::atomic<size_t> inside_{0};
};

}  // namespace imgtrain::serve
