// "Did you mean …?" for mistyped verbs, flags, keys, split and recipe names.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imgpack {

// The candidate that takes the fewest insertions, deletions, substitutions and swaps of neighbours to reach from
// `name`; the first one of several. nullopt if none is near: more than a third of the longer name's letters would
// have to change (one change is always near, except where it is the whole name).
std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// `. Did you mean 'X'?`, or empty. Made to be appended to a message.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace imgpack
