// Memory for emulated kernels: numbers of one of their types between two guard zones, as unreadable when it is made as
// a GPU's is.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "engine/kernels/launch.h"

namespace imgtrain::kernels {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  // Holds `count` numbers of `type`; NaN each.
  DeviceMemory(NumberType type, int64_t count) : type_(type), count_(count), bytes_(count * bytes_of(type)) { make(); }
  static DeviceMemory of_bytes(int64_t bytes) {
    DeviceMemory memory;
    memory.count_ = memory.bytes_ = bytes;
    memory.make();
    return memory;
  }
  static DeviceMemory holding(NumberType type, const std::vector<double>& values) {
    DeviceMemory memory(type, static_cast<int64_t>(values.size()));
    for (int64_t i = 0; i < memory.count_; ++i) memory.set(i, values[static_cast<size_t>(i)]);
    return memory;
  }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_.get() + kGuard);
  }
  void* data() { return as<char>(); }
  int64_t count() const { return count_; }

  void set(int64_t i, double value) {
    const auto number = static_cast<float>(value);
    if (type_ == NumberType::kFloat) as<float>()[i] = number;
    if (type_ == NumberType::kHalf) as<__half>()[i] = __float2half_rn(number);
    if (type_ == NumberType::kBFloat16) as<__nv_bfloat16>()[i] = __float2bfloat16_rn(number);
  }
  double get(int64_t i) {
    if (type_ == NumberType::kHalf) return __half2float(as<__half>()[i]);
    if (type_ == NumberType::kBFloat16) return __bfloat162float(as<__nv_bfloat16>()[i]);
    return as<float>()[i];
  }
  std::vector<double> values() {
    std::vector<double> all(static_cast<size_t>(count_));
    for (int64_t i = 0; i < count_; ++i) all[static_cast<size_t>(i)] = get(i);
    return all;
  }
  std::vector<char> bytes() { return {as<char>(), as<char>() + bytes_}; }

  // Whether nobody wrote outside.
  bool intact() const {
    const char* const begin = memory_.get();
    for (int i = 0; i < kGuard; ++i)
      if (begin[i] != kGuardByte || begin[kGuard + bytes_ + i] != kGuardByte) return false;
    return true;
  }

 private:
  static constexpr int kGuard = 64;
  static constexpr char kGuardByte = 0x5a;
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  void make() {
    const int64_t all = bytes_ + 2 * kGuard;
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, static_cast<size_t>((all + 63) / 64 * 64))));
    std::memset(memory_.get(), kGuardByte, static_cast<size_t>(all));
    std::memset(data(), 0xff, static_cast<size_t>(bytes_));  // NaN in every type.
  }

  NumberType type_ = NumberType::kFloat;
  int64_t count_ = 0, bytes_ = 0;
  std::unique_ptr<char, Free> memory_;
};

}  // namespace imgtrain::kernels
