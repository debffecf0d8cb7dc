// Fused batch norm as a part of autograd, on the CPU: the reference in double, and the kernels themselves through
// tests/support/emulated_cuda.
#include "engine/model/fused_batch_norm.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "engine/model/kernel_check.h"
#include "engine/model/resnet.h"
#include "format/error.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"
#include "tests/unit/model/norm_layer.h"

namespace imgtrain {
namespace {

using torch::Tensor;

std::shared_ptr<const FusedNorm> emulated() {
  return kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU);
}

TEST(ReferenceFusedNorm, EqualsTorchsSeparateOperationsInDouble) {
  for (const bool adds : {false, true}) {
    const NormInputs in({6, 5, 4, 3}, torch::kDouble, adds);
    NormLayer separate(5, torch::kDouble), fused(5, torch::kDouble);
    fused.norm->fuse(reference_fused_norm());
    const auto expected = separate.run(in.x, in.shortcut, in.dy), got = fused.run(in.x, in.shortcut, in.dy);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(relative_distance(got[i], expected[i]), 1e-13) << kNormOutputs[i];
    EXPECT_EQ(fused.norm->num_batches_tracked.item<int64_t>(), 1);
  }
}

// The gradient of sum(y * dy) by central differences, element by element.
TEST(ReferenceFusedNorm, GradientsAreThoseOfFiniteDifferences) {
  const NormInputs in({3, 2, 3, 2}, torch::kDouble, /*adds=*/true);
  NormLayer layer(2, torch::kDouble);
  layer.norm->fuse(reference_fused_norm());
  const auto analytic = layer.run(in.x, in.shortcut, in.dy);
  const auto loss = [&] {
    const torch::NoGradGuard no_grad;
    return (layer.norm->forward_add_relu(in.x, in.shortcut) * in.dy).sum().item<double>();
  };
  const auto check = [&](Tensor at, const Tensor& got, const char* name) {
    const torch::NoGradGuard no_grad;
    const Tensor flat = at.as_strided({at.numel()}, {1}), flat_got = got.as_strided({got.numel()}, {1});
    ASSERT_EQ(at.strides(), got.strides());
    constexpr double kStep = 1e-6;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const double here = flat[i].item<double>();
      flat[i] = here + kStep;
      const double above = loss();
      flat[i] = here - kStep;
      const double below = loss();
      flat[i] = here;
      EXPECT_NEAR(flat_got[i].item<double>(), (above - below) / (2 * kStep), 1e-7) << name << " " << i;
    }
  };
  check(in.x, analytic[1], "dx");
  check(in.shortcut, analytic[6], "dshortcut");
  check(layer.norm->weight, analytic[2], "dweight");
  check(layer.norm->bias, analytic[3], "dbias");
}

// What libtorch makes of the same numbers in double is the truth for every type.
TEST(KernelFusedNorm, EqualsTorchsDoubleToTheRoundingOfTheType) {
  const std::pair<at::ScalarType, double> types[] = {
      {torch::kFloat, 3e-6}, {torch::kHalf, 1e-3}, {torch::kBFloat16, 7e-3}};
  for (const auto& [type, tolerance] : types) {
    for (const bool adds : {false, true}) {
      for (const int64_t channels : {16, 7}) {
        const NormInputs in({5, channels, 9, 6}, type, adds);
        NormLayer exact(channels, torch::kDouble), fused(channels, torch::kFloat);
        exact.norm->weight.set_data(fused.norm->weight.detach().to(torch::kDouble));
        exact.norm->bias.set_data(fused.norm->bias.detach().to(torch::kDouble));
        fused.norm->fuse(emulated());
        const auto expected = exact.run(in.x.to(torch::kDouble), adds ? in.shortcut.to(torch::kDouble) : Tensor(),
                                        in.dy.to(torch::kDouble));
        const auto got = fused.run(in.x, in.shortcut, in.dy);
        ASSERT_EQ(got.size(), expected.size());
        EXPECT_EQ(got[0].scalar_type(), type);
        EXPECT_EQ(got[1].scalar_type(), type);
        for (const size_t i : {0, 1, 2, 3})
          EXPECT_LT(relative_distance(got[i], expected[i]), tolerance) << kNormOutputs[i] << " " << type;
        if (adds) {
          EXPECT_LT(relative_distance(got[6], expected[6]), tolerance) << type;
        }
      }
    }
  }
}

