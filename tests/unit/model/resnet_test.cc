// The model family and its batch norm, on the CPU.
#include "engine/model/resnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

ResNetOptions small(uint64_t seed = 0) {
  ResNetOptions options;
  options.depth = 18;
  options.num_classes = 10;
  options.seed = seed;
  return options;
}

bool same_parameters(const ResNet& a, const ResNet& b) {
  const auto left = a->parameters(), right = b->parameters();
  for (size_t i = 0; i < left.size(); ++i)
    if (!torch::equal(left[i], right[i])) return false;
  return left.size() == right.size();
}

Tensor images(int64_t n, int64_t size = 32) {
  torch::manual_seed(7);
  return torch::randn({n, 3, size, size});
}

TEST(ResNet, FiftyLayersHaveTheKnownNumberOfParameters) {
  EXPECT_EQ(parameter_count(*ResNet(ResNetOptions{})), 25'557'032);
}

TEST(ResNet, AnUnknownDepthIsAUsageError) {
  ResNetOptions options;
  options.depth = 51;
  try {
    ResNet model(options);
    FAIL() << "a ResNet-51 was made";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), testing::HasSubstr("51"));
  }
}

TEST(ResNet, AModelWithoutClassesIsAUsageError) {
  ResNetOptions options;
  options.num_classes = 0;
  EXPECT_THROW(ResNet{options}, Error);
}

TEST(ResNet, InitialWeightsFollowFromTheSeedAlone) {
  const ResNet first(small(3));
  torch::manual_seed(99);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const ResNet second(small(3));
  at::set_num_threads(threads);
  EXPECT_TRUE(same_parameters(first, second));
  EXPECT_FALSE(same_parameters(first, ResNet(small(4))));
}

TEST(ResNet, InitialConvolutionsHaveTheKaimingDeviationOfTheirFanOut) {
  const ResNet model{ResNetOptions{}};
  int checked = 0;
  for (const auto& item : model->named_parameters()) {
    if (item.value().dim() != 4 || item.value().numel() < 30'000) continue;
    const auto& w = item.value();
    const double expected = std::sqrt(2.0 / static_cast<double>(w.size(0) * w.size(2) * w.size(3)));
    EXPECT_NEAR(w.std().item<double>(), expected, 0.03 * expected) << item.key();
    EXPECT_NEAR(w.mean().item<double>(), 0.0, 0.03 * expected) << item.key();
    ++checked;
  }
  EXPECT_GE(checked, 30);
}

TEST(ResNet, ZeroInitLastGammaMakesEveryBlockAnIdentityAtFirst) {
  ResNetOptions options = small();
  options.zero_init_last_gamma = true;
  const ResNet model(options);
  std::set<std::string> zero;
  for (const auto& item : model->named_parameters())
    if (item.value().dim() == 1 && item.key().find("bias") == std::string::npos &&
        item.value().abs().sum().item<double>() == 0)
      zero.insert(item.key());
  EXPECT_EQ(zero.size(), 8u);
  EXPECT_TRUE(zero.contains("layer4.1.bn2.weight"));
}

TEST(ResNet, ComposersInitialWeightsAreThoseOfItsRecipes) {
  ResNetOptions options{.depth = 18, .num_classes = 50};
  options.weight_rule = WeightRule::kComposer;
  const ResNet model(options);
  const auto parameters = model->named_parameters();
  const Tensor weight = parameters["layer4.1.conv2.weight"];
  EXPECT_NEAR(weight.std().item<double>(), std::sqrt(2.0 / (512 * 9)), 1e-3);
  EXPECT_NEAR(parameters["fc.weight"].std().item<double>(), std::sqrt(2.0 / 512), 2e-3);
  EXPECT_FLOAT_EQ(parameters["fc.bias"][7].item<float>(), -std::log(50.0f));
  const Tensor gamma = parameters["layer4.1.bn2.weight"];
  EXPECT_GE(gamma.min().item<float>(), 0);
  EXPECT_LT(gamma.max().item<float>(), 1);
  EXPECT_NEAR(gamma.mean().item<double>(), 0.5, 0.05);
}

TEST(ResNet, ADroppedBranchLeavesTheShortcutAndEvaluationDropsNone) {
  const torch::NoGradGuard no_grad;
  ResNet model(ResNetOptions{.depth = 18, .num_classes = 4});
  const Tensor x = torch::randn({2, 3, 64, 64});
  // Branches multiplied by 0 in every block of layer4: the same as last norms of zero.
  Tensor scales = torch::ones({static_cast<int64_t>(model->blocks()), 2});
  scales.slice(0, 6).zero_();
  model->train();
  model->scale_branches(scales);
  const Tensor dropped = model->forward(x);
  model->scale_branches(Tensor());
  ResNet other(ResNetOptions{.depth = 18, .num_classes = 4});
  for (const char* name : {"layer4.0.bn2.weight", "layer4.1.bn2.weight"}) other->named_parameters()[name].zero_();
  other->train();
  EXPECT_TRUE(torch::allclose(dropped, other->forward(x), 1e-5, 1e-5));
  model->eval();
  const Tensor whole = model->forward(x);
  model->scale_branches(scales);
  EXPECT_TRUE(model->forward(x).equal(whole));
}

TEST(ResNet, DropRatesRiseLinearlyFromTheFirstBlockToTheLast) {
  const std::vector<double> rates = drop_path_rates(50, 0.3);
  ASSERT_EQ(rates.size(), 16u);
  EXPECT_EQ(rates.front(), 0);
  EXPECT_DOUBLE_EQ(rates.back(), 0.3);
  EXPECT_DOUBLE_EQ(rates[5], 0.1);
}

TEST(ResNet, ChannelsLastChangesTheLayoutAndNotTheLogits) {
  ResNet model(small());
  model->eval();
  torch::NoGradGuard no_grad;
  const Tensor x = images(2, 64);
  const Tensor expected = model->forward(x);
  to_channels_last(*model);
  EXPECT_TRUE(model->named_parameters()["layer1.0.conv1.weight"].is_contiguous(at::MemoryFormat::ChannelsLast));
  const Tensor found = model->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::allclose(found, expected, 1e-4, 1e-4)) << (found - expected).abs().max();
}

