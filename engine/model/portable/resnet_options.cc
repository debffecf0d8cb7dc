#include "engine/model/portable/resnet_options.h"

#include "format/error.h"

namespace imgtrain {

ResNetArchitecture resnet_architecture(int depth) {
  switch (depth) {
    case 18:
      return {false, {2, 2, 2, 2}};
    case 34:
      return {false, {3, 4, 6, 3}};
    case 50:
      return {true, {3, 4, 6, 3}};
    case 101:
      return {true, {3, 4, 23, 3}};
    case 152:
      return {true, {3, 8, 36, 3}};
    default:
      throw imgpack::Error(
          imgpack::ErrorKind::kUsage,
          "no such ResNet: expected a depth of 18, 34, 50, 101 or 152, found " + std::to_string(depth));
  }
}

std::vector<double> drop_path_rates(int depth, double last) {
  int blocks = 0;
  for (const int stage : resnet_architecture(depth).blocks) blocks += stage;
  std::vector<double> rates;
  for (int i = 0; i < blocks; ++i) rates.push_back(last * i / (blocks - 1));
  return rates;
}

std::string model_name(const ResNetOptions& options) {
  return "resnet" + std::to_string(options.depth);
}

int depth_of_model_name(const std::string& name) {
  std::string known;
  for (const int depth : kResNetDepths) {
    const std::string candidate = "resnet" + std::to_string(depth);
    if (name == candidate) return depth;
    known += (known.empty() ? "" : ", ") + candidate;
  }
  throw imgpack::Error(imgpack::ErrorKind::kUsage,
                       "no such model: expected one of " + known + ", found '" + name + "'");
}

}  // namespace imgtrain
