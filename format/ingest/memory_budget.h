// Admission by bytes: who needs much memory waits until it is there.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace imgpack::ingest {

// Thread-safe. A request above the whole budget waits until nothing else is admitted and then has it alone, so that one
// giant is slow and never a failure.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t bytes) : budget_(bytes) {}

  // Gives back what it holds when it ends.
  class Lease {
   public:
    Lease() = default;
    Lease(MemoryBudget& budget, uint64_t bytes) : budget_(&budget), bytes_(bytes) {}
    ~Lease() { release(); }
    Lease(Lease&& other) noexcept : budget_(other.budget_), bytes_(other.bytes_) { other.budget_ = nullptr; }
    Lease& operator=(Lease&& other) noexcept;
    void release();

   private:
    MemoryBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };

  // Waits until `bytes` fit. A thread that holds a lease of this budget must not ask for another.
  Lease acquire(uint64_t bytes);
  // From now on nobody waits: for an end by failure, after which some leases are given back late.
  void lift();
  uint64_t admitted() const;

 private:
  void give_back(uint64_t bytes);

  const uint64_t budget_;
  mutable std::mutex mutex_;
  std::condition_variable given_back_;
  uint64_t admitted_ = 0;
  bool lifted_ = false;
};

}  // namespace imgpack::ingest
