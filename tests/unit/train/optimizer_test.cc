#include "engine/train/optimizer.h"

#include <gtest/gtest.h>

#include "engine/model/resnet.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

ResNet small_model() {
  ResNet model(ResNetOptions{.depth = 18, .num_classes = 3});
  to_channels_last(*model);
  return model;
}

// Gradients that depend on the step, laid out like their parameters.
void set_gradients(torch::nn::Module& model, int step) {
  const torch::NoGradGuard no_grad;
  int index = 0;
  for (torch::Tensor& parameter : model.parameters()) {
    torch::manual_seed(1000 * step + index++);
    parameter.mutable_grad() = torch::randn_like(parameter) * 0.01;
  }
}

double largest_difference(const torch::nn::Module& a, const torch::nn::Module& b) {
  double largest = 0;
  const auto left = a.parameters(), right = b.parameters();
  for (size_t i = 0; i < left.size(); ++i) largest = std::max(largest, (left[i] - right[i]).abs().max().item<double>());
  return largest;
}

TEST(Optimizer, SgdEqualsTorchsOverManySteps) {
  for (const bool nesterov : {false, true}) {
    RunConfig config;
    config.weight_decay = 0.01;
    config.nesterov = nesterov;
    ResNet ours = small_model(), theirs = small_model();
    Optimizer optimizer(*ours, config);
    torch::optim::SGD reference(theirs->parameters(),
                                torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.01).nesterov(nesterov));
    for (int step = 0; step < 5; ++step) {
      const double lr = 0.1 / (1 + step);
      set_gradients(*ours, step);
      set_gradients(*theirs, step);
      static_cast<torch::optim::SGDOptions&>(reference.param_groups()[0].options()).lr(lr);
      optimizer.step({lr, 0.9});
      reference.step();
    }
    EXPECT_LT(largest_difference(*ours, *theirs), 1e-6) << "nesterov " << nesterov;
  }
}

TEST(Optimizer, AdamWEqualsTorchsOverManySteps) {
  RunConfig config;
  config.optimizer = OptimizerKind::kAdamW;
  config.weight_decay = 0.05;
  config.beta1 = 0.8;
  config.eps = 1e-8;
  ResNet ours = small_model(), theirs = small_model();
  Optimizer optimizer(*ours, config);
  torch::optim::AdamW reference(
      theirs->parameters(),
      torch::optim::AdamWOptions(0.01).weight_decay(0.05).betas(std::make_tuple(0.8, 0.999)).eps(1e-8));
  for (int step = 0; step < 5; ++step) {
    const double lr = 0.01 / (1 + step);
    set_gradients(*ours, step);
    set_gradients(*theirs, step);
    static_cast<torch::optim::AdamWOptions&>(reference.param_groups()[0].options()).lr(lr);
    optimizer.step({lr, 0});
    reference.step();
  }
  EXPECT_LT(largest_difference(*ours, *theirs), 1e-6);
}

// Composer's DecoupledSGDW: p *= 1 - weight_decay * lr / initial_lr, whatever the learning rate is.
TEST(Optimizer, DecoupledDecayFollowsTheScheduleButNotTheRate) {
  RunConfig config;
  config.lr = 2;
  config.weight_decay = 0.01;
  config.decoupled_decay = true;
  ResNet model = small_model();
  const torch::Tensor before = model->named_parameters()["conv1.weight"].detach().clone();
  Optimizer optimizer(*model, config);
  for (torch::Tensor& parameter : model->parameters()) parameter.mutable_grad() = torch::zeros_like(parameter);
  optimizer.step({1.0, 0.9});  // Half the peak.
  EXPECT_LT((model->named_parameters()["conv1.weight"] - before * 0.995).abs().max().item<double>(), 1e-7);
}

