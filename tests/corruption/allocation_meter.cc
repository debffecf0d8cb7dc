#include "tests/corruption/allocation_meter.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t largest_allocation = 0;

void* allocate(size_t bytes) {
  largest_allocation = std::max<uint64_t>(largest_allocation, bytes);
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) {
  return allocate(bytes);
}
void* operator new[](size_t bytes) {
  return allocate(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

namespace imgpack::test {

AllocationMeter::AllocationMeter() {
  largest_allocation = 0;
}
uint64_t AllocationMeter::largest() const {
  return largest_allocation;
}

}  // namespace imgpack::test
