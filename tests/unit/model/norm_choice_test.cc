// The choice among kernels for a fused batch norm, with a clock of ours: candidates say what they cost.
#include "engine/model/norm_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/model/kernel_check.h"
#include "engine/model/resnet.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"
#include "tests/unit/model/norm_layer.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// Time passes only where a candidate spends it.
class ManualClock : public DeviceClock {
 public:
  bool records(torch::Device) const override { return recording; }
  double seconds(torch::Device, int runs, const std::function<void()>& work) const override {
    ++asked;
    const double begin = now;
    for (int run = 0; run < runs; ++run) work();
    return (now - begin) / runs;
  }
  mutable double now = 0;
  mutable std::atomic<int> asked = 0;
  bool recording = false;
};

// The reference, at a price. Its backward knows the masks of its own forward passes and expects one of them.
class PricedNorm : public FusedNorm {
 public:
  PricedNorm(std::shared_ptr<const ManualClock> clock, double forward_seconds, double backward_seconds)
      : clock_(std::move(clock)), forward_seconds_(forward_seconds), backward_seconds_(backward_seconds) {}

  bool takes(const Tensor& x, const Tensor& weight) const override {
    return x.size(1) != not_taken && inner_->takes(x, weight);
  }
  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    if (x.size(1) == out_of_memory) throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "no room");
    if (x.size(1) == refused) throw std::runtime_error("cannot do that");
    ++forwards;
    clock_->now += forward_seconds_;
    Result result = inner_->forward(x, shortcut, p);
    made_.push_back(result.mask);
    if (keeps) result.kept_y = result.y;
    return result;
  }
  Gradients backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut, const Parameters& p,
                     const Result& forward) const override {
    EXPECT_TRUE(std::any_of(made_.begin(), made_.end(), [&](const Tensor& mask) { return mask.is_same(forward.mask); }))
        << "the mask is another candidate's";
    EXPECT_EQ(forward.kept_y.defined(), keeps);
    ++backwards;
    clock_->now += backward_seconds_;
    Result masked = forward;
    if (keeps) masked.mask = forward.kept_y.le(0);  // All it knows of ReLU.
    two_gradients += dy_too.defined() ? 1 : 0;
    return inner_->backward(dy, dy_too, x, has_shortcut, p, masked);
  }

  int64_t not_taken = 0, refused = 0, out_of_memory = 0;  // Channels of which that is so.
  bool keeps = false;
  mutable int forwards = 0, backwards = 0, two_gradients = 0;

 private:
  std::shared_ptr<const ManualClock> clock_;
  double forward_seconds_, backward_seconds_;
  std::shared_ptr<const FusedNorm> inner_ = reference_fused_norm();
  mutable std::vector<Tensor> made_;
};

// Two candidates and the choice of them.
struct Bench {
  Bench(std::pair<double, double> own_seconds, std::pair<double, double> other_seconds)
      : own(std::make_shared<PricedNorm>(clock, own_seconds.first, own_seconds.second)),
        other(std::make_shared<PricedNorm>(clock, other_seconds.first, other_seconds.second)),
        choice(std::make_shared<NormChoice>(std::vector<NormCandidate>{{"own", own}, {"other", other}}, clock)) {}

  // One training pass of a new layer in double, and what the separate operations make of the same.
  void expect_right(at::IntArrayRef sizes, bool adds) {
    const NormInputs in(sizes, torch::kDouble, adds);
    NormLayer separate(sizes[1], torch::kDouble), fused(sizes[1], torch::kDouble);
    fused.norm->fuse(choice);
    const auto expected = separate.run(in.x, in.shortcut, in.dy), got = fused.run(in.x, in.shortcut, in.dy);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(relative_distance(got[i], expected[i]), 1e-13) << kNormOutputs[i];
  }
  void forget_counts() {
    for (const auto& norm : {own, other}) norm->forwards = norm->backwards = 0;
  }

  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::shared_ptr<PricedNorm> own, other;
  std::shared_ptr<NormChoice> choice;
};

