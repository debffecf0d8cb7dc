#include "engine/train/run/run_config.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cmath>

#include "engine/data/augment_policy.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/run_config_fields.h"
#include "format/error.h"
#include "format/nearest_name.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr const char* kListHint = "imgtrain --help lists every option";
// Largest batch-norm group that is chosen without being asked for.
constexpr int64_t kDefaultBnGroup = 256;

void apply(const ConfigLayer& layer, ResolvedConfig& resolved) {
  for (const auto& [key, value] : layer.values) {
    const Field* field = find_field(key);
    if (field == nullptr || field->name != key) {
      throw Error(
          ErrorKind::kUsage,
          "unknown option '" + std::string(key) + "' in " + layer.origin + imgpack::did_you_mean(key, field_names()),
          {}, {}, kListHint);
    }
    try {
      field->set(resolved.values, value);
    } catch (const Error& error) {
      throw Error(ErrorKind::kUsage, std::string(key) + " (" + layer.origin + "): " + error.message(), {}, {},
                  kListHint);
    }
    resolved.origin[std::string(key)] = layer.origin;
  }
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Error(ErrorKind::kUsage, what, {}, {}, kListHint);
}

// Fields that contradict one another.
void check(const RunConfig& c) {
  require(c.duration.value > 0, "duration: expected more than nothing, found " + to_text(c.duration));
  require(c.bn_group <= c.batch, "bn_group: expected at most the batch of " + std::to_string(c.batch) + ", found " +
                                     std::to_string(c.bn_group));
  if (c.sync_bn) {
    require(c.bn_group == c.batch, "sync_bn: the statistics are those of the whole batch: expected bn_group 0 or " +
                                       std::to_string(c.batch) + ", found " + std::to_string(c.bn_group));
    require(c.drop_last, "sync_bn needs drop_last: a rank without images of the last batch would be missing");
    // What is drawn for a group as a whole, or done with it, cannot be where several ranks hold parts of it.
    require(c.mixup == 0 && c.cutmix == 0,
            "sync_bn: mixup and cutmix stay inside a bn_group, which no rank holds whole");
    require(c.drop_path == 0, "sync_bn: drop_path is drawn for a bn_group, which no rank holds whole");
    require(c.sam_rho == 0, "sync_bn: sam_rho climbs in each bn_group by itself, which no rank holds whole");
  }
  require(c.eval_crop_ratio > 0 || c.eval_resize >= c.eval_size, "eval_resize: expected at least eval_size (" +
                                                                     std::to_string(c.eval_size) + "), found " +
                                                                     std::to_string(c.eval_resize));
  require(c.erase_scale_min <= c.erase_scale_max, "erase_scale_min is larger than erase_scale_max");
  require(c.erase_ratio_min <= c.erase_ratio_max, "erase_ratio_min is larger than erase_ratio_max");
  require(c.repeats <= c.batch,
          "repeats: expected at most the batch of " + std::to_string(c.batch) + ", found " + std::to_string(c.repeats));
  require(c.progressive_size == 0 || (c.progressive_size >= 16 && c.progressive_size <= c.train_size),
          "progressive_size: expected 16 to train_size (" + std::to_string(c.train_size) + "), or 0, found " +
              std::to_string(c.progressive_size));
  require(c.progressive_begin <= c.progressive_end, "progressive_begin is larger than progressive_end");
  try {
    data::parse_augment_policy(c.auto_augment);
  } catch (const Error& error) {
    throw Error(ErrorKind::kUsage, "auto_augment: " + error.message(), {}, {}, kListHint);
  }
  require(c.crop_scale_min <= c.crop_scale_max, "crop_scale_min is larger than crop_scale_max");
  require(c.crop_ratio_min <= c.crop_ratio_max, "crop_ratio_min is larger than crop_ratio_max");
  require(c.precision != Precision::kFp16 || c.device != DeviceKind::kCpu,
          "precision fp16 needs a CUDA device; on the CPU use bf16 or fp32");
  require(!c.nesterov || c.momentum > 0, "nesterov needs a momentum above 0");
  require(!c.nesterov || c.optimizer == OptimizerKind::kSgd, "nesterov is of optimizer sgd alone");
  require(!c.onecycle_cycle_momentum || c.optimizer == OptimizerKind::kSgd,
          "onecycle_cycle_momentum is of optimizer sgd alone");
  require(!c.decoupled_decay || c.optimizer != OptimizerKind::kLamb,
          "decoupled_decay is of optimizers sgd and adamw: lamb's decay is part of its update");
  require(c.loss == LossKind::kBinaryCrossEntropy || c.bce_threshold == 0, "bce_threshold needs loss bce");
  require(c.onecycle_base_momentum <= c.onecycle_max_momentum,
          "onecycle_base_momentum is larger than onecycle_max_momentum");
  require(c.schedule != ScheduleKind::kOneCycle || c.warmup.value == 0,
          "schedule onecycle rises by itself (onecycle_pct_start): expected warmup 0ep, found " + to_text(c.warmup));
  require((c.schedule == ScheduleKind::kStep) == !c.step_at.empty(),
          "step_at: expected a list with schedule step, and none with any other");
  require(c.evaluate_every.unit == Duration::Unit::kEpochs && c.evaluate_every.value >= 1 &&
              c.evaluate_every.value == std::floor(c.evaluate_every.value),
          "evaluate_every: expected whole epochs, found " + to_text(c.evaluate_every));
  require(c.checkpoint_every.value > 0,
          "checkpoint_every: expected more than nothing, found " + to_text(c.checkpoint_every));
}

