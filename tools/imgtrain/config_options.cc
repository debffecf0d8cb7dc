#include "tools/imgtrain/config_options.h"

#include <algorithm>
#include <utility>

#include "engine/train/run/json_text.h"
#include "engine/train/run/recipe.h"
#include "engine/train/run/run_config_fields.h"
#include "format/error.h"
#include "format/file.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

std::string placeholder(const Field& field) {
  switch (field.kind) {
    case FieldKind::kText:
      return "TEXT";
    case FieldKind::kChoice:
      return "NAME";
    case FieldKind::kBool:
      return "BOOL";
    case FieldKind::kInteger:
      return "N";
    case FieldKind::kReal:
      return "X";
    case FieldKind::kDuration:
      return "LENGTH";
    case FieldKind::kDurations:
      return "LENGTHS";
  }
  return "TEXT";
}

std::string option_name(const Field& field) {
  return flag_of(field).substr(2);
}

cli::Option option_of(const Field& field) {
  cli::Option option;
  option.name = option_name(field);
  option.value = placeholder(field);
  option.help = std::string(field.help) + ".";
  option.group = std::string(field.group);
  for (const std::string_view choice : field.choices) option.choices.emplace_back(choice);
  if (field.kind == FieldKind::kBool) option.choices = {"true", "false"};
  const boost::json::value standard = field.get(RunConfig());
  const std::string text = standard.is_string() ? std::string(standard.get_string()) : compact_json(standard);
  if (text != "[]") option.default_value = text;
  return option;
}

constexpr std::string_view kOff = "no-";

// A field's option; one that is on where nothing is said also gets the switch that turns it off.
void append(const Field& field, std::vector<cli::Option>& options) {
  options.push_back(option_of(field));
  const cli::Option& on = options.back();
  if (field.kind != FieldKind::kBool || on.default_value != "true") return;
  cli::Option off;
  off.name = std::string(kOff) + on.name;
  off.help = "The same as --" + on.name + " false.";
  off.group = on.group;
  options.push_back(std::move(off));
}

// The field that a switch turns off; nullptr: it is none of those.
const Field* field_turned_off(std::string_view option) {
  if (option.substr(0, kOff.size()) != kOff) return nullptr;
  return find_field(option.substr(kOff.size()));
}

}  // namespace

std::vector<cli::Option> config_options() {
  std::vector<cli::Option> options;
  for (const Field& field : run_config_fields()) append(field, options);
  return options;
}

std::vector<cli::Option> config_options(const std::vector<std::string>& fields) {
  std::vector<cli::Option> options;
  for (const std::string& name : fields) append(*find_field(name), options);
  return options;
}

std::vector<cli::Option> run_options(const std::vector<std::string>& fields, const std::string& group) {
  std::vector<cli::Option> options = config_options(fields);
  for (cli::Option& option : options) {
    option.default_value.clear();  // Those of the run, not of an empty configuration.
    option.group = group;
  }
  return options;
}

std::vector<cli::Option> layer_options() {
  std::vector<std::string> names;
  for (unsigned i = 0; i < kEmbeddedRecipeCount; ++i) names.emplace_back(kEmbeddedRecipes[i].name);
  return {{.name = "recipe",
           .value = "NAME",
           .help = "Start from a recipe (`imgtrain recipes` lists them).",
           .suggestions = std::move(names)},
          {.name = "config",
           .value = "FILE",
           .help = "Options from a JSON file, over the recipe's and under those given here. The config.json of a run "
                   "folder is one."}};
}

ConfigLayer flags_layer(const cli::Arguments& arguments) {
  ConfigLayer layer{"the command line", {}};
  for (const auto& [name, text] : arguments.given()) {
    if (const Field* off = field_turned_off(name)) {
      layer.values[off->name] = false;
      continue;
    }
    const Field* field = find_field(name);
    if (field == nullptr) continue;
    try {
      layer.values[field->name] = value_from_text(*field, text);
    } catch (const imgpack::Error& error) {
      throw imgpack::Error(error.kind(), "--" + name + ": " + error.message());
    }
  }
  return layer;
}

ResolvedConfig resolve_arguments(const cli::Arguments& arguments) {
  std::vector<ConfigLayer> layers;
  std::string recipe;
  if (const auto name = arguments.find("recipe")) {
    recipe = *name;
    layers.push_back(find_recipe(recipe).layer);
  }
  if (const auto path = arguments.find("config"))
    layers.push_back(
        parse_config_file(*path, imgpack::read_text(imgpack::posix_file_system(), *path, kMaxConfigBytes)));
  layers.push_back(flags_layer(arguments));
  return resolve(layers, recipe);
}

}  // namespace imgtrain
