#include "engine/model/portable/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "format/error.h"

namespace imgtrain {
namespace {

// The totals that torchsummary prints for torchvision's resnet50 and one image of 224 x 224.
TEST(Summary, ResNet50At224HasTorchsummarysTotals) {
  const ModelSummary summary = summarize(ResNetOptions{}, 224, 224);
  EXPECT_EQ(summary.parameters, 25'557'032);
  EXPECT_NEAR(summary.input_mib, 0.57, 0.005);
  EXPECT_NEAR(summary.forward_backward_mib, 286.56, 0.005);
  EXPECT_NEAR(summary.parameters_mib, 97.49, 0.005);
  EXPECT_NEAR(summary.total_mib, 384.62, 0.005);
}

TEST(Summary, MultiplyAddsAreThePublishedOnes) {
  const auto giga = [](int depth) {
    ResNetOptions options;
    options.depth = depth;
    return static_cast<double>(summarize(options, 224, 224).macs) / 1e9;
  };
  // GFLOPS as torchvision's model cards give them.
  EXPECT_NEAR(giga(18), 1.81, 0.01);
  EXPECT_NEAR(giga(34), 3.66, 0.01);
  EXPECT_NEAR(giga(50), 4.09, 0.01);
  EXPECT_NEAR(giga(101), 7.80, 0.01);
  EXPECT_NEAR(giga(152), 11.51, 0.01);
}

TEST(Summary, OddSizesRoundUpAtEveryStride) {
  ResNetOptions options;
  options.depth = 18;
  const ModelSummary summary = summarize(options, 65, 33);
  EXPECT_THAT(summary.layers.front().output_shape, testing::ElementsAre(64, 33, 17));
  const auto& pool = summary.layers[summary.layers.size() - 2];
  EXPECT_EQ(pool.kind, "AdaptiveAvgPool2d");
  EXPECT_THAT(summary.layers[summary.layers.size() - 3].output_shape, testing::ElementsAre(512, 3, 2));
}

// timm 1.0.22's resnet50d; its deep stem and averaged shortcuts without blurs.
TEST(Summary, ResNetDHasTimmsParametersAndAverages) {
  ResNetOptions options;
  options.stem = Stem::kDeep;
  options.average_downsample = true;
  const ModelSummary summary = summarize(options, 224, 224);
  EXPECT_EQ(summary.parameters, 25'576'264);
  EXPECT_EQ(summary.layers[6].name, "conv1.6");
  EXPECT_THAT(summary.layers[6].output_shape, testing::ElementsAre(64, 112, 112));
  // Three convolutions of 3 x 3 in place of one of 7 x 7; the shortcuts cost what they cost.
  EXPECT_EQ(summary.macs - summarize(ResNetOptions{}, 224, 224).macs,
            112 * 112 * (9 * (3 * 32 + 32 * 32 + 32 * 64) - 49 * 3 * 64));
  const auto averages = std::count_if(summary.layers.begin(), summary.layers.end(),
                                      [](const LayerSummary& layer) { return layer.kind == "AvgPool2d"; });
  EXPECT_EQ(averages, 3);  // Of the shortcuts that change the size; the fourth is an Identity.
}

TEST(Summary, BlursStandWhereTheModelBlursAndAddNoParameters) {
  const auto blurs = [](int depth, BlurPool blurpool) {
    ResNetOptions options;
    options.depth = depth;
    options.blurpool = blurpool;
    const ModelSummary summary = summarize(options, 224, 224);
    options.blurpool = BlurPool::kNone;
    const ModelSummary plain = summarize(options, 224, 224);
    EXPECT_EQ(summary.parameters, plain.parameters);
    EXPECT_EQ(summary.layers.back().output_shape, plain.layers.back().output_shape);
    int64_t count = 0, macs = 0;
    for (const LayerSummary& layer : summary.layers) {
      if (layer.kind != "Blur2d") continue;
      ++count;
      macs += layer.macs;
    }
    EXPECT_EQ(summary.macs, plain.macs + macs);
    return count;
  };
  EXPECT_EQ(blurs(50, BlurPool::kConvolutions), 6);  // Main branch and shortcut of three stages.
  EXPECT_EQ(blurs(18, BlurPool::kAll), 7);           // And the stem's pooling.
}

TEST(Summary, HalfPrecisionHalvesTheTrafficAndNothingElse) {
  const ModelSummary full = summarize(ResNetOptions{}, 224, 224, 4), half = summarize(ResNetOptions{}, 224, 224, 2);
  EXPECT_DOUBLE_EQ(half.training_traffic_mib * 2, full.training_traffic_mib);
  EXPECT_EQ(half.total_mib, full.total_mib);
  EXPECT_GT(full.training_traffic_mib, 2 * full.forward_traffic_mib);
}

TEST(Summary, ImpossibleSizesAndModelsAreUsageErrors) {
  ResNetOptions unknown;
  unknown.depth = 20;
  for (const auto& attempt : std::vector<std::function<void()>>{[] { summarize(ResNetOptions{}, 0, 224); },
                                                                [] { summarize(ResNetOptions{}, 224, 1 << 20); },
                                                                [&] { summarize(unknown, 224, 224); }}) {
    try {
      attempt();
      ADD_FAILURE() << "no error";
    } catch (const imgpack::Error& error) {
      EXPECT_EQ(error.kind(), imgpack::ErrorKind::kUsage);
    }
  }
}

TEST(Summary, TextHasOneRowPerLayerAndTheTotals) {
  const ModelSummary summary = summarize(ResNetOptions{}, 224, 224);
  const std::string text = to_text(summary);
  EXPECT_THAT(text, testing::HasSubstr("Bottleneck-15"));
  EXPECT_THAT(text, testing::HasSubstr("Total parameters: 25,557,032"));
  EXPECT_THAT(text, testing::HasSubstr("Estimated total size (MB): 384.62"));
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) EXPECT_LE(end - at, 110u);
}

TEST(Summary, JsonHoldsTheSameNumbers) {
  const ModelSummary summary = summarize(ResNetOptions{}, 224, 224);
  const auto json = boost::json::parse(to_json(summary));
  EXPECT_EQ(json.at("parameters").as_int64(), summary.parameters);
  EXPECT_EQ(json.at("layers").as_array().size(), summary.layers.size());
  EXPECT_EQ(json.at("layers").at(0).at("name").as_string(), "conv1");
}

TEST(ModelNames, KnownNamesGoBothWaysAndOthersAreListed) {
  for (const int depth : kResNetDepths) {
    ResNetOptions options;
    options.depth = depth;
    EXPECT_EQ(depth_of_model_name(model_name(options)), depth);
  }
  try {
    depth_of_model_name("resnet51");
    FAIL() << "no error";
  } catch (const imgpack::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("resnet152"));
  }
}

}  // namespace
}  // namespace imgtrain