std::string value_text(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : compact_json(value);
}

}  // namespace

ResolvedConfig resolve(std::span<const ConfigLayer> layers, const std::string& recipe) {
  ResolvedConfig resolved;
  resolved.recipe = recipe;
  for (const ConfigLayer& layer : layers) apply(layer, resolved);
  RunConfig& config = resolved.values;
  if (config.out.empty()) config.out = "runs/" + (recipe.empty() ? std::string("run") : recipe);
  if (config.bn_group == 0 && config.sync_bn) config.bn_group = config.batch;
  if (config.bn_group == 0) config.bn_group = std::min(config.batch, kDefaultBnGroup);
  if (config.eps == 0 && config.optimizer == OptimizerKind::kAdamW) config.eps = 1e-8;
  if (config.eps == 0 && config.optimizer == OptimizerKind::kLamb) config.eps = 1e-6;
  check(config);
  return resolved;
}

ConfigLayer parse_config_file(const std::string& path, const std::string& text) {
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure || !value.is_object()) {
    throw Error(ErrorKind::kUsage,
                "expected one JSON object of options, found " + (failure ? failure.message() : "another kind of value"),
                path, {}, "imgtrain config prints one");
  }
  return {path, std::move(value.get_object())};
}

json::object to_json(const RunConfig& config) {
  json::object object;
  for (const Field& field : run_config_fields()) object[field.name] = field.get(config);
  return object;
}

std::vector<std::string> differences(const RunConfig& before, const RunConfig& now) {
  std::vector<std::string> list;
  for (const Field& field : run_config_fields()) {
    if (field.role != FieldRole::kResult) continue;
    const json::value old_value = field.get(before), new_value = field.get(now);
    if (old_value != new_value)
      list.push_back(std::string(field.name) + ": " + value_text(old_value) + " before, " + value_text(new_value) +
                     " now");
  }
  return list;
}

std::string describe(const ResolvedConfig& resolved) {
  std::string out;
  std::string_view group;
  for (const Field& field : run_config_fields()) {
    if (field.group != group) {
      group = field.group;
      out += std::string(group) + "\n";
    }
    std::string line = "  " + std::string(field.name);
    line.resize(std::max<size_t>(line.size() + 1, 30), ' ');
    line += value_text(field.get(resolved.values));
    const auto origin = resolved.origin.find(std::string(field.name));
    if (origin != resolved.origin.end()) {
      line.resize(std::max<size_t>(line.size() + 2, 46), ' ');
      line += "# " + origin->second;
    }
    out += line + "\n";
  }
  return out;
}

std::string run_config_schema() {
  json::object properties;
  const RunConfig defaults;
  for (const Field& field : run_config_fields()) {
    json::object property;
    property["description"] = field.help;
    switch (field.kind) {
      case FieldKind::kText:
        property["type"] = "string";
        break;
      case FieldKind::kBool:
        property["type"] = "boolean";
        break;
      case FieldKind::kChoice: {
        property["type"] = "string";
        json::array names;
        for (const std::string_view name : field.choices) names.push_back(json::value(name));
        property["enum"] = std::move(names);
        break;
      }
      case FieldKind::kInteger:
        property["type"] = "integer";
        property["minimum"] = static_cast<int64_t>(field.minimum);
        property["maximum"] = static_cast<int64_t>(field.maximum);
        break;
      case FieldKind::kReal:
        property["type"] = "number";
        property["minimum"] = field.minimum;
        property["maximum"] = field.maximum;
        break;
      case FieldKind::kDuration:
      case FieldKind::kDurations: {
        json::object duration{{"type", "string"},
                              {"pattern", "^(([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?ep|[0-9]+ba)$"}};
        if (field.kind == FieldKind::kDurations) {
          property["type"] = "array";
          property["items"] = std::move(duration);
        } else {
          for (const auto& member : duration) property[member.key()] = member.value();
        }
        break;
      }
    }
    property["default"] = field.get(defaults);
    properties[field.name] = std::move(property);
  }
  const json::object schema{
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "imgtrain run configuration"},
      {"description",
       "Options of a training run: a --config file, or the config.json of a run folder. Flags have the same names with "
       "dashes. Generated by `imgtrain config --schema`."},
      {"type", "object"},
      {"additionalProperties", false},
      {"properties", std::move(properties)},
  };
  return pretty_json(schema);
}

}  // namespace imgtrain
