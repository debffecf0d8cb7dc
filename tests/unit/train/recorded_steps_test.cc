#include "engine/train/recorded_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "engine/model/weights.h"
#include "engine/train/training_step.h"
#include "tests/support/rerun_recorder.h"
#include "tests/unit/train/small_run.h"

namespace imgtrain {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kClasses = 5;
constexpr int kStepsBeforeRecording = 3;

// A recording that does not do what was recorded.
class WrongRecorder : public StepRecorder {
 public:
  explicit WrongRecorder(int times) : times_(times) {}
  std::unique_ptr<StepRecording> record(const std::function<void()>& work) override {
    return std::make_unique<Rerun>([work, times = times_] {
      for (int i = 0; i < times; ++i) work();
    });
  }

 private:
  int times_;
};

RunConfig recorded_run(int64_t batch, int64_t group) {
  RunConfig config = small_run(batch, group);
  config.cuda_graphs = true;
  return config;
}

DeviceBatch batch_of(int64_t count, uint64_t step, torch::Device device = torch::kCPU) {
  torch::manual_seed(100 + step);
  DeviceBatch batch;
  batch.count = batch.global_count = count;
  batch.labels = torch::randint(kClasses, {count}, torch::kLong).to(device);
  batch.images = torch::randint(256, {count, 32, 32, 3}, torch::kLong).to(torch::kUInt8).to(device);
  return batch;
}

struct Trial {
  explicit Trial(const RunConfig& config, std::unique_ptr<StepRecorder> recorder = nullptr,
                 torch::Device on = torch::kCPU)
      : device(on),
        sync(make_gradient_sync(Launch(), device)),
        model(make(device, config.precision)),
        step(model, config, device, *sync, std::move(recorder)),
        totals(device) {}
  static ResNet make(torch::Device device, Precision precision) {
    torch::manual_seed(1);
    ResNet model(ResNetOptions{.depth = 18, .num_classes = kClasses});
    model->to(device);
    if (precision == Precision::kFp64) to_double(*model);
    to_channels_last(*model);
    return model;
  }
  void run(const std::vector<int64_t>& counts, WeightAverage* average = nullptr) {
    for (const int64_t count : counts) {
      // Another one in each step, and the same as a float and as a double.
      const double lr = 1.0 / static_cast<double>(128 << done % 4);
      StepPlan plan = {{lr, 0.9}, done, 0};
      plan.average = average;
      // A copy first, then a move in every second step, as rules have it.
      if (average != nullptr && done % 2 == 0)
        plan.average_action = done == 0 ? EmaRule::Action::kCopy : EmaRule::Action::kAverage;
      step.run(batch_of(count, done, device), plan, totals);
      ++done;
    }
  }
  torch::Device device;
  std::unique_ptr<GradientSync> sync;
  ResNet model;
  TrainingStep step;
  DeviceTotals totals;
  uint64_t done = 0;
};

// Weights, statistics and optimizer state.
void expect_equal(Trial& found, Trial& expected, double tolerance = 1e-5) {
  const auto close = [&](const NamedTensors& a, const NamedTensors& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      const torch::Tensor x = a[i].second.detach().to(torch::kDouble), y = b[i].second.detach().to(torch::kDouble);
      EXPECT_LE((x - y).norm().item<double>(), tolerance * (1e-3 + y.norm().item<double>())) << a[i].first;
    }
  };
  close(state_dict(*found.model), state_dict(*expected.model));
  close(found.step.optimizer().state(), expected.step.optimizer().state());
  const Totals a = found.totals.read(), b = expected.totals.read();
  EXPECT_EQ(a.samples, b.samples);
  EXPECT_NEAR(a.loss_sum, b.loss_sum, tolerance * b.loss_sum);
}

RunConfig without_graphs(RunConfig config) {
  config.cuda_graphs = false;
  return config;
}

TEST(RecordedSteps, TrainAsTheStepsThemselvesDo) {
  for (const int64_t group : {8, 4}) {
    RunConfig config = recorded_run(8, group);
    config.mixup = 0.2;
    config.label_smoothing = 0.1;
    Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
    const std::vector<int64_t> counts(7, 8);
    recorded.run(counts);
    plain.run(counts);
    expect_equal(recorded, plain);
    ASSERT_NE(recorded.step.recorded(), nullptr);
    EXPECT_EQ(recorded.step.recorded()->refusal(), "");
    EXPECT_EQ(recorded.step.recorded()->replayed(), 7u - kStepsBeforeRecording);
    EXPECT_EQ(plain.step.recorded(), nullptr);
  }
}