TEST(KernelFusedNorm, TakesAnyLayoutAndAlignmentOfItsInputs) {
  const NormInputs plain({4, 8, 5, 5}, torch::kHalf, true), rows({4, 8, 5, 5}, torch::kHalf, true);
  NormLayer one(8, torch::kFloat), two(8, torch::kFloat);
  one.norm->fuse(emulated());
  two.norm->fuse(emulated());
  // The second half of a larger tensor, one element off a vector's address.
  const Tensor room = torch::zeros({4 * 8 * 25 + 1}, torch::kHalf);
  const Tensor odd = room.narrow(0, 1, 800).view({4, 5, 5, 8}).permute({0, 3, 1, 2});
  odd.copy_(plain.x);
  ASSERT_NE(reinterpret_cast<uintptr_t>(odd.data_ptr()) % 16, 0u);
  const auto expected = one.run(rows.x, rows.shortcut, rows.dy);
  BatchNorm2d& norm = two.norm;
  const Tensor x = odd.detach().requires_grad_();
  const Tensor shortcut = plain.shortcut.contiguous().requires_grad_();
  const Tensor y = norm->forward_add_relu(x, shortcut);
  y.backward(plain.dy.contiguous());
  EXPECT_TRUE(y.equal(expected[0]));
  EXPECT_TRUE(x.grad().equal(expected[1]));
  EXPECT_TRUE(shortcut.grad().equal(expected[6]));
}

TEST(KernelFusedNorm, ShortcutsOfAnotherTypeAreRoundedToTheBranchs) {
  const NormInputs in({2, 8, 3, 3}, torch::kBFloat16, true);
  NormLayer layer(8, torch::kFloat);
  layer.norm->fuse(emulated());
  const auto got = layer.run(in.x, in.shortcut.to(torch::kFloat), in.dy);
  EXPECT_EQ(got[0].scalar_type(), torch::kBFloat16);
  EXPECT_EQ(got[6].scalar_type(), torch::kFloat);
}

TEST(KernelFusedNorm, KeepsNoResultForBackward) {
  const NormInputs in({2, 8, 3, 3}, torch::kHalf, true);
  const NormLayer layer(8, torch::kFloat);
  FusedNorm::Parameters parameters;
  parameters.weight = layer.norm->weight;
  parameters.bias = layer.norm->bias;
  parameters.running_mean = layer.norm->running_mean;
  parameters.running_var = layer.norm->running_var;
  EXPECT_FALSE(emulated()->forward(in.x, in.shortcut, parameters).kept_y.defined());
  EXPECT_FALSE(emulated()->forward(in.x, {}, parameters).kept_y.defined());
}

TEST(KernelFusedNorm, LeavesWhatItCannotDoToLibtorch) {
  const auto norm = emulated();
  const Tensor weight = torch::ones({4});
  EXPECT_TRUE(norm->takes(torch::ones({2, 4, 1, 1}), weight));
  EXPECT_FALSE(norm->takes(torch::ones({2, 4, 1, 1}, torch::kDouble), weight));
  EXPECT_FALSE(norm->takes(torch::ones({2, 4, 1, 1}), weight.to(torch::kDouble)));
  EXPECT_FALSE(norm->takes(torch::ones({0, 4, 1, 1}), weight));
  EXPECT_FALSE(kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCUDA)->takes(torch::ones({2, 4, 1, 1}), weight));
}