TEST(Fastest, NeedsMoreThanNoiseToLeaveAnEarlierCandidate) {
  EXPECT_EQ(fastest({1.0, 0.99}), 0u);
  EXPECT_EQ(fastest({1.0, 0.97}), 1u);
  EXPECT_EQ(fastest({1.0, 1.0}), 0u);
  EXPECT_EQ(fastest({std::nullopt, 5.0}), 1u);
  EXPECT_EQ(fastest({5.0, std::nullopt}), 0u);
  EXPECT_EQ(fastest({3.0, 2.0, 1.0}), 2u);
  EXPECT_EQ(fastest({std::nullopt, std::nullopt}), std::nullopt);
  EXPECT_EQ(fastest({}), std::nullopt);
}

TEST(NormChoice, TakesTheFasterOfForwardAndBackwardTogether) {
  Bench bench({2, 3}, {1, 5});
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  const auto trials = bench.choice->trials();
  ASSERT_EQ(trials.size(), 1u);
  EXPECT_EQ(trials[0].shape, (NormShape{3 * 5 * 2, 4, torch::kDouble, /*adds=*/true, /*relu=*/true}));
  EXPECT_DOUBLE_EQ(trials[0].seconds[0].value(), 5);
  EXPECT_DOUBLE_EQ(trials[0].seconds[1].value(), 6);
  EXPECT_EQ(trials[0].chosen, 0u);

  Bench reverse({2, 3}, {1, 3});
  reverse.expect_right({3, 4, 5, 2}, /*adds=*/false);
  EXPECT_EQ(reverse.choice->trials().at(0).chosen, 1u);
}

TEST(NormChoice, TriesAShapeOnceAndThenRunsTheChosenOneAlone) {
  Bench bench({2, 2}, {1, 1});
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  const int asked = bench.clock->asked;
  EXPECT_GT(asked, 0);
  bench.forget_counts();
  bench.expect_right({5, 4, 2, 3}, /*adds=*/true);  // As many rows and channels.
  EXPECT_EQ(bench.clock->asked, asked);
  EXPECT_EQ(bench.own->forwards + bench.own->backwards, 0);
  EXPECT_EQ(bench.other->forwards, 1);
  EXPECT_EQ(bench.other->backwards, 1);
  EXPECT_EQ(bench.choice->trials().size(), 1u);
}

TEST(NormChoice, WhateverDecidesTheTimeIsAShapeOfItsOwn) {
  Bench bench({1, 1}, {2, 2});
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  bench.expect_right({3, 4, 5, 2}, /*adds=*/false);
  bench.expect_right({3, 4, 5, 3}, /*adds=*/true);
  bench.expect_right({3, 8, 5, 2}, /*adds=*/true);
  NormLayer layer(4, torch::kFloat);
  layer.norm->fuse(bench.choice);
  const NormInputs in({3, 4, 5, 2}, torch::kFloat, true);
  layer.run(in.x, in.shortcut, in.dy);
  EXPECT_EQ(bench.choice->trials().size(), 5u);
  EXPECT_EQ(bench.own->two_gradients, 0);
  // For two readers: timed with two gradients.
  const ForkedMap map = layer.norm->add_relu(in.x, in.shortcut, /*forks=*/true);
  EXPECT_EQ(bench.choice->trials().size(), 6u);
  EXPECT_GT(bench.own->two_gradients, 0);
}

TEST(NormChoice, ATrialLeavesStatisticsGeneratorsAndGradientsAlone) {
  Bench bench({1, 1}, {2, 2});
  NormLayer layer(4, torch::kDouble);
  const NormInputs in({3, 4, 5, 2}, torch::kDouble, true);
  const Tensor generator = at::detail::getDefaultCPUGenerator().get_state();
  FusedNorm::Parameters p;
  p.weight = layer.norm->weight;
  p.bias = layer.norm->bias;
  p.running_mean = layer.norm->running_mean;
  p.running_var = layer.norm->running_var;
  FusedNorm::Parameters once = p;
  once.running_mean = p.running_mean.clone();
  once.running_var = p.running_var.clone();
  const Tensor x = in.x.clone().requires_grad_();
  const Tensor y = forked_batch_norm(bench.choice, x, in.shortcut, p).branch;
  EXPECT_TRUE(torch::equal(at::detail::getDefaultCPUGenerator().get_state(), generator));
  const torch::NoGradGuard no_grad;
  reference_fused_norm()->forward(in.x, in.shortcut, once);
  EXPECT_TRUE(p.running_mean.equal(once.running_mean));
  EXPECT_TRUE(p.running_var.equal(once.running_var));
  EXPECT_TRUE(x.equal(in.x));
  EXPECT_FALSE(x.grad().defined());
  EXPECT_FALSE(p.weight.grad().defined());
}