TEST(RecordedSteps, EveryOptimizerTakesItsRateFromTheDevice) {
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdamW, OptimizerKind::kLamb}) {
    for (const bool decoupled : {false, true}) {
      if (decoupled && kind == OptimizerKind::kLamb) continue;
      RunConfig config = recorded_run(4, 4);
      config.precision = Precision::kFp64;  // Adam and LAMB divide by gradients near zero.
      config.optimizer = kind;
      config.decoupled_decay = decoupled;
      config.weight_decay = 0.1;
      config.lr = 0.01;
      config.eps = 1e-8;
      config.clip_norm = 1;
      Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
      const std::vector<int64_t> counts(6, 4);
      recorded.run(counts);
      plain.run(counts);
      expect_equal(recorded, plain, 1e-7);
      EXPECT_EQ(recorded.step.recorded()->replayed(), 6u - kStepsBeforeRecording);
    }
  }
}

TEST(RecordedSteps, SharpnessAwareStepsAreAKindOfTheirOwn) {
  RunConfig config = recorded_run(8, 4);
  config.sam_rho = 0.05;
  config.sam_interval = 2;
  Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
  const std::vector<int64_t> counts(10, 8);
  recorded.run(counts);
  plain.run(counts);
  // Weights are put elsewhere and back in every other step: differences of rates grow more than without.
  expect_equal(recorded, plain, 1e-4);
  EXPECT_EQ(recorded.step.recorded()->replayed(), 2u * (5 - kStepsBeforeRecording));
}

TEST(RecordedSteps, WhichBranchesAreDroppedIsDrawnAnewForEveryStep) {
  RunConfig config = recorded_run(8, 4);
  config.drop_path = 0.5;
  Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
  const std::vector<int64_t> counts(8, 8);
  recorded.run(counts);
  plain.run(counts);
  expect_equal(recorded, plain);
  EXPECT_EQ(recorded.step.recorded()->replayed(), 8u - kStepsBeforeRecording);
}

TEST(RecordedSteps, EachKindOfStepHasARecordingOfItsOwn) {
  const RunConfig config = recorded_run(8, 4);
  Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
  // A shorter last batch now and then; it has been seen four times in the end, the whole one ten times.
  const std::vector<int64_t> counts = {8, 8, 6, 8, 8, 6, 8, 8, 6, 8, 8, 6, 8, 8};
  recorded.run(counts);
  plain.run(counts);
  expect_equal(recorded, plain);
  EXPECT_EQ(recorded.step.recorded()->replayed(), (10u - kStepsBeforeRecording) + (4u - kStepsBeforeRecording));
}

TEST(RecordedSteps, MoveTheAverageOfTheWeightsToo) {
  const RunConfig config = recorded_run(4, 4);
  Trial recorded(config, std::make_unique<RerunRecorder>()), plain(without_graphs(config));
  WeightAverage one(recorded.model, 0.75), other(plain.model, 0.75);
  // Once a copy, seven times a move, seven times neither.
  const std::vector<int64_t> counts(15, 4);
  recorded.run(counts, &one);
  plain.run(counts, &other);
  expect_equal(recorded, plain);
  EXPECT_EQ(recorded.step.recorded()->refusal(), "");
  EXPECT_EQ(recorded.step.recorded()->replayed(), 2u * (7 - kStepsBeforeRecording));
  const NamedTensors found = state_dict(*one.model()), expected = state_dict(*other.model());
  const NamedTensors weights = state_dict(*recorded.model);
  double apart = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(torch::allclose(found[i].second, expected[i].second, 1e-4, 1e-5)) << found[i].first;
    apart += (found[i].second - weights[i].second).abs().sum().item<double>();
  }
  EXPECT_GT(apart, 0.1);  // An average that only follows would prove nothing.
}

// A recording in which the average stays where it is.
class ForgetfulRecorder : public StepRecorder {
 public:
  explicit ForgetfulRecorder(const std::optional<WeightAverage>& average) : average_(average) {}
  std::unique_ptr<StepRecording> record(const std::function<void()>& work) override {
    return std::make_unique<Rerun>([this, work] {
      const torch::NoGradGuard no_grad;
      std::vector<torch::Tensor> before;
      for (const torch::Tensor& tensor : average_->tensors()) before.push_back(tensor.detach().clone());
      work();
      for (size_t i = 0; i < before.size(); ++i) average_->tensors()[i].detach().copy_(before[i]);
    });
  }

 private:
  const std::optional<WeightAverage>& average_;
};

