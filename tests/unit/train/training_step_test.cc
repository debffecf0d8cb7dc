#include "engine/train/training_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/model/weights.h"
#include "engine/train/lr_finder.h"
#include "tests/unit/train/small_run.h"

namespace imgtrain {
namespace {

constexpr int64_t kClasses = 5;

// A batch whose images show their label as a brightness.
DeviceBatch labelled_batch(int64_t count, int64_t global_count = 0) {
  torch::manual_seed(7);
  DeviceBatch batch;
  batch.count = count;
  batch.global_count = global_count == 0 ? count : global_count;
  batch.labels = torch::arange(count, torch::kLong) % kClasses;
  batch.images = (torch::randint(40, {count, 32, 32, 3}, torch::kLong) + 50 * batch.labels.view({count, 1, 1, 1}))
                     .to(torch::kUInt8);
  return batch;
}

struct Trial {
  explicit Trial(const RunConfig& config)
      : sync(make_gradient_sync(Launch(), torch::kCPU)), model(make(config)), step(model, config, torch::kCPU, *sync) {}
  static ResNet make(const RunConfig& config) {
    ResNet model(ResNetOptions{.depth = static_cast<int>(config.depth), .num_classes = kClasses});
    if (config.precision == Precision::kFp64) to_double(*model);
    to_channels_last(*model);
    return model;
  }
  Totals steps(const DeviceBatch& batch, int count, double lr = 0.05) {
    DeviceTotals totals(torch::kCPU);
    for (int i = 0; i < count; ++i) {
      totals.reset();
      step.run(batch, {lr, 0.9}, totals);
    }
    return totals.read();
  }
  std::unique_ptr<GradientSync> sync;
  ResNet model;
  TrainingStep step;
};

double largest_difference(const ResNet& a, const ResNet& b) {
  double largest = 0;
  const auto left = state_dict(*a), right = state_dict(*b);
  for (size_t i = 0; i < left.size(); ++i)
    largest = std::max(
        largest, (left[i].second.to(torch::kDouble) - right[i].second.to(torch::kDouble)).abs().max().item<double>());
  return largest;
}

TEST(TrainingStep, LearnsAnEasyBatch) {
  Trial run(small_run(20, 20));
  const double first = run.steps(labelled_batch(20), 1).loss();
  EXPECT_LT(run.steps(labelled_batch(20), 8).loss(), 0.5 * first);
}

TEST(TrainingStep, IsDeterministic) {
  Trial one(small_run(8, 8)), two(small_run(8, 8));
  one.steps(labelled_batch(8), 3);
  two.steps(labelled_batch(8), 3);
  EXPECT_EQ(largest_difference(one.model, two.model), 0);
}

// The reference is plain PyTorch: groups are separate forward passes whose gradients add up.
TEST(TrainingStep, GradientIsThatOfTheMeanLossOverAllGroups) {
  const DeviceBatch batch = labelled_batch(12);
  Trial run(small_run(12, 4));
  run.steps(batch, 1, /*lr=*/0);
  ResNet reference = Trial::make(small_run(12, 4));
  PixelNormalizer normalize(torch::kCPU);
  torch::Tensor loss = torch::zeros({});
  for (int64_t begin = 0; begin < 12; begin += 4) {
    const torch::Tensor logits = reference->forward(normalize(batch.images.narrow(0, begin, 4)));
    loss = loss + torch::nn::functional::cross_entropy(logits, batch.labels.narrow(0, begin, 4)) / 3;
  }
  loss.backward();
  const auto ours = run.model->parameters(), theirs = reference->parameters();
  for (size_t i = 0; i < ours.size(); ++i)
    EXPECT_LT((ours[i].grad() - theirs[i].grad()).abs().max().item<double>(), 1e-5) << i;
}

TEST(TrainingStep, SharesOfAGlobalBatchAddUpToTheWholeGradient) {
  const DeviceBatch whole = labelled_batch(8);
  Trial all(small_run(8, 4));
  all.steps(whole, 1, 0);
  std::vector<torch::Tensor> sum;
  for (int64_t begin : {0, 4}) {
    DeviceBatch share = whole;
    share.images = whole.images.narrow(0, begin, 4);
    share.labels = whole.labels.narrow(0, begin, 4);
    share.count = 4;
    Trial part(small_run(8, 4));
    part.steps(share, 1, 0);
    const auto parameters = part.model->parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (begin == 0) {
        sum.push_back(parameters[i].grad().clone());
      } else {
        sum[i] += parameters[i].grad();
      }
    }
  }
  const auto parameters = all.model->parameters();
  for (size_t i = 0; i < sum.size(); ++i)
    EXPECT_LT((sum[i] - parameters[i].grad()).abs().max().item<double>(), 1e-5) << i;
}

// Sharpness-aware minimisation by hand: up by rho g / |g| in each group, the gradient from there.
TEST(TrainingStep, SharpnessAwareGradientsAreThoseOfTheClimbedWeights) {
  const DeviceBatch batch = labelled_batch(12);
  RunConfig config = small_run(12, 4);
  config.sam_rho = 0.05;
  config.sam_interval = 2;
  // Four images a group leave four values a statistic in the last stage: rounding in fp32 grows to percents there.
  config.precision = Precision::kFp64;
  Trial run(config);
  DeviceTotals totals(torch::kCPU);
  run.step.run(batch, {{0, 0.9}, 1}, totals);  // The second step: its number is 1.
  ResNet reference = Trial::make(config);
  PixelNormalizer normalize(torch::kCPU, torch::kDouble);
  std::vector<torch::Tensor> expected;
  for (const torch::Tensor& parameter : reference->parameters()) expected.push_back(torch::zeros_like(parameter));
  const auto gradient_at = [&](int64_t begin) {
    const torch::Tensor logits = reference->forward(normalize(batch.images.narrow(0, begin, 4)));
    return torch::autograd::grad({torch::nn::functional::cross_entropy(logits, batch.labels.narrow(0, begin, 4))},
                                 reference->parameters());
  };
  for (int64_t begin = 0; begin < 12; begin += 4) {
    const auto up = gradient_at(begin);
    torch::Tensor squares = torch::zeros({}, torch::kDouble);
    for (const torch::Tensor& gradient : up) squares = squares + gradient.square().sum();
    const auto move = [&](double sign) {
      const torch::NoGradGuard no_grad;
      auto parameters = reference->parameters();
      for (size_t i = 0; i < parameters.size(); ++i) parameters[i].add_(up[i] * (sign * 0.05) / squares.sqrt());
    };
    move(1);
    const auto there = gradient_at(begin);
    move(-1);
    for (size_t i = 0; i < there.size(); ++i) expected[i] += there[i] / 3;
  }
  const auto ours = run.model->parameters();
  for (size_t i = 0; i < ours.size(); ++i)
    EXPECT_LT((ours[i].grad() - expected[i]).norm().item<double>(), 1e-6 * expected[i].norm().item<double>()) << i;
  // Weights are back where they were, to the bit.
  EXPECT_TRUE(ours[0].equal(Trial::make(config)->parameters()[0]));
}

TEST(TrainingStep, OtherStepsThanTheIntervalsAreOrdinaryOnes) {
  RunConfig plain = small_run(8, 8), sharp = plain;
  sharp.sam_rho = 0.05;
  sharp.sam_interval = 2;
  Trial one(plain), two(sharp);
  DeviceTotals totals(torch::kCPU);
  one.step.run(labelled_batch(8), {{0.1, 0.9}, 0}, totals);
  two.step.run(labelled_batch(8), {{0.1, 0.9}, 0}, totals);
  EXPECT_EQ(largest_difference(one.model, two.model), 0);
}

TEST(TrainingStep, MixingAndDroppedBranchesFollowTheStepAndTheGroupAlone) {
  RunConfig config = small_run(8, 4);
  config.mixup = 0.2;
  config.cutmix = 1;
  config.drop_path = 0.3;
  config.label_smoothing = 0.1;
  const auto weights_after = [&](uint64_t step, bool halves) {
    Trial run(config);
    DeviceTotals totals(torch::kCPU);
    DeviceBatch batch = labelled_batch(8);
    if (!halves) {
      run.step.run(batch, {{0, 0.9}, step}, totals);
      return run.model->parameters()[0].grad().clone();
    }
    torch::Tensor sum;
    for (const int64_t first : {0, 4}) {  // As two ranks would see it.
      DeviceBatch share = batch;
      share.images = batch.images.narrow(0, first, 4);
      share.labels = batch.labels.narrow(0, first, 4);
      share.count = 4;
      share.first = first;
      run.step.run(share, {{0, 0.9}, step}, totals);
      const torch::Tensor gradient = run.model->parameters()[0].grad().clone();
      sum = sum.defined() ? sum + gradient : gradient;
    }
    return sum;
  };
  const torch::Tensor whole = weights_after(5, false);
  EXPECT_TRUE(whole.equal(weights_after(5, false)));
  EXPECT_FALSE(whole.equal(weights_after(6, false)));
  EXPECT_LT((whole - weights_after(5, true)).norm().item<double>(), 1e-4 * whole.norm().item<double>());
}

TEST(GroupInput, BlankedBoxesAreTheMeanColour) {
  torch::Tensor images = torch::ones({2, 3, 8, 8});
  data::BlankBoxes boxes[2];
  boxes[1].erase = {1, 2, 3, 4};
  blank(images, boxes);
  EXPECT_EQ(images[0].min().item<float>(), 1);
  EXPECT_EQ(images[1].sum().item<float>(), 3 * (64 - 12));
  EXPECT_EQ(images.index({1, 0, torch::indexing::Slice(2, 6), torch::indexing::Slice(1, 4)}).max().item<float>(), 0);
}

TEST(GroupInput, ShrinkingIsTorchsNearestInterpolation) {
  const torch::Tensor images = torch::rand({2, 3, 44, 44});
  namespace F = torch::nn::functional;
  const torch::Tensor expected = F::interpolate(
      images, F::InterpolateFuncOptions().scale_factor(std::vector<double>{0.5, 0.5}).mode(torch::kNearest));
  EXPECT_TRUE(shrink(images, 22).equal(expected));
}

TEST(TrainingStep, RunningStatisticsMoveOnceAStepHoweverManyGroups) {
  Trial run(small_run(12, 4));
  run.steps(labelled_batch(12), 2);
  EXPECT_EQ(run.model->named_buffers()["bn1.num_batches_tracked"].item<int64_t>(), 2);
}

TEST(TrainingStep, Bf16FollowsFp32Closely) {
  RunConfig low = small_run(20, 20);
  low.precision = Precision::kBf16;
  Trial exact(small_run(20, 20)), lowered(low);
  EXPECT_NEAR(exact.steps(labelled_batch(20), 4).loss(), lowered.steps(labelled_batch(20), 4).loss(), 0.15);
}

// A GradientSync that puts an infinity among the summed gradients when it is told to, as an overflow would.
class OverflowingSync : public GradientSync {
 public:
  explicit OverflowingSync(torch::Device device) : inner_(make_gradient_sync(Launch(), device)) {}
  bool overflow = false;

