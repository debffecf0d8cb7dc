// The one table of RunConfig's fields. A field that is not here does not exist for any user.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train/run/run_config.h"

namespace imgtrain {

// Whether a field has a say in the trained weights, or only in how this machine gets there.
enum class FieldRole { kResult, kMachine };
enum class FieldKind { kText, kChoice, kBool, kInteger, kReal, kDuration, kDurations };

struct Field {
  std::string_view name;   // JSON key; the flag is the same with dashes: --weight-decay.
  std::string_view group;  // Heading in help and printed list.
  std::string_view help;   // One sentence, no full stop.
  FieldRole role = FieldRole::kResult;
  FieldKind kind = FieldKind::kText;
  std::vector<std::string_view> choices;  // kChoice.
  double minimum = 0, maximum = 0;        // kInteger, kReal; inclusive.

  // Checks type and range and stores. Throws Error(kUsage) "expected …, found …", without the field's name.
  std::function<void(RunConfig&, const boost::json::value&)> set;
  std::function<boost::json::value(const RunConfig&)> get;
};

const std::vector<Field>& run_config_fields();

// nullptr: there is none of that name. Dashes count as underscores.
const Field* find_field(std::string_view name);
std::vector<std::string> field_names();

// --weight-decay for weight_decay.
std::string flag_of(const Field& field);

// What a flag's text means as JSON, still unchecked against the field's range. Throws Error(kUsage).
boost::json::value value_from_text(const Field& field, std::string_view text);

}  // namespace imgtrain
