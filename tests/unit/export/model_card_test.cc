#include "engine/export/portable/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

using testing::HasSubstr;
using testing::Not;

ModelCard card() {
  ModelCard card;
  card.options.depth = 18;
  card.options.num_classes = 2;
  card.parameters = 11177538;
  card.weights_digest = "0123456789abcdef";
  card.classes = {{"n01440764", "tench, Tinca tinca"}, {"a|b", "this | that"}};
  card.validation_split = "val";
  card.exported_by = "imgtrain 0.1.0";
  return card;
}

TEST(ModelCard, WhatIsNotKnownIsLeftOut) {
  const auto json = to_json(card());
  for (const char* key : {"accuracy", "training", "files"}) EXPECT_FALSE(json.contains(key)) << key;
  const std::string text = to_markdown(card());
  EXPECT_THAT(text, HasSubstr("Not known: these weights came without the run"));
  EXPECT_THAT(text, Not(HasSubstr("Data set")));
  EXPECT_THAT(text, Not(HasSubstr("Trained by")));
}

TEST(ModelCard, WhatARunKnowsIsSaid) {
  ModelCard known = card();
  known.accuracy = Accuracy{75.125, 92.5};
  known.dataset_id = "feed";
  known.run = RunFacts{"fast", "feed", "imgtrain 0.1.0", known.accuracy, 16};
  known.files = {{"resnet18.onnx", "onnx", "bytes in, logits out", 1234567}};
  const std::string json = compact_json(to_json(known));
  EXPECT_THAT(json, HasSubstr(R"("accuracy": {"top1": 75.125, "top5": 92.5, "split": "val"})"));
  EXPECT_THAT(json, HasSubstr(R"("training": {"dataset_id": "feed", "recipe": "fast", "epochs": 16,)"));
  const std::string text = to_markdown(known);
  EXPECT_THAT(text, HasSubstr("Top-1 75.12 %, top-5 92.50 % on the split `val`"));
  EXPECT_THAT(text, HasSubstr("recipe `fast`, 16 epochs"));
  EXPECT_THAT(text, HasSubstr("| resnet18.onnx | onnx | 1,234,567 | bytes in, logits out |"));
}

TEST(ModelCard, ABarInANameDoesNotEndItsCell) {
  EXPECT_THAT(to_markdown(card()), HasSubstr("| 1 | a\\|b | this \\| that |\n"));
}

TEST(ModelCard, BothWaysOfCroppingAreDescribed) {
  EXPECT_THAT(to_markdown(card()), HasSubstr("short side resized to 256 (bilinear, antialiased), centre crop of 224"));
  EXPECT_EQ(to_json(card()).at("preprocessing").at("resize_short_side"), 256);
  ModelCard square = card();
  square.view.crop_ratio = 0.875;
  square.view.filter = imgpack::jpeg::Filter::kBicubic;
  EXPECT_THAT(to_markdown(square),
              HasSubstr("the middle square of 0.875 of the short side, resized to 224 x 224 (bicubic"));
  const auto preprocessing = to_json(square).at("preprocessing").as_object();
  EXPECT_FALSE(preprocessing.contains("resize_short_side"));
  EXPECT_EQ(preprocessing.at("crop_ratio"), 0.875);
}

TEST(ModelCard, AVariantOfTheNetworkIsNamed) {
  ModelCard variant = card();
  variant.options.stem = Stem::kDeep;
  variant.options.average_downsample = true;
  variant.options.blurpool = BlurPool::kAll;
  EXPECT_THAT(to_markdown(variant),
              HasSubstr("resnet18, deep stem (ResNet-D), averaging shortcuts (ResNet-D), BlurPool as composer"));
  EXPECT_EQ(to_json(variant).at("model").at("blurpool"), "composer");
}

}  // namespace
}  // namespace imgtrain