TEST(NormChoice, ACandidateThatFailsIsOutForThatShapeOnly) {
  Bench bench({2, 2}, {1, 1});
  bench.other->refused = 4;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  bench.expect_right({3, 8, 5, 2}, /*adds=*/true);
  const auto trials = bench.choice->trials();
  ASSERT_EQ(trials.size(), 2u);
  EXPECT_EQ(trials[0].shape.channels, 4);
  EXPECT_EQ(trials[0].chosen, 0u);
  EXPECT_FALSE(trials[0].seconds[1].has_value());
  EXPECT_EQ(trials[1].chosen, 1u);
}

TEST(NormChoice, WhereAllFailTheFirstSaysWhy) {
  Bench bench({1, 1}, {2, 2});
  bench.own->refused = bench.other->refused = 4;
  NormLayer layer(4, torch::kDouble);
  layer.norm->fuse(bench.choice);
  const NormInputs in({3, 4, 5, 2}, torch::kDouble, true);
  EXPECT_THROW(layer.run(in.x, in.shortcut, in.dy), std::runtime_error);
  EXPECT_EQ(bench.choice->trials().at(0).chosen, 0u);
}

TEST(NormChoice, WithoutMemoryForATrialTheFirstStays) {
  Bench bench({2, 2}, {1, 1});
  bench.other->out_of_memory = 4;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  const auto trial = bench.choice->trials().at(0);
  EXPECT_EQ(trial.chosen, 0u);
  EXPECT_FALSE(trial.seconds[0].has_value());
  EXPECT_FALSE(trial.seconds[1].has_value());
}

TEST(NormChoice, WhatOnlyOneTakesIsNoChoice) {
  Bench bench({2, 2}, {1, 1});
  bench.other->not_taken = 4;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  bench.own->not_taken = 8;
  bench.expect_right({3, 8, 5, 2}, /*adds=*/true);
  EXPECT_EQ(bench.own->forwards, 1);
  EXPECT_EQ(bench.other->forwards, 1);
  EXPECT_EQ(bench.clock->asked, 0);
  EXPECT_TRUE(bench.choice->trials().empty());
  bench.own->not_taken = 4;
  const Tensor weight = torch::ones({4}, torch::kDouble);
  EXPECT_FALSE(bench.choice->takes(torch::ones({3, 4, 5, 2}, torch::kDouble), weight));
}

TEST(NormChoice, WhatIsBeingRecordedIsTriedAnotherTime) {
  Bench bench({2, 2}, {1, 1});
  bench.clock->recording = true;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  EXPECT_EQ(bench.clock->asked, 0);
  EXPECT_EQ(bench.own->forwards, 1);
  EXPECT_TRUE(bench.choice->trials().empty());
  bench.clock->recording = false;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  EXPECT_EQ(bench.choice->trials().at(0).chosen, 1u);
  bench.clock->recording = true;
  bench.forget_counts();
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  EXPECT_EQ(bench.other->forwards, 1);  // Known by now.
  EXPECT_EQ(bench.own->forwards, 0);
}

// A choice that is made between a forward pass and its backward pass must not reach the latter.
TEST(NormChoice, BackwardIsThatOfWhoeverRanForward) {
  Bench bench({2, 2}, {1, 1});
  bench.clock->recording = true;
  NormLayer layer(4, torch::kDouble);
  layer.norm->fuse(bench.choice);
  const NormInputs in({3, 4, 5, 2}, torch::kDouble, true);
  const Tensor x = in.x.clone().requires_grad_();
  const Tensor y = layer.norm->forward_add_relu(x, in.shortcut);
  bench.clock->recording = false;
  bench.forget_counts();
  {
    const torch::NoGradGuard no_grad;
    layer.norm->forward_add_relu(in.x, in.shortcut);
  }
  EXPECT_EQ(bench.choice->trials().at(0).chosen, 1u);
  const int tried = bench.own->backwards;
  y.sum().backward();
  EXPECT_EQ(bench.own->backwards, tried + 1);
}

