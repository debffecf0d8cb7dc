#include "engine/train/run/ema_rule.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

using Action = EmaRule::Action;

TEST(EmaRule, TorchvisionsDecayIsAdjustedToBatchAndEpochs) {
  RunConfig config;
  config.ema = AverageKind::kTorchvision;
  config.ema_decay = 0.99998;
  config.ema_every = 32;
  config.batch = 1024;
  // alpha = (1 - 0.99998) * 8 GPUs * 128 images * 32 steps / 600 epochs
  const EmaRule rule(config, 1251, 600 * 1251);
  EXPECT_NEAR(rule.decay(), 1 - 2e-5 * 1024 * 32 / 600, 1e-12);
}

TEST(EmaRule, TorchvisionsAverageIsACopyUntilTheWarmupIsOver) {
  RunConfig config;
  config.ema = AverageKind::kTorchvision;
  config.ema_every = 4;
  config.warmup = {2, Duration::Unit::kEpochs};
  const EmaRule rule(config, 10, 100);
  EXPECT_EQ(rule.after(0, 0), Action::kCopy);
  EXPECT_EQ(rule.after(0, 1), Action::kNone);
  EXPECT_EQ(rule.after(1, 8), Action::kCopy);
  EXPECT_EQ(rule.after(2, 0), Action::kCopy);
  EXPECT_EQ(rule.after(2, 4), Action::kAverage);
  EXPECT_EQ(rule.after(3, 0), Action::kAverage);
}

TEST(EmaRule, ComposersAverageMovesAfterEveryIntervalOfBatches) {
  RunConfig config;
  config.ema = AverageKind::kComposer;
  config.ema_every = 20;
  config.ema_half_life = 100;
  const EmaRule rule(config, 30, 300);
  EXPECT_NEAR(rule.decay(), 0.8705505632961241, 1e-15);  // 2^-(20/100)
  int averages = 0;
  for (uint64_t epoch = 0; epoch < 10; ++epoch)
    for (uint64_t batch = 0; batch < 30; ++batch) averages += rule.after(epoch, batch) == Action::kAverage;
  EXPECT_EQ(averages, 15);
  EXPECT_EQ(rule.after(0, 19), Action::kAverage);
  EXPECT_EQ(rule.after(1, 9), Action::kAverage);
}

}  // namespace
}  // namespace imgtrain
