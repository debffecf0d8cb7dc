// What is known of ILSVRC2012 by itself: its 1,000 classes, the labels of its 50,000 validation images, its sizes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace imgpack::ingest {

inline constexpr size_t kIlsvrcClasses = 1000;
inline constexpr uint64_t kIlsvrcTrainImages = 1'281'167;
inline constexpr uint64_t kIlsvrcValImages = 50'000;
inline constexpr uint64_t kIlsvrcTestImages = 100'000;

struct IlsvrcClass {
  std::string_view wnid;   // `n01440764`
  std::string_view names;  // `tench, Tinca tinca`
};

// Sorted by WNID; position = label, as torchvision, timm, Caffe and Kaggle number them.
std::span<const IlsvrcClass> ilsvrc_classes();

// The label of a WNID, nullopt if it is none of the 1,000.
std::optional<int32_t> ilsvrc_label(std::string_view wnid);

// The label of validation image `number`, from 1 to 50,000. REQUIRES: in range.
int32_t ilsvrc_val_label(uint32_t number);

// The number in `ILSVRC2012_val_00000001`, with or without an extension; nullopt: not such a name, or out of range.
std::optional<uint32_t> ilsvrc_val_number(std::string_view name);

}  // namespace imgpack::ingest
