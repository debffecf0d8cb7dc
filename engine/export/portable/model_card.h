// The model card: what a model is, for people (Markdown) and for programs (JSON). Everything that somebody needs to use
// the weights rightly, and what is known of how they came about; what is not known is left out, never guessed.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/portable/resnet_options.h"
#include "engine/predict/portable/model_classes.h"
#include "engine/predict/portable/prepared_image.h"
#include "engine/train/run/run_facts.h"

namespace imgtrain {

// A file that lies beside the card.
struct CardFile {
  std::string name;    // `resnet50.onnx`
  std::string format;  // `onnx`
  std::string input;   // One sentence: what it takes and gives.
  uint64_t bytes = 0;
};

struct ModelCard {
  ResNetOptions options;
  uint64_t parameters = 0;
  std::string weights_digest;  // Of names and numbers, XXH3-64 in hex: equal weights, equal digest.
  std::vector<ModelClass> classes;
  ImageView view;
  std::optional<Accuracy> accuracy;  // On the run's validation split.
  std::string validation_split;
  std::string dataset_id;  // Empty: not known.
  std::optional<RunFacts> run;
  std::string exported_by;  // `imgtrain 0.1.0`
  bool folded = false;      // Batch norms, in the files that can hold that.
  std::vector<CardFile> files;
};

boost::json::object to_json(const ModelCard& card);
std::string to_markdown(const ModelCard& card);

}  // namespace imgtrain