  void attach(const std::vector<torch::Tensor>& parameters) override {
    parameters_ = parameters;
    inner_->attach(parameters);
  }
  void finish() override {
    inner_->finish();
    if (overflow) parameters_.back().mutable_grad().flatten()[0] = INFINITY;
  }
  int rank() const override { return inner_->rank(); }
  int world() const override { return inner_->world(); }
  void broadcast(const std::vector<torch::Tensor>& tensors) override { inner_->broadcast(tensors); }
  void zero_gradients() override { inner_->zero_gradients(); }
  void begin_backward(bool last) override { inner_->begin_backward(last); }
  void all_reduce_sum(torch::Tensor& tensor) override { inner_->all_reduce_sum(tensor); }
  void all_reduce_max(torch::Tensor& tensor) override { inner_->all_reduce_max(tensor); }
  void barrier() override { inner_->barrier(); }
  std::string share(const std::string& text) override { return inner_->share(text); }
  void enter(RankStage stage, std::function<double()> read_seconds) override { inner_->enter(stage, read_seconds); }
  void at_step(uint64_t step) override { inner_->at_step(step); }
  void require_all() override { inner_->require_all(); }
  void fail(const imgpack::Error& error) override { inner_->fail(error); }
  void finish_run() override { inner_->finish_run(); }
  void abort() override { inner_->abort(); }
  uint64_t bytes_per_step() const override { return inner_->bytes_per_step(); }
  void record(bool on) override { inner_->record(on); }

