#include "format/ingest/memory_budget.h"

#include <utility>

namespace imgpack::ingest {

MemoryBudget::Lease& MemoryBudget::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  budget_ = std::exchange(other.budget_, nullptr);
  bytes_ = other.bytes_;
  return *this;
}

void MemoryBudget::Lease::release() {
  if (budget_ != nullptr) std::exchange(budget_, nullptr)->give_back(bytes_);
}

MemoryBudget::Lease MemoryBudget::acquire(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  given_back_.wait(lock,
                   [&] { return lifted_ || admitted_ == 0 || (bytes <= budget_ && admitted_ <= budget_ - bytes); });
  admitted_ += bytes;
  return {*this, bytes};
}

void MemoryBudget::lift() {
  {
    const std::lock_guard lock(mutex_);
    lifted_ = true;
  }
  given_back_.notify_all();
}

uint64_t MemoryBudget::admitted() const {
  const std::lock_guard lock(mutex_);
  return admitted_;
}

void MemoryBudget::give_back(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    admitted_ -= bytes;
  }
  given_back_.notify_all();
}

}  // namespace imgpack::ingest