TEST(Optimizer, AnOverflowLeavesEveryOptimizerAsItWas) {
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdamW, OptimizerKind::kLamb}) {
    for (const bool decoupled : {false, true}) {
      if (decoupled && kind == OptimizerKind::kLamb) continue;
      RunConfig config;
      config.optimizer = kind;
      config.decoupled_decay = decoupled;
      config.eps = 1e-6;
      ResNet model = small_model(), before = small_model();
      Optimizer optimizer(*model, config);
      set_gradients(*model, 0);
      optimizer.step({0.1, 0.9}, torch::ones({1}));
      EXPECT_EQ(largest_difference(*model, *before), 0);
      for (const auto& [name, tensor] : optimizer.state()) EXPECT_EQ(tensor.abs().max().item<float>(), 0) << name;
      optimizer.step({0.1, 0.9}, torch::zeros({1}));
      EXPECT_GT(largest_difference(*model, *before), 0);
      // In the middle of training, with what an overflow leaves in gradients.
      const auto everything = [&] {
        NamedTensors copies;
        for (const auto& [name, tensor] : state_dict(*model)) copies.emplace_back(name, tensor.detach().clone());
        for (const auto& [name, tensor] : optimizer.state()) copies.emplace_back(name, tensor.clone());
        return copies;
      };
      const NamedTensors then = everything();
      set_gradients(*model, 1);
      model->parameters()[0].mutable_grad().fill_(NAN);
      model->parameters()[1].mutable_grad().fill_(INFINITY);
      optimizer.step({0.1, 0.9}, torch::ones({1}));
      const NamedTensors now = everything();
      for (size_t i = 0; i < then.size(); ++i) EXPECT_TRUE(torch::equal(now[i].second, then[i].second)) << now[i].first;
    }
  }
}

// The scaler's way, on which the host never learns whether a step was skipped.
TEST(Optimizer, LambWithAScalerAndARateOnTheDeviceIsTheSameLamb) {
  RunConfig config;
  config.optimizer = OptimizerKind::kLamb;
  config.eps = 1e-6;
  config.lamb_grad_norm = 1;
  ResNet plain = small_model(), scaled = small_model();
  Optimizer one(*plain, config), two(*scaled, config);
  for (int step = 0; step < 4; ++step) {
    set_gradients(*plain, step);
    set_gradients(*scaled, step);
    one.step({0.0625, 0});
    two.step({1000, 0}, torch::zeros({1}), torch::full({1}, 0.0625f));
  }
  EXPECT_LT(largest_difference(*plain, *scaled), 1e-6);
  for (size_t i = 0; i < one.state().size(); ++i)
    EXPECT_TRUE(torch::allclose(one.state()[i].second, two.state()[i].second, 1e-5, 1e-9)) << one.state()[i].first;
}

TEST(Optimizer, MomentsAndTheirStepContinueBitForBit) {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kLamb}) {
    RunConfig config;
    config.optimizer = kind;
    config.eps = 1e-6;
    ResNet straight = small_model(), resumed = small_model();
    Optimizer one(*straight, config), two(*resumed, config);
    for (int step = 0; step < 4; ++step) {
      set_gradients(*straight, step);
      one.step({0.01, 0});
    }
    for (int step = 0; step < 2; ++step) {
      set_gradients(*resumed, step);
      two.step({0.01, 0});
    }
    NamedTensors saved;
    for (const auto& [name, tensor] : two.state()) saved.emplace_back(name, tensor.clone());
    Optimizer three(*resumed, config);
    three.load(saved, "state");
    for (int step = 2; step < 4; ++step) {
      set_gradients(*resumed, step);
      three.step({0.01, 0});
    }
    EXPECT_EQ(largest_difference(*straight, *resumed), 0);
  }
}

TEST(ClipGradients, ScalesAllTogetherToTheNormAsTorchDoes) {
  ResNet ours = small_model(), theirs = small_model();
  set_gradients(*ours, 1);
  set_gradients(*theirs, 1);
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : ours->parameters()) gradients.push_back(parameter.grad());
  const double norm = clip_gradients(gradients, 0.5).item<double>();
  EXPECT_NEAR(norm, torch::nn::utils::clip_grad_norm_(theirs->parameters(), 0.5), 1e-4 * norm);
  const auto left = ours->parameters(), right = theirs->parameters();
  for (size_t i = 0; i < left.size(); ++i)
    EXPECT_LT((left[i].grad() - right[i].grad()).abs().max().item<double>(), 1e-6);
  // Gradients that are short enough stay as they are.
  const torch::Tensor before = gradients[0].clone();
  clip_gradients(gradients, 10);
  EXPECT_TRUE(gradients[0].equal(before));
}