TEST(KernelFusedNorm, ARefusedKernelIsAnErrorThatNamesTheWayOut) {
  const kernels::BatchNormLaunchers refusing = {
      [](const kernels::BatchNormForward&, kernels::Stream) { return kernels::KernelStatus{"out of luck"}; },
      [](const kernels::BatchNormBackward&, kernels::Stream) { return kernels::KernelStatus{"out of luck"}; }};
  BatchNorm2d norm(4);
  norm->fuse(kernel_fused_norm(refusing, torch::kCPU));
  try {
    norm->forward_relu(torch::ones({2, 4, 2, 2}));
    FAIL() << "the failure was lost";
  } catch (const imgpack::Error& error) {
    EXPECT_NE(std::string(error.what()).find("out of luck"), std::string::npos);
    EXPECT_NE(error.hint().find("--no-fused"), std::string::npos);
  }
}

// Counts what goes through it.
class CountingNorm : public FusedNorm {
 public:
  bool takes(const Tensor&, const Tensor&) const override { return true; }
  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    ++(shortcut.defined() ? added : plain);
    return inner->forward(x, shortcut, p);
  }
  Gradients backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut, const Parameters& p,
                     const Result& forward) const override {
    ++backwards;
    two_gradients += dy_too.defined() ? 1 : 0;
    return inner->backward(dy, dy_too, x, has_shortcut, p, forward);
  }
  std::shared_ptr<const FusedNorm> inner = reference_fused_norm();
  mutable int plain = 0, added = 0, backwards = 0, two_gradients = 0;
};

ResNet network(int depth, at::ScalarType type = torch::kFloat, Stem stem = Stem::kPlain) {
  ResNetOptions options;
  options.depth = depth;
  options.num_classes = 10;
  options.stem = stem;
  ResNet model(options);
  if (type != torch::kFloat) model->to(type);
  to_channels_last(*model);
  return model;
}

