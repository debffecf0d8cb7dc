// What the user typed, checked against a verb's table. Every accessor throws Error(kUsage) that names the option, the
// value and what was expected; asking for a name that the table lacks is Error(kInternal).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/cli/option_table.h"

namespace imgpack::cli {

class Arguments {
 public:
  bool has(std::string_view name) const;  // Given on the command line. For a switch: it is on.
  // The value given (the last one), else the table's default, else nullopt.
  std::optional<std::string> find(std::string_view name) const;
  std::string text(std::string_view name) const;  // As find(), but absent is an error: the option is required.
  std::vector<std::string> all(std::string_view name) const;  // Every value of a repeatable option, in order.

  uint64_t number(std::string_view name, uint64_t min = 0, uint64_t max = std::numeric_limits<uint64_t>::max()) const;
  double real(std::string_view name, double min, double max) const;
  uint64_t bytes(std::string_view name) const;  // `512MiB`, `1G`, `4096`: see parse_bytes().

  // Of a positional argument: empty if it is optional and absent.
  std::string positional(std::string_view name) const;
  std::vector<std::string> positionals(std::string_view name) const;  // Of a repeatable one.

  // Every option given, in order, as (name, value); the value of a switch is empty. For programs whose options are
  // the fields of a configuration.
  const std::vector<std::pair<std::string, std::string>>& given() const { return given_; }

 private:
  friend Arguments parse_arguments(const Verb& verb, const std::vector<std::string>& words);
  const Option& row(std::string_view name) const;

  const Verb* verb_ = nullptr;  // Outlives this.
  std::vector<std::pair<std::string, std::string>> given_;
  std::map<std::string, std::vector<std::string>, std::less<>> positionals_;
};

// `words` are what follows the verb. Throws Error(kUsage) for an unknown option (naming the nearest one), a missing
// or surplus value, a value outside an option's choices, and too few or too many positional arguments.
// `--help` is not handled here: a caller looks for it first. REQUIRES: `verb` outlives the result.
Arguments parse_arguments(const Verb& verb, const std::vector<std::string>& words);

}  // namespace imgpack::cli