TEST(RecordedSteps, ARecordingThatForgetsTheAverageIsFoundOut) {
  const RunConfig config = recorded_run(4, 4);
  std::optional<WeightAverage> average;
  Trial recorded(config, std::make_unique<ForgetfulRecorder>(average)), plain(without_graphs(config));
  average.emplace(recorded.model, 0.75);
  WeightAverage other(plain.model, 0.75);
  // Steps without a move are recorded at the 8th, found right, and the 9th is the fourth that moves it.
  const std::vector<int64_t> counts(9, 4);
  recorded.run(counts, &*average);
  plain.run(counts, &other);
  EXPECT_EQ(recorded.step.recorded()->replayed(), 1u);
  EXPECT_THAT(recorded.step.recorded()->refusal(), HasSubstr("elsewhere than the step itself"));
  expect_equal(recorded, plain);
  EXPECT_TRUE(torch::allclose(average->tensors()[0], other.tensors()[0], 1e-4, 1e-5));
}

TEST(RecordedSteps, ADeviceThatRefusesCostsNoStep) {
  const RunConfig config = recorded_run(4, 4);
  Trial recorded(config, std::make_unique<RefusingRecorder>()), plain(without_graphs(config));
  const std::vector<int64_t> counts(6, 4);
  recorded.run(counts);
  plain.run(counts);
  expect_equal(recorded, plain);
  EXPECT_EQ(recorded.step.recorded()->replayed(), 0u);
  EXPECT_THAT(recorded.step.recorded()->refusal(), HasSubstr("not permitted when stream is capturing"));
}

TEST(RecordedSteps, ARecordingThatDoesSomethingElseIsFoundOut) {
  for (const int times : {0, 2}) {
    const RunConfig config = recorded_run(4, 4);
    Trial recorded(config, std::make_unique<WrongRecorder>(times)), plain(without_graphs(config));
    const std::vector<int64_t> counts(6, 4);
    recorded.run(counts);
    plain.run(counts);
    expect_equal(recorded, plain);
    EXPECT_EQ(recorded.step.recorded()->replayed(), 0u) << times;
    EXPECT_THAT(recorded.step.recorded()->refusal(), HasSubstr("elsewhere than the step itself")) << times;
  }
}

TEST(RecordedSteps, AStepThatTheScalerSkippedProvesNothing) {
  RunConfig config = recorded_run(2, 2);
  config.precision = Precision::kFp16;
  config.loss_scale_init = 1e30;  // Infinite in half precision.
  Trial run(config, std::make_unique<WrongRecorder>(0));
  run.run(std::vector<int64_t>(kStepsBeforeRecording + 2, 2));
  EXPECT_EQ(run.step.recorded()->replayed(), 0u);
  EXPECT_THAT(run.step.recorded()->refusal(), IsEmpty());
}

TEST(RecordedSteps, SayWhyAConfigurationCannotBeRecorded) {
  const RunConfig config = recorded_run(8, 8);
  EXPECT_THAT(why_not_recorded(config), IsEmpty());
  RunConfig other = config;
  other.schedule = ScheduleKind::kOneCycle;
  other.onecycle_cycle_momentum = true;
  EXPECT_THAT(why_not_recorded(other), HasSubstr("momentum"));
}

TEST(RecordedSteps, WithoutADeviceThatRecordsStepsAreQueuedAsEver) {
  const RunConfig config = recorded_run(4, 4);
  Trial run(config), plain(without_graphs(config));
  run.run({4, 4});
  plain.run({4, 4});
  EXPECT_EQ(run.step.recorded(), nullptr);
  expect_equal(run, plain, 0);
}

TEST(RecordedStepsOnCuda, TrainAsTheStepsThemselvesDo) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device here";
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    RunConfig config = recorded_run(16, 8);
    config.mixup = 0.2;
    config.precision = precision;
    config.loss_scale_init = 256;
    const torch::Device device(torch::kCUDA, 0);
    Trial recorded(config, nullptr, device), plain(without_graphs(config), nullptr, device);
    const std::vector<int64_t> counts(10, 16);
    recorded.run(counts);
    plain.run(counts);
    expect_equal(recorded, plain, precision == Precision::kFp32 ? 1e-2 : 0.1);
    ASSERT_NE(recorded.step.recorded(), nullptr);
    EXPECT_EQ(recorded.step.recorded()->refusal(), "");
    EXPECT_EQ(recorded.step.recorded()->replayed(), 10u - kStepsBeforeRecording);
  }
}

}  // namespace
}  // namespace imgtrain