Tensor some_images(int64_t n, int64_t size, at::ScalarType type = torch::kFloat) {
  torch::manual_seed(11);
  return torch::randn({n, 3, size, size}, torch::kDouble).to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

std::vector<Tensor> gradients_of(ResNet& model, const Tensor& images) {
  model->zero_grad();
  const Tensor labels = torch::arange(images.size(0), torch::kLong) % 10;
  const Tensor logits = model->forward(images);
  torch::nn::functional::cross_entropy(
      logits.to(logits.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat), labels)
      .backward();
  std::vector<Tensor> all;
  for (const Tensor& parameter : model->parameters()) all.push_back(parameter.grad().to(torch::kDouble).flatten());
  return all;
}

// A map for two readers, of which one, the other or both have a gradient.
TEST(KernelFusedNorm, AddsTheGradientsOfTwoReaders) {
  const NormInputs in({5, 16, 9, 6}, torch::kHalf, true);
  torch::manual_seed(6);
  const Tensor other = torch::randn_like(in.dy);
  NormLayer one(16, torch::kFloat), two(16, torch::kFloat);
  one.norm->fuse(emulated());
  two.norm->fuse(emulated());
  for (const auto& [first, second] : {std::pair(true, true), {true, false}, {false, true}}) {
    const Tensor sum = first && second ? in.dy + other : first ? in.dy : other;
    const auto expected = one.run(in.x, in.shortcut, sum);
    const Tensor x = in.x.clone().requires_grad_(), shortcut = in.shortcut.clone().requires_grad_();
    two.norm->zero_grad();
    const ForkedMap map = two.norm->add_relu(x, shortcut, /*forks=*/true);
    EXPECT_EQ(map.branch.const_data_ptr(), map.shortcut.const_data_ptr());
    EXPECT_TRUE(torch::equal(map.branch, expected[0]));
    std::vector<Tensor> results, gradients;
    if (first) {
      results.push_back(map.branch);
      gradients.push_back(in.dy);
    }
    if (second) {
      results.push_back(map.shortcut);
      gradients.push_back(other);
    }
    torch::autograd::backward(results, gradients);
    EXPECT_TRUE(torch::equal(x.grad(), expected[1]));
    EXPECT_TRUE(torch::equal(shortcut.grad(), expected[6]));
    EXPECT_LT(relative_distance(two.norm->weight.grad(), expected[2]), 1e-6);
    EXPECT_LT(relative_distance(two.norm->bias.grad(), expected[3]), 1e-6);
  }
}

// relu(norm(x) + norm(shortcut)) for two readers, in one operation and in several.
TEST(KernelFusedNorm, TwoNormsInOneEqualTorchsDoubleToTheRoundingOfTheType) {
  for (const auto& [type, tolerance] :
       {std::pair(torch::kFloat, 3e-6), {torch::kHalf, 1e-3}, {torch::kBFloat16, 7e-3}}) {
    const NormInputs in({5, 16, 9, 6}, type, true);
    torch::manual_seed(6);
    const Tensor other = torch::randn(in.dy.sizes()).to(type).contiguous(at::MemoryFormat::ChannelsLast);
    struct Two {
      Two(at::ScalarType t) : branch(16, t), around(16, t) {
        const torch::NoGradGuard no_grad;
        around.norm->weight.mul_(0.5);
        around.norm->bias.add_(0.25);
      }
      std::vector<Tensor> run(const NormInputs& in, const Tensor& other) {
        const auto type_of = [&](const Tensor& t) {
          return branch.norm->weight.scalar_type() == torch::kDouble ? t.to(torch::kDouble) : t.clone();
        };
        const Tensor x = type_of(in.x).requires_grad_(), shortcut = type_of(in.shortcut).requires_grad_();
        const ForkedMap map = branch.norm->add_norm_relu(x, shortcut, *around.norm, /*forks=*/true);
        torch::autograd::backward({map.branch, map.shortcut}, {type_of(in.dy), type_of(other)});
        return {map.branch.detach(),      x.grad(),
                shortcut.grad(),          branch.norm->weight.grad(),
                branch.norm->bias.grad(), around.norm->weight.grad(),
                around.norm->bias.grad(), branch.norm->running_mean,
                branch.norm->running_var, around.norm->running_mean,
                around.norm->running_var};
      }
      NormLayer branch, around;
    };
    Two exact(torch::kDouble), fused(torch::kFloat);
    for (auto [to, from] : {std::pair{&exact.branch, &fused.branch}, {&exact.around, &fused.around}}) {
      to->norm->weight.set_data(from->norm->weight.detach().to(torch::kDouble));
      to->norm->bias.set_data(from->norm->bias.detach().to(torch::kDouble));
    }
    fused.branch.norm->fuse(emulated());
    fused.around.norm->fuse(emulated());
    const auto got = fused.run(in, other);
    const auto expected = exact.run(in, other);
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_LT(relative_distance(got[i], expected[i]), i < 7 ? 2 * tolerance : 1e-5) << i << " " << type;
    EXPECT_EQ(fused.branch.norm->num_batches_tracked.item<int64_t>(), 1);
    EXPECT_EQ(fused.around.norm->num_batches_tracked.item<int64_t>(), 1);
  }
}

// Counts pairs too.
class PairCountingNorm : public CountingNorm {
 public:
  bool takes_pairs() const override { return true; }
  PairResult forward_pair(const Tensor& x, const Parameters& p, const Tensor& shortcut,
                          const Parameters& shortcut_p) const override {
    ++pairs;
    return inner->forward_pair(x, p, shortcut, shortcut_p);
  }
  PairGradients backward_pair(const Tensor& dy, const Tensor& dy_too, const Tensor& x, const Parameters& p,
                              const Tensor& shortcut, const Parameters& shortcut_p,
                              const PairResult& forward) const override {
    two_gradients += dy_too.defined() ? 1 : 0;
    PairGradients gradients = inner->backward_pair(dy, dy_too, x, p, shortcut, shortcut_p, forward);
    if (forgets_shortcut) gradients.dweight.zero_();
    return gradients;
  }
  mutable int pairs = 0;
  bool forgets_shortcut = false;
};

TEST(FusedResNet, NormsOfAShortcutGoWithTheBranchs) {
  for (const int depth : {18, 50}) {
    const auto counter = std::make_shared<PairCountingNorm>();
    ResNet separate = network(depth, torch::kDouble), fused = network(depth, torch::kDouble);
    fuse_batch_norm(*fused, counter);
    const Tensor images = some_images(4, 64, torch::kDouble);
    const auto expected = gradients_of(separate, images), got = gradients_of(fused, images);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_LT(relative_distance(got[i], expected[i]), 1e-9) << i;
    const int blocks = depth == 18 ? 8 : 16, downsampled = depth == 18 ? 3 : 4;
    EXPECT_EQ(counter->pairs, downsampled);
    EXPECT_EQ(counter->added, blocks - downsampled);
    EXPECT_EQ(counter->two_gradients, blocks - 1);
  }
}

TEST(KernelCheck, NoticesAPairThatForgetsTheShortcut) {
  PairCountingNorm norm;
  EXPECT_EQ(disagreement(norm, torch::kCPU), "");
  norm.forgets_shortcut = true;
  EXPECT_NE(disagreement(norm, torch::kCPU).find("the shortcut weight's gradient of two batch norms"),
            std::string::npos);
}

TEST(FusedResNet, NoOneElseAddsGradientsWhereBlocksMeet) {
  const auto counter = std::make_shared<CountingNorm>();
  ResNet fused = network(50, torch::kDouble);
  fuse_batch_norm(*fused, counter);
  gradients_of(fused, some_images(2, 64, torch::kDouble));
  // 16 blocks; the last one's map has one reader.
  EXPECT_EQ(counter->added, 16);
  EXPECT_EQ(counter->two_gradients, 15);
}

TEST(FusedResNet, WholeGradientsOfEighteenAndFiftyLayersEqualTheSeparateOperations) {
  for (const int depth : {18, 50}) {
    for (const Stem stem : {Stem::kPlain, Stem::kDeep}) {
      ResNet separate = network(depth, torch::kDouble, stem), fused = network(depth, torch::kDouble, stem);
      fuse_batch_norm(*fused, reference_fused_norm());
      const Tensor images = some_images(4, 64, torch::kDouble);
      const auto expected = gradients_of(separate, images), got = gradients_of(fused, images);
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_LT(relative_distance(got[i], expected[i]), 1e-9) << depth << " parameter " << i;
      const auto buffers = separate->named_buffers(), own = fused->named_buffers();
      for (const auto& item : buffers)
        ASSERT_TRUE(torch::allclose(own[item.key()].to(torch::kDouble), item.value().to(torch::kDouble), 1e-10, 1e-12))
            << item.key();
    }
  }
}

// In float and in bf16 both ways round; neither may be further from double than the other by more than chance.
TEST(FusedResNet, KernelsAreAsCloseToDoubleAsLibtorchsOwnOperations) {
  const Tensor images = some_images(8, 64);
  ResNet exact = network(18, torch::kDouble);
  const Tensor truth = torch::cat(gradients_of(exact, images.to(torch::kDouble)));
  for (const bool bf16 : {false, true}) {
    const auto distance = [&](const std::shared_ptr<const FusedNorm>& norm) {
      ResNet model = network(18);
      fuse_batch_norm(*model, norm);
      at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
      at::autocast::set_autocast_enabled(at::kCPU, bf16);
      const auto gradients = gradients_of(model, images);
      at::autocast::clear_cache();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      return relative_distance(torch::cat(gradients), truth);
    };
    const double separate = distance(nullptr), fused = distance(emulated());
    EXPECT_LT(fused, 1.5 * separate) << (bf16 ? "bf16" : "float");
    EXPECT_LT(fused, bf16 ? 0.5 : 1e-3);
  }
}

TEST(FusedResNet, FusesEveryNormThatReluFollowsAndNoOther) {
  const auto counter = std::make_shared<CountingNorm>();
  ResNet model = network(50);
  fuse_batch_norm(*model, counter);
  gradients_of(model, some_images(2, 64));
  EXPECT_EQ(counter->plain, 1 + 2 * 16);  // The stem's, and two of every block.
  EXPECT_EQ(counter->added, 16);
  EXPECT_EQ(counter->backwards, 49);
}

TEST(FusedResNet, EvaluationAndSynchronizedNormsNeverUseIt) {
  const auto counter = std::make_shared<CountingNorm>();
  ResNet model = network(18), plain = network(18);
  fuse_batch_norm(*model, counter);
  model->eval();
  plain->eval();
  const Tensor images = some_images(2, 32);
  EXPECT_TRUE(model->forward(images).equal(plain->forward(images)));
  const SumOverRanks alone = [](Tensor&) {};
  synchronize_batch_norm(*model, alone);
  synchronize_batch_norm(*plain, alone);
  model->train();
  plain->train();
  EXPECT_TRUE(model->forward(images).equal(plain->forward(images)));
  EXPECT_EQ(counter->plain + counter->added, 0);
}

TEST(FusedResNet, DroppedBranchesAreScaledBeforeTheShortcutIsAdded) {
  const auto counter = std::make_shared<CountingNorm>();
  ResNet separate = network(18, torch::kDouble), fused = network(18, torch::kDouble);
  fuse_batch_norm(*fused, counter);
  const Tensor scales = torch::rand({8, 4}, torch::kDouble);
  separate->scale_branches(scales);
  fused->scale_branches(scales);
  const Tensor images = some_images(4, 32, torch::kDouble);
  const auto expected = gradients_of(separate, images), got = gradients_of(fused, images);
  for (size_t i = 0; i < got.size(); ++i) ASSERT_LT(relative_distance(got[i], expected[i]), 1e-9) << i;
  EXPECT_EQ(counter->plain, 9);
  EXPECT_EQ(counter->added, 0);
}

TEST(FusedResNet, StatisticsOfGroupsAreCollectedAsTheSeparateOperationsLeaveThem) {
  ResNet separate = network(18), fused = network(18);
  fuse_batch_norm(*fused, emulated());
  const Tensor images = some_images(12, 32);
  for (ResNet* model : {&separate, &fused}) {
    BatchNormStatistics statistics(**model);
    for (int step = 0; step < 2; ++step) {
      statistics.begin_step();
      for (const int64_t begin : {0, 8}) {
        const int64_t count = begin == 0 ? 8 : 4;
        (*model)->forward(images.narrow(0, begin, count));
        statistics.add_group(count);
      }
      statistics.commit();
    }
  }
  const auto buffers = separate->named_buffers(), own = fused->named_buffers();
  for (const auto& item : buffers) EXPECT_LT(relative_distance(own[item.key()], item.value()), 2e-4) << item.key();
  EXPECT_EQ(own["bn1.num_batches_tracked"].item<int64_t>(), 2);
}

TEST(FusedResNet, ASingleValuePerChannelIsRefusedAsBefore) {
  BatchNorm2d norm(4);
  norm->fuse(reference_fused_norm());
  EXPECT_THROW(norm->forward_relu(torch::ones({1, 4, 1, 1})), imgpack::Error);
}

TEST(FusedResNetOnCuda, WholeGradientEqualsTheSeparateOperations) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  const auto kernels = device_fused_norm(torch::Device(torch::kCUDA, 0));
  if (kernels == nullptr) GTEST_SKIP() << "no CUDA kernels for this device";
  const Tensor images = some_images(16, 96).to(torch::kCUDA);
  ResNet exact = network(50, torch::kDouble);
  exact->to(torch::kCUDA);
  const auto cpu_labels_gradients = [&](ResNet& model, const Tensor& x) {
    model->zero_grad();
    const Tensor labels = (torch::arange(x.size(0), torch::kLong) % 10).to(torch::kCUDA);
    const Tensor logits = model->forward(x);
    torch::nn::functional::cross_entropy(logits.to(x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat),
                                         labels)
        .backward();
    std::vector<Tensor> all;
    for (const Tensor& parameter : model->parameters()) all.push_back(parameter.grad().to(torch::kDouble).flatten());
    return torch::cat(all);
  };
  const Tensor truth = cpu_labels_gradients(exact, images.to(torch::kDouble));
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const auto distance = [&](const std::shared_ptr<const FusedNorm>& norm) {
      ResNet model = network(50);
      model->to(torch::kCUDA);
      fuse_batch_norm(*model, norm);
      at::autocast::set_autocast_dtype(at::kCUDA, type);
      at::autocast::set_autocast_enabled(at::kCUDA, true);
      const Tensor gradient = cpu_labels_gradients(model, images);
      at::autocast::clear_cache();
      at::autocast::set_autocast_enabled(at::kCUDA, false);
      return relative_distance(gradient, truth);
    };
    EXPECT_LT(distance(kernels), 1.5 * distance(nullptr)) << type;
  }
}

