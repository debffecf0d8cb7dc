#include "engine/train/run/recipe.h"

#include <boost/json/parse.hpp>
#include <span>

#include "format/error.h"
#include "format/nearest_name.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

// A mistake here is a mistake in the program: a unit test loads every recipe.
Recipe parse_recipe(const EmbeddedRecipe& embedded) {
  const json::object object = json::parse(embedded.text).as_object();
  Recipe recipe;
  recipe.name = embedded.name;
  const auto text = [&](const char* key) { return std::string(object.at(key).as_string()); };
  recipe.summary = text("summary");
  recipe.source = text("source");
  recipe.expected = text("expected");
  recipe.reproduced = text("reproduced");
  recipe.layer = {"recipe " + recipe.name, object.at("config").as_object()};
  if (object.size() != 5) throw Error(ErrorKind::kInternal, "recipe " + recipe.name + " has keys that nobody reads");
  return recipe;
}

}  // namespace

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = [] {
    std::vector<Recipe> list;
    for (const EmbeddedRecipe& embedded : std::span(kEmbeddedRecipes, kEmbeddedRecipeCount))
      list.push_back(parse_recipe(embedded));
    return list;
  }();
  return all;
}

const Recipe& find_recipe(std::string_view name) {
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes()) {
    if (recipe.name == name) return recipe;
    names.push_back(recipe.name);
  }
  throw Error(ErrorKind::kUsage, "unknown recipe '" + std::string(name) + "'" + imgpack::did_you_mean(name, names), {},
              {}, "imgtrain recipes lists them");
}

}  // namespace imgtrain
