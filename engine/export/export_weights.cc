#include "engine/export/export_weights.h"

#include <utility>
#include <vector>

#include "engine/model/portable/resnet_options.h"
#include "engine/model/weights.h"

namespace imgtrain {
namespace {

void fold_into(std::map<std::string, torch::Tensor>& tensors, const std::string& conv, const std::string& norm) {
  const auto take = [&](const std::string& name) { return tensors.extract(name).mapped().to(torch::kDouble); };
  const torch::Tensor gamma = take(norm + ".weight"), beta = take(norm + ".bias");
  const torch::Tensor mean = take(norm + ".running_mean"), var = take(norm + ".running_var");
  tensors.erase(norm + ".num_batches_tracked");
  const torch::Tensor scale = gamma / torch::sqrt(var + kBatchNormEps);
  torch::Tensor& weight = tensors.at(conv + ".weight");
  weight = (weight.to(torch::kDouble) * scale.view({-1, 1, 1, 1})).to(torch::kFloat).contiguous();
  tensors[conv + ".bias"] = (beta - mean * scale).to(torch::kFloat);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> normed_convolutions(const ResNetOptions& options) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (options.stem == Stem::kDeep) {
    pairs.insert(pairs.end(), {{"conv1.0", "conv1.1"}, {"conv1.3", "conv1.4"}, {"conv1.6", "bn1"}});
  } else {
    pairs.emplace_back("conv1", "bn1");
  }
  const ResNetArchitecture architecture = resnet_architecture(options.depth);
  for (int stage = 0; stage < 4; ++stage) {
    for (int block = 0; block < architecture.blocks[static_cast<size_t>(stage)]; ++block) {
      const std::string prefix = "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
      for (int i = 1; i <= (architecture.bottleneck ? 3 : 2); ++i)
        pairs.emplace_back(prefix + "conv" + std::to_string(i), prefix + "bn" + std::to_string(i));
      // The first stage of a basic network keeps its channels, and so its input.
      if (block > 0 || (stage == 0 && !architecture.bottleneck)) continue;
      const int first = options.average_downsample ? 1 : 0;  // Behind the average.
      pairs.emplace_back(prefix + "downsample." + std::to_string(first),
                         prefix + "downsample." + std::to_string(first + 1));
    }
  }
  return pairs;
}

ExportWeights export_weights(const ResNetImpl& model, bool fold) {
  const torch::NoGradGuard no_grad;
  ExportWeights weights{model.options(), {}};
  for (const auto& [name, tensor] : state_dict(model)) {
    const auto type = tensor.is_floating_point() ? torch::kFloat : tensor.scalar_type();
    weights.tensors[name] = tensor.detach().to(torch::kCPU, type).clone(at::MemoryFormat::Contiguous);
  }
  if (!fold) return weights;
  for (const auto& [conv, norm] : normed_convolutions(model.options())) fold_into(weights.tensors, conv, norm);
  return weights;
}

}  // namespace imgtrain