TEST(Optimizer, SkipsTheStepWhereAnOverflowWasFound) {
  ResNet model = small_model(), before = small_model();
  Optimizer optimizer(*model, RunConfig());
  set_gradients(*model, 0);
  optimizer.step({0.1, 0.9}, torch::ones({1}));
  EXPECT_EQ(largest_difference(*model, *before), 0);
  for (const auto& [name, momentum] : optimizer.state()) EXPECT_EQ(momentum.abs().max().item<float>(), 0) << name;
  optimizer.step({0.1, 0.9}, torch::zeros({1}));
  EXPECT_GT(largest_difference(*model, *before), 0);
}

TEST(Optimizer, WeightDecayLeavesOutWhatTheRuleSays) {
  const struct {
    const char* name;
    int64_t dimensions;
    bool none, norms, biases, norms_and_biases, named_bn;
  } cases[] = {
      {"conv1.weight", 4, true, true, true, true, true},
      {"bn1.weight", 1, true, false, true, false, false},
      {"layer1.0.bn2.bias", 1, true, false, false, false, false},
      {"layer2.0.downsample.1.weight", 1, true, false, true, false, true},
      {"fc.weight", 2, true, true, true, true, true},
      {"fc.bias", 1, true, true, false, false, true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(decays(NoDecay::kNone, c.name, c.dimensions), c.none) << c.name;
    EXPECT_EQ(decays(NoDecay::kNorms, c.name, c.dimensions), c.norms) << c.name;
    EXPECT_EQ(decays(NoDecay::kBiases, c.name, c.dimensions), c.biases) << c.name;
    EXPECT_EQ(decays(NoDecay::kNormsAndBiases, c.name, c.dimensions), c.norms_and_biases) << c.name;
    EXPECT_EQ(decays(NoDecay::kNamedBn, c.name, c.dimensions), c.named_bn) << c.name;
  }
}

TEST(Optimizer, ParametersWithoutDecayOnlyFollowTheirGradient) {
  RunConfig config;
  config.weight_decay = 0.5;
  config.no_decay = NoDecay::kNormsAndBiases;
  ResNet model = small_model();
  Optimizer optimizer(*model, config);
  for (torch::Tensor& parameter : model->parameters()) parameter.mutable_grad() = torch::zeros_like(parameter);
  optimizer.step({0.1, 0.0});
  const auto parameters = model->named_parameters();
  EXPECT_EQ(parameters["bn1.weight"].min().item<float>(), 1.0f);
  EXPECT_FLOAT_EQ((parameters["fc.weight"] / small_model()->named_parameters()["fc.weight"]).mean().item<float>(),
                  0.95f);
}

TEST(Optimizer, StateContinuesBitForBit) {
  ResNet straight = small_model(), resumed = small_model();
  Optimizer one(*straight, RunConfig());
  for (int step = 0; step < 4; ++step) {
    set_gradients(*straight, step);
    one.step({0.1, 0.9});
  }
  NamedTensors saved;
  {
    Optimizer two(*resumed, RunConfig());
    for (int step = 0; step < 2; ++step) {
      set_gradients(*resumed, step);
      two.step({0.1, 0.9});
    }
    for (const auto& [name, tensor] : two.state()) saved.emplace_back(name, tensor.clone());
  }
  Optimizer three(*resumed, RunConfig());
  three.load(saved, "state");
  for (int step = 2; step < 4; ++step) {
    set_gradients(*resumed, step);
    three.step({0.1, 0.9});
  }
  EXPECT_EQ(largest_difference(*straight, *resumed), 0);
}

TEST(Optimizer, StateOfAnotherModelIsRefusedByName) {
  ResNet model = small_model();
  Optimizer optimizer(*model, RunConfig());
  NamedTensors state = optimizer.state();
  NamedTensors missing(state.begin() + 1, state.end());
  EXPECT_ERROR(optimizer.load(missing, "o.safetensors"), imgpack::ErrorKind::kInvalidInput,
               "'momentum.conv1.weight' is missing");
  state.emplace_back("momentum.more", torch::zeros({1}));
  EXPECT_ERROR(optimizer.load(state, "o.safetensors"), imgpack::ErrorKind::kInvalidInput,
               "has tensors that this one lacks");
}

}  // namespace
}  // namespace imgtrain