 private:
  std::unique_ptr<GradientSync> inner_;
  std::vector<torch::Tensor> parameters_;
};

// A training run refuses fp16 on a CPU for its speed; its arithmetic is there, and two images are enough of it.
void expect_overflow_skips_and_goes_on(torch::Device device) {
  RunConfig config = small_run(2, 2);
  config.precision = Precision::kFp16;
  config.loss_scale_init = 16;
  OverflowingSync sync(device);
  ResNet model = Trial::make(config);
  model->to(device);
  TrainingStep step(model, config, device, sync);
  DeviceBatch batch = labelled_batch(2);
  batch.images = batch.images.to(device);
  batch.labels = batch.labels.to(device);
  const auto weights = [&] {
    std::vector<torch::Tensor> copies;
    for (const torch::Tensor& parameter : model->parameters()) copies.push_back(parameter.detach().cpu().clone());
    for (const auto& [name, momentum] : step.optimizer().state()) copies.push_back(momentum.detach().cpu().clone());
    return copies;
  };
  DeviceTotals totals(device);
  for (const bool overflow : {false, true, false}) {
    const auto before = weights();
    const double scale = step.scaler().state()->scale;
    sync.overflow = overflow;
    step.run(batch, {0.01, 0.9}, totals);
    const auto after = weights();
    bool moved = false;
    for (size_t i = 0; i < after.size(); ++i) {
      moved |= !torch::equal(after[i], before[i]);
      EXPECT_TRUE(after[i].isfinite().all().item<bool>()) << i;
    }
    EXPECT_EQ(moved, !overflow);
    EXPECT_DOUBLE_EQ(step.scaler().state()->scale, overflow ? scale / 2 : scale);
  }
  EXPECT_TRUE(std::isfinite(totals.read().loss()));
}

TEST(TrainingStep, AnOverflowSkipsTheStepHalvesTheScaleAndTheRunGoesOn) {
  expect_overflow_skips_and_goes_on(torch::kCPU);
}

TEST(TrainingStepOnCuda, AnOverflowSkipsTheStepHalvesTheScaleAndTheRunGoesOn) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device here";
  expect_overflow_skips_and_goes_on(torch::Device(torch::kCUDA, 0));
}