TEST(NormChoice, HandsBackwardTheResultWhereACandidateKeepsIt) {
  Bench bench({2, 2}, {1, 1});
  bench.other->keeps = true;
  bench.expect_right({3, 4, 5, 2}, /*adds=*/true);
  EXPECT_EQ(bench.choice->trials().at(0).chosen, 1u);
  bench.expect_right({3, 4, 5, 2}, /*adds=*/false);
  EXPECT_EQ(bench.choice->trials().at(0).chosen, 1u);
}

// A result that its own node of the graph keeps must not keep that node alive.
TEST(NormChoice, AKeptResultGoesWithTheGraphThatKeepsIt) {
  Bench bench({2, 2}, {1, 1});
  bench.other->keeps = true;
  NormLayer layer(4, torch::kDouble);
  layer.norm->fuse(bench.choice);
  const NormInputs in({3, 4, 5, 2}, torch::kDouble, true);
  Tensor y = layer.norm->forward_add_relu(in.x.clone().requires_grad_(), in.shortcut);
  ASSERT_EQ(bench.choice->trials().at(0).chosen, 1u);
  const c10::weak_intrusive_ptr<at::TensorImpl> still_there(y.getIntrusivePtr());
  y.reset();
  EXPECT_TRUE(still_there.expired());
}

TEST(NormChoice, ThreadsThatMeetANewShapeTogetherShareOneTrial) {
  const auto own = reference_fused_norm();
  const auto clock = std::make_shared<ManualClock>();
  const auto choice = std::make_shared<NormChoice>(std::vector<NormCandidate>{{"own", own}, {"again", own}}, clock);
  const NormInputs in({3, 4, 5, 2}, torch::kFloat, true);
  const Tensor weight = torch::ones({4});
  std::vector<Tensor> results(4);
  std::vector<std::thread> threads;
  for (Tensor& result : results)
    threads.emplace_back([&] {
      FusedNorm::Parameters p;
      p.weight = weight;
      p.bias = torch::zeros({4});
      p.running_mean = torch::zeros({4});
      p.running_var = torch::ones({4});
      result = choice->forward(in.x, in.shortcut, p).y;
    });
  for (std::thread& thread : threads) thread.join();
  for (const Tensor& result : results) EXPECT_TRUE(result.equal(results[0]));
  EXPECT_EQ(choice->trials().size(), 1u);
  EXPECT_EQ(clock->asked, 2 * 6);  // A round to warm up and five that count, for each.
}

TEST(NormChoice, WholeGradientsAreThoseOfTheSeparateOperations) {
  Bench bench({1, 1}, {1, 0.5});
  bench.other->keeps = true;
  bench.other->refused = 128;
  const auto gradients = [](const std::shared_ptr<const FusedNorm>& norm) {
    ResNetOptions options;
    options.depth = 50;
    options.num_classes = 10;
    ResNet model(options);
    model->to(torch::kDouble);
    to_channels_last(*model);
    fuse_batch_norm(*model, norm);
    torch::manual_seed(11);
    const Tensor images = torch::randn({4, 3, 64, 64}, torch::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
    torch::nn::functional::cross_entropy(model->forward(images), torch::arange(4, torch::kLong)).backward();
    std::vector<Tensor> all;
    for (const Tensor& parameter : model->parameters()) all.push_back(parameter.grad().flatten());
    for (const auto& buffer : model->buffers()) all.push_back(buffer.to(torch::kDouble).flatten());
    return all;
  };
  const auto expected = gradients(nullptr), got = gradients(bench.choice);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(relative_distance(got[i], expected[i]), 1e-9) << i;
  int own = 0, other = 0;
  for (const NormChoice::Trial& trial : bench.choice->trials()) ++(trial.chosen == 0 ? own : other);
  EXPECT_GT(own, 0);
  EXPECT_GT(other, 0);
}

// Two batch norms in one are nothing that cuDNN has.
TEST(NormChoice, PairsGoToTheOneThatTakesThem) {
  Bench bench({2, 2}, {1, 1});
  EXPECT_FALSE(bench.choice->takes_pairs());
  const auto own = kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU);
  const auto choice =
      std::make_shared<NormChoice>(std::vector<NormCandidate>{{"other", bench.other}, {"own", own}}, bench.clock);
  ASSERT_TRUE(choice->takes_pairs());
  const auto run = [](const std::shared_ptr<const FusedNorm>& norm) {
    NormLayer branch(8, torch::kFloat), around(8, torch::kFloat);
    branch.norm->fuse(norm);
    around.norm->fuse(norm);
    const NormInputs in({3, 8, 5, 2}, torch::kFloat, true);
    const Tensor x = in.x.clone().requires_grad_(), shortcut = in.shortcut.clone().requires_grad_();
    branch.norm->add_norm_relu(x, shortcut, *around.norm, /*forks=*/false).branch.backward(in.dy);
    return torch::cat({x.grad(), shortcut.grad()});
  };
  EXPECT_TRUE(torch::equal(run(choice), run(own)));
  EXPECT_EQ(bench.clock->asked, 0);
}

