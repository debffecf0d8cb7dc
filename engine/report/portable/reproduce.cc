#include "engine/report/portable/reproduce.h"

#include <algorithm>
#include <boost/json/array.hpp>

#include "engine/train/run/json_text.h"
#include "engine/train/run/recipe.h"
#include "engine/train/run/run_config_fields.h"

namespace imgtrain {
namespace {

namespace json = boost::json;

// As value_from_text() reads it back.
std::string flag_text(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  const json::array* list = value.if_array();
  if (list == nullptr) return compact_json(value);
  std::string text;
  for (const json::value& element : *list) {
    if (!text.empty()) text += ',';
    text += element.is_string() ? std::string(element.get_string()) : compact_json(element);
  }
  return text;
}

}  // namespace

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:=,+@%").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return std::string(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string reproduce_command(const RunRecord& run) {
  const auto known =
      std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& recipe) { return recipe.name == run.recipe; });
  std::string command = "imgtrain train --shards " + shell_word(run.config.shards);
  RunConfig base;
  if (known != recipes().end()) {
    command += " --recipe " + shell_word(run.recipe);
    base = resolve({&known->layer, 1}, run.recipe).values;
  }
  for (const Field& field : run_config_fields()) {
    if (field.role != FieldRole::kResult) continue;
    const json::value value = field.get(run.config);
    if (value != field.get(base)) command += " " + flag_of(field) + " " + shell_word(flag_text(value));
  }
  return command + " --out " + shell_word("runs/" + run.name + "-again");
}

}  // namespace imgtrain
