#include "engine/export/portable/model_card.h"

#include <boost/json/array.hpp>
#include <cstdio>

#include "engine/model/portable/pixel_statistics.h"
#include "format/quantity_text.h"

namespace imgtrain {
namespace {

namespace json = boost::json;

const char* blur_name(BlurPool blur) {
  return blur == BlurPool::kConvolutions ? "ffcv" : "composer";
}

const char* filter_name(imgpack::jpeg::Filter filter) {
  return filter == imgpack::jpeg::Filter::kBilinear ? "bilinear" : "bicubic";
}

json::array numbers(const std::array<double, 3>& values) {
  return {values[0], values[1], values[2]};
}

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", value);
  return text;
}

std::string variant_text(const ResNetOptions& options) {
  std::string text;
  if (options.stem == Stem::kDeep) text += ", deep stem (ResNet-D)";
  if (options.average_downsample) text += ", averaging shortcuts (ResNet-D)";
  if (options.blurpool != BlurPool::kNone) text += std::string(", BlurPool as ") + blur_name(options.blurpool);
  return text;
}

std::string geometry_text(const ImageView& view) {
  const std::string size = std::to_string(view.size);
  const std::string filter = std::string(filter_name(view.filter)) + ", antialiased";
  char ratio[32];
  std::snprintf(ratio, sizeof ratio, "%g", view.crop_ratio);
  if (view.crop_ratio > 0)
    return "the middle square of " + std::string(ratio) + " of the short side, resized to " + size + " x " + size +
           " (" + filter + ")";
  return "short side resized to " + std::to_string(view.resize) + " (" + filter + "), centre crop of " + size + " x " +
         size;
}

// A table cell holds no bar.
std::string cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return text;
}

}  // namespace

json::object to_json(const ModelCard& card) {
  json::object model{{"name", model_name(card.options)},
                     {"num_classes", card.options.num_classes},
                     {"parameters", card.parameters},
                     {"stem", card.options.stem == Stem::kDeep ? "deep" : "plain"},
                     {"downsample", card.options.average_downsample ? "average" : "stride"},
                     {"blurpool", card.options.blurpool == BlurPool::kNone ? "none" : blur_name(card.options.blurpool)},
                     {"weights_digest", card.weights_digest}};
  json::object preprocessing{{"colours", "RGB"},
                             {"size", card.view.size},
                             {"interpolation", filter_name(card.view.filter)},
                             {"antialias", true},
                             {"scale", "1/255"},
                             {"mean", numbers(kPixelMean)},
                             {"std", numbers(kPixelDeviation)},
                             {"exif_orientation", "ignored"}};
  if (card.view.crop_ratio > 0) {
    preprocessing["crop_ratio"] = card.view.crop_ratio;
  } else {
    preprocessing["resize_short_side"] = card.view.resize;
  }
  json::object out{{"message_type", "model_card"}, {"version", 1}, {"model", model}, {"preprocessing", preprocessing}};
  if (card.accuracy) {
    out["accuracy"] =
        json::object{{"top1", card.accuracy->top1}, {"top5", card.accuracy->top5}, {"split", card.validation_split}};
  }
  json::object training;
  if (!card.dataset_id.empty()) training["dataset_id"] = card.dataset_id;
  if (card.run) {
    if (!card.run->recipe.empty()) training["recipe"] = card.run->recipe;
    if (card.run->epochs > 0) training["epochs"] = card.run->epochs;
    training["created_by"] = card.run->created_by;
  }
  if (!training.empty()) out["training"] = training;
  out["batch_norms_folded"] = card.folded;
  out["exported_by"] = card.exported_by;
  json::array files;
  for (const CardFile& file : card.files)
    files.push_back(
        json::object{{"name", file.name}, {"format", file.format}, {"bytes", file.bytes}, {"input", file.input}});
  if (!files.empty()) out["files"] = files;
  json::array classes;
  for (size_t i = 0; i < card.classes.size(); ++i)
    classes.push_back(json::object{{"index", i}, {"wnid", card.classes[i].wnid}, {"name", card.classes[i].names}});
  out["classes"] = classes;
  return out;
}

std::string to_markdown(const ModelCard& card) {
  const std::string name = model_name(card.options);
  std::string text = "# " + name + "\n\n";
  text += "An image classifier: " + name + variant_text(card.options) + ", " +
          imgpack::format_count(static_cast<uint64_t>(card.options.num_classes)) + " classes, " +
          imgpack::format_count(card.parameters) + " parameters.\n\n## How good it is\n\n";
  if (card.accuracy) {
    text += "Top-1 " + percent(card.accuracy->top1) + ", top-5 " + percent(card.accuracy->top5) + " on the split `" +
            card.validation_split + "`, every image counted once.\n";
  } else {
    text += "Not known: these weights came without the run that evaluated them.\n";
  }
  text += "\n## What it takes\n\nRGB images: " + geometry_text(card.view) +
          "; values divided by 255, then (value - mean) / std with mean 0.485, 0.456, 0.406 and std 0.229, 0.224, "
          "0.225. EXIF orientation is ignored, as in training.\n\n## What it gives\n\n" +
          std::to_string(card.options.num_classes) +
          " logits; softmax makes probabilities of them. The classes, in order, are at the end of this card.\n";
  if (!card.files.empty()) {
    text += "\n## Files\n\n| file | format | bytes | input and output |\n|---|---|---|---|\n";
    for (const CardFile& file : card.files)
      text += "| " + file.name + " | " + file.format + " | " + imgpack::format_count(file.bytes) + " | " + file.input +
              " |\n";
  }
  text += "\n## Where it comes from\n\n";
  if (card.run) {
    text += "- Trained by " + card.run->created_by +
            (card.run->recipe.empty() ? std::string() : ", recipe `" + card.run->recipe + "`") +
            (card.run->epochs > 0 ? ", " + std::to_string(card.run->epochs) + " epochs" : "") + ".\n";
  }
  if (!card.dataset_id.empty()) text += "- Data set `" + card.dataset_id + "` (the id of its manifest).\n";
  text += "- Weights `" + card.weights_digest + "` (XXH3-64 of names and numbers).\n";
  if (card.folded) text += "- Batch norms are folded into the convolutions.\n";
  text += "- Exported by " + card.exported_by + ".\n\n## Classes\n\n| index | id | name |\n|---|---|---|\n";
  for (size_t i = 0; i < card.classes.size(); ++i)
    text +=
        "| " + std::to_string(i) + " | " + cell(card.classes[i].wnid) + " | " + cell(card.classes[i].names) + " |\n";
  return text;
}

}  // namespace imgtrain