TEST(KernelCheck, FindsTheKernelsAndTheReferenceRight) {
  const Tensor before = at::detail::getDefaultCPUGenerator().get_state();
  EXPECT_EQ(disagreement(*emulated(), torch::kCPU), "");
  EXPECT_EQ(disagreement(*reference_fused_norm(), torch::kCPU), "");
  EXPECT_TRUE(torch::equal(at::detail::getDefaultCPUGenerator().get_state(), before));
}

kernels::KernelStatus refused(const kernels::BatchNormForward&, kernels::Stream) {
  return {"no kernel image is available"};
}

kernels::KernelStatus forgets_the_gradient(const kernels::BatchNormBackward& given, kernels::Stream stream) {
  kernels::BatchNormBackward a = given;
  a.activation = kernels::Activation::kNone;  // As if ReLU let everything pass.
  return kernels::kEmulatedBatchNorm.backward(a, stream);
}

TEST(KernelCheck, NamesWhatAnotherDeviceGetsWrongOrRefuses) {
  const auto silent = kernel_fused_norm({refused, kernels::kEmulatedBatchNorm.backward}, torch::kCPU);
  EXPECT_NE(disagreement(*silent, torch::kCPU).find("no kernel image is available"), std::string::npos);
  const auto wrong = kernel_fused_norm({kernels::kEmulatedBatchNorm.forward, forgets_the_gradient}, torch::kCPU);
  EXPECT_NE(disagreement(*wrong, torch::kCPU).find("the input's gradient of batch norm in Float"), std::string::npos)
      << disagreement(*wrong, torch::kCPU);
}