TEST(ResNet, FeaturesAreTheLastStageAndClassifyGivesTheLogits) {
  ResNet model(small());
  model->eval();
  torch::NoGradGuard no_grad;
  const Tensor x = images(2, 64), features = model->features(x);
  EXPECT_THAT(features.sizes().vec(), testing::ElementsAre(2, 512, 2, 2));
  EXPECT_TRUE(torch::equal(model->classify(features), model->forward(x)));
}

// --- Batch norm.

struct Pair {
  BatchNorm2d ours{6};
  torch::nn::BatchNorm2d torchs{6};
};

TEST(BatchNorm2d, AloneItEqualsTorchsInOutputGradientsAndBuffers) {
  Pair norm;
  torch::manual_seed(1);
  for (int step = 0; step < 3; ++step) {
    Tensor a = (torch::randn({4, 6, 5, 5}) * 3 + 1).requires_grad_(), b = a.detach().clone().requires_grad_();
    const Tensor ya = norm.ours->forward(a), yb = norm.torchs->forward(b);
    EXPECT_TRUE(torch::equal(ya, yb));
    (ya * ya * 0.3 + ya).sum().backward();
    (yb * yb * 0.3 + yb).sum().backward();
    EXPECT_TRUE(torch::equal(a.grad(), b.grad()));
  }
  norm.ours->eval();
  norm.torchs->eval();
  const auto buffers = norm.torchs->named_buffers();
  ASSERT_EQ(norm.ours->named_buffers().size(), buffers.size());
  for (const auto& item : norm.ours->named_buffers())
    EXPECT_TRUE(torch::equal(item.value(), buffers[item.key()])) << item.key();
  const Tensor x = torch::randn({2, 6, 3, 3});
  EXPECT_TRUE(torch::equal(norm.ours->forward(x), norm.torchs->forward(x)));
}

TEST(BatchNorm2d, TrainingOnASingleValuePerChannelIsRefused) {
  BatchNorm2d norm(6);
  EXPECT_THROW(norm->forward(torch::randn({1, 6, 1, 1})), Error);
  norm->eval();
  EXPECT_NO_THROW(norm->forward(torch::randn({1, 6, 1, 1})));
}

TEST(BatchNormStatistics, OneGroupPerStepIsTorchsDefinition) {
  ResNet deferred(small()), direct(small());
  BatchNormStatistics statistics(*deferred);
  for (int step = 0; step < 3; ++step) {
    const Tensor x = images(4) + step;
    statistics.begin_step();
    deferred->forward(x);
    statistics.add_group(4);
    statistics.commit();
    direct->forward(x);
  }
  const auto expected = direct->named_buffers();
  for (const auto& item : deferred->named_buffers())
    EXPECT_TRUE(torch::allclose(item.value(), expected[item.key()], 1e-6, 1e-7)) << item.key();
}

// Four groups in one step: on one rank, and on two "ranks" whose sums are added.
TEST(BatchNormStatistics, TheSpreadOfGroupsOverRanksDoesNotMatter) {
  ResNet alone(small()), rank0(small()), rank1(small());
  BatchNormStatistics all(*alone), first(*rank0), second(*rank1);
  const Tensor x = images(14);
  const std::vector<Tensor> groups = {x.narrow(0, 0, 4), x.narrow(0, 4, 4), x.narrow(0, 8, 4), x.narrow(0, 12, 2)};
  const auto add = [](ResNet& model, BatchNormStatistics& statistics, const Tensor& group) {
    model->forward(group);
    statistics.add_group(group.size(0));
  };
  for (auto* statistics : {&all, &first, &second}) statistics->begin_step();
  for (const Tensor& group : groups) add(alone, all, group);
  add(rank0, first, groups[2]);
  for (const int i : {3, 0, 1}) add(rank1, second, groups[i]);
  first.sums().add_(second.sums());
  all.commit();
  first.commit();
  const auto expected = alone->named_buffers();
  for (const auto& item : rank0->named_buffers())
    EXPECT_TRUE(torch::equal(item.value(), expected[item.key()])) << item.key();
  EXPECT_EQ(expected["bn1.num_batches_tracked"].item<int64_t>(), 1);
}