TEST(RangeTest, GivesTheCurveAndPutsEverythingBack) {
  Trial run(small_run(20, 20));
  const DeviceBatch batch = labelled_batch(20);
  run.steps(batch, 1);  // Momentum and statistics that are not zero.
  std::vector<torch::Tensor> before;
  for (const auto& [name, tensor] : state_dict(*run.model)) before.push_back(tensor.detach().clone());
  for (const auto& [name, tensor] : run.step.optimizer().state()) before.push_back(tensor.detach().clone());
  LrRange range{1e-5, 1, 12};
  const auto curve = range_test(run.step, range, 0.9, [&] { return std::optional(batch); });
  ASSERT_TRUE(curve);
  EXPECT_GT(curve->points().size(), 5u);
  EXPECT_DOUBLE_EQ(curve->points()[1].lr, rate_at(range, 1));
  EXPECT_LT(curve->points()[5].loss, curve->points()[0].loss);
  std::vector<torch::Tensor> after;
  for (const auto& [name, tensor] : state_dict(*run.model)) after.push_back(tensor);
  for (const auto& [name, tensor] : run.step.optimizer().state()) after.push_back(tensor);
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i])) << i;
  int calls = 0;
  EXPECT_FALSE(range_test(run.step, range, 0.9, [&]() -> std::optional<DeviceBatch> {
    return ++calls < 3 ? std::optional(batch) : std::nullopt;
  }));
}

TEST(StageClock, TimesOfAStepAreThereWhenItIsDoneAndOnlyOnce) {
  Trial run(small_run(8, 8));
  run.steps(labelled_batch(8), 2);
  for (int i = 0; i < 2; ++i) {
    const auto times = run.step.clock().take();
    ASSERT_TRUE(times);
    EXPECT_GT(times->forward_backward, times->optimizer);
  }
  EXPECT_FALSE(run.step.clock().take());
}

TEST(PixelNormalizer, IsTorchvisionsToTensorAndNormalize) {
  torch::manual_seed(3);
  const torch::Tensor images = torch::randint(256, {2, 5, 7, 3}, torch::kLong).to(torch::kUInt8);
  const torch::Tensor got = PixelNormalizer(torch::kCPU)(images);
  const torch::Tensor mean = torch::tensor({0.485, 0.456, 0.406}).view({1, 3, 1, 1});
  const torch::Tensor deviation = torch::tensor({0.229, 0.224, 0.225}).view({1, 3, 1, 1});
  const torch::Tensor expected = (images.permute({0, 3, 1, 2}).to(torch::kFloat) / 255 - mean) / deviation;
  EXPECT_LT((got - expected).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(got.is_contiguous(at::MemoryFormat::ChannelsLast));
}

}  // namespace
}  // namespace imgtrain