// The reference with a flaw.
class FlawedNorm : public CountingNorm {
 public:
  bool takes(const Tensor& x, const Tensor&) const override { return x.scalar_type() == only; }
  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    Result result = inner->forward(x, shortcut, p);
    if (hides_nan) result.y.nan_to_num_(0);
    if (x.abs().max().item<double>() > overflows_at) result.y.fill_(0);
    return result;
  }
  at::ScalarType only = at::kHalf;
  bool hides_nan = false;
  double overflows_at = 1e9;
};

TEST(KernelCheck, LeavesOutNumberTypesThatAreNotTaken) {
  FlawedNorm half_only;
  EXPECT_EQ(disagreement(half_only, torch::kCPU), "");
  FlawedNorm nothing;
  nothing.only = at::kDouble;
  EXPECT_EQ(disagreement(nothing, torch::kCPU), "it takes no number type on this device");
}

TEST(KernelCheck, NoticesHiddenNanAndOverflownSums) {
  FlawedNorm hiding;
  hiding.hides_nan = true;
  EXPECT_NE(disagreement(hiding, torch::kCPU).find("NaN in one channel of batch norm in Half"), std::string::npos);
  FlawedNorm overflowing;
  overflowing.overflows_at = 100;
  EXPECT_NE(disagreement(overflowing, torch::kCPU).find("the result of batch norm in Half"), std::string::npos);
}

}  // namespace
}  // namespace imgtrain