TEST(BatchNormStatistics, TheWeightOfAGroupIsItsNumberOfSamples) {
  struct OneLayer : torch::nn::Module {
    BatchNorm2d norm{register_module("norm", BatchNorm2d(1))};
  };
  const auto model = std::make_shared<OneLayer>();
  BatchNormStatistics statistics(*model);
  statistics.begin_step();
  model->norm->forward(torch::tensor({1.0f, 3.0f}).view({2, 1, 1, 1}));  // mean 2, variance 2
  statistics.add_group(2);
  model->norm->forward(torch::tensor({10.0f, 10.0f, 10.0f, 10.0f, 10.0f, 16.0f}).view({6, 1, 1, 1}));  // 11 and 6
  statistics.add_group(6);
  statistics.commit();
  EXPECT_FLOAT_EQ(model->norm->running_mean.item<float>(), 0.1f * (2 * 2 + 6 * 11) / 8);
  EXPECT_FLOAT_EQ(model->norm->running_var.item<float>(), 0.9f + 0.1f * (2 * 2 + 6 * 6) / 8);
}

TEST(BatchNormStatistics, ANanStepDoesNotOutliveTheNextBeginStep) {
  ResNet model(small());
  BatchNormStatistics statistics(*model);
  statistics.begin_step();
  model->forward(torch::full({2, 3, 32, 32}, NAN));
  statistics.add_group(2);
  statistics.begin_step();  // The trainer gave that step up.
  model->forward(images(2));
  statistics.add_group(2);
  statistics.commit();
  EXPECT_TRUE(torch::isfinite(model->named_buffers()["layer4.1.bn2.running_var"]).all().item<bool>());
}

TEST(BatchNormStatistics, BackwardWorksAfterStatisticsWereCollected) {
  ResNet model(small());
  BatchNormStatistics statistics(*model);
  statistics.begin_step();
  const Tensor loss = model->forward(images(2)).square().sum();
  statistics.add_group(2);
  statistics.begin_step();
  loss.backward();
  EXPECT_GT(model->named_parameters()["conv1.weight"].grad().abs().sum().item<double>(), 0);
}

// --- Synchronised batch norm: here over "ranks" that are slices of one batch, each run with the sums of all.

struct Slices {
  std::vector<Tensor> inputs, outputs, input_gradients;
  Tensor weight_gradient, bias_gradient;
};

// Runs the ranks one after another, twice: the first pass of each exchange collects what every rank would send.
Slices run_synchronized(const Tensor& x, const std::vector<int64_t>& sizes, const Tensor& upstream) {
  const auto parts = x.split_with_sizes(sizes), upstream_parts = upstream.split_with_sizes(sizes);
  std::vector<Tensor> totals;  // One per exchange, in order: forward, backward.
  Slices result;
  for (const size_t exchanges_known : {0, 1, 2}) {
    result = Slices();
    std::vector<Tensor> collected;
    for (size_t rank = 0; rank < parts.size(); ++rank) {
      BatchNorm2d norm(x.size(1));
      norm->weight.data().fill_(1.5);
      size_t exchange = 0;
      norm->synchronize([&](Tensor& packed) {
        if (exchange < exchanges_known) {
          packed.copy_(totals[exchange]);
        } else if (exchange == exchanges_known) {
          if (collected.empty()) collected.push_back(torch::zeros_like(packed));
          collected[0].add_(packed);
        }
        ++exchange;
      });
      Tensor input = parts[rank].detach().clone().requires_grad_();
      const Tensor y = norm->forward(input);
      y.backward(upstream_parts[rank]);
      result.inputs.push_back(input);
      result.outputs.push_back(y.detach());
      result.input_gradients.push_back(input.grad());
      const auto accumulate = [](Tensor& total, const Tensor& part) {
        total = total.defined() ? total + part : part.clone();
      };
      accumulate(result.weight_gradient, norm->weight.grad());
      accumulate(result.bias_gradient, norm->bias.grad());
    }
    if (!collected.empty()) totals.push_back(collected[0]);
  }
  return result;
}

TEST(SynchronizedBatchNorm, EqualsOneBigBatchForUnequalAndEmptyRanks) {
  torch::manual_seed(5);
  const Tensor x = torch::randn({7, 3, 4, 4}) * 2 + 5, upstream = torch::randn({7, 3, 4, 4});
  BatchNorm2d whole(3);
  whole->weight.data().fill_(1.5);
  Tensor input = x.clone().requires_grad_();
  const Tensor y = whole->forward(input);
  y.backward(upstream);
  const Slices slices = run_synchronized(x, {4, 0, 1, 2}, upstream);
  EXPECT_TRUE(torch::allclose(torch::cat(slices.outputs), y.detach(), 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(torch::cat(slices.input_gradients), input.grad(), 1e-4, 1e-5));
  EXPECT_TRUE(torch::allclose(slices.weight_gradient, whole->weight.grad(), 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(slices.bias_gradient, whole->bias.grad(), 1e-4, 1e-4));
}

}  // namespace
}  // namespace imgtrain
