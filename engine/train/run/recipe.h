// Recipes: named run configurations that are part of the program. Their text lies in engine/recipes/NAME.json; the
// build puts it into the binary.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/train/run/run_config.h"

namespace imgtrain {

struct Recipe {
  std::string name;
  std::string summary;     // One line.
  std::string source;      // Where its settings come from.
  std::string expected;    // The accuracy its source states.
  std::string reproduced;  // What this program reached with it, or "not yet reproduced here".
  ConfigLayer layer;
};

const std::vector<Recipe>& recipes();  // Sorted by name.

// Throws Error(kUsage) that names the nearest one.
const Recipe& find_recipe(std::string_view name);

struct EmbeddedRecipe {
  const char* name;
  const char* text;
};
extern const EmbeddedRecipe kEmbeddedRecipes[];
extern const unsigned kEmbeddedRecipeCount;

}  // namespace imgtrain