TEST(NormChoice, AnAlternativeThatIsNotThereLeavesTheOwnKernelsAlone) {
  const auto own = kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU);
  EXPECT_EQ(with_alternative({"own", own}, {"other", nullptr}, torch::kCPU, device_clock()), own);
  const auto both = with_alternative({"own", own}, {"other", reference_fused_norm()}, torch::kCPU, device_clock());
  const auto choice = std::dynamic_pointer_cast<const NormChoice>(both);
  ASSERT_NE(choice, nullptr);
  EXPECT_EQ(choice->candidates().at(1).name, "other");
  EXPECT_EQ(disagreement(*choice, torch::kCPU), "");
}

TEST(DeviceClock, OnACpuTimesOneOfSeveralRuns) {
  int runs = 0;
  const double seconds = device_clock()->seconds(torch::kCPU, 4, [&] {
    ++runs;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  EXPECT_EQ(runs, 4);
  EXPECT_GE(seconds, 0.005);
  EXPECT_FALSE(device_clock()->records(torch::kCPU));
}

TEST(NormChoiceOnCuda, ChoosesForEveryShapeOfResNetAndStaysAsCloseToDoubleAsLibtorch) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  const torch::Device device(torch::kCUDA, 0);
  const auto choice = std::dynamic_pointer_cast<const NormChoice>(device_fused_norm(device));
  if (choice == nullptr) GTEST_SKIP() << "one kind of kernels, or none, for this device";
  for (const auto& [channels, side, adds] :
       {std::tuple<int64_t, int64_t, bool>{64, 56, false}, {256, 56, true}, {512, 28, true}, {2048, 7, true}}) {
    const NormInputs in({32, channels, side, side}, torch::kHalf, adds);
    const auto on_device = [&](const Tensor& t) { return t.defined() ? t.to(device) : t; };
    NormLayer exact(channels, torch::kDouble), separate(channels, torch::kFloat), fused(channels, torch::kFloat);
    for (NormLayer* layer : {&exact, &separate, &fused}) layer->norm->to(device);
    fused.norm->fuse(choice);
    const auto truth =
        exact.run(on_device(in.x).to(torch::kDouble), adds ? on_device(in.shortcut).to(torch::kDouble) : Tensor(),
                  on_device(in.dy).to(torch::kDouble));
    const auto expected = separate.run(on_device(in.x), on_device(in.shortcut), on_device(in.dy));
    for (int pass = 0; pass < 2; ++pass) {
      const auto got = fused.run(on_device(in.x), on_device(in.shortcut), on_device(in.dy));
      for (size_t i = 0; i < 4; ++i)
        EXPECT_LT(relative_distance(got[i], truth[i]), 1.5 * relative_distance(expected[i], truth[i]) + 1e-3)
            << kNormOutputs[i];
    }
  }
  for (const NormChoice::Trial& trial : choice->trials()) {
    EXPECT_TRUE(trial.seconds[0].has_value());
    std::printf("%ld x %ld%s: own %.4f ms, cuDNN %.4f ms\n", static_cast<long>(trial.shape.rows),
                static_cast<long>(trial.shape.channels), trial.shape.adds ? " + add" : "",
                1e3 * trial.seconds[0].value_or(0), 1e3 * trial.seconds[1].value_or(0));
  }
  EXPECT_GE(choice->trials().size(), 4u);
}

}  // namespace
}  // namespace imgtrain
