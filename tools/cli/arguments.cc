#include "tools/cli/arguments.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>

#include "format/error.h"
#include "format/nearest_name.h"
#include "tools/cli/units.h"

namespace imgpack::cli {
namespace {

namespace po = boost::program_options;

[[noreturn]] void usage(const std::string& message) {
  throw Error(ErrorKind::kUsage, message);
}

po::options_description describe(const Verb& verb) {
  po::options_description rows;
  for (const Option& option : verb.options) {
    const std::string names = option.letter == 0 ? option.name : option.name + "," + option.letter;
    if (option.value.empty()) {
      rows.add_options()(names.c_str(), "");
    } else {
      rows.add_options()(names.c_str(), po::value<std::string>(), "");
    }
  }
  return rows;
}

std::vector<std::string> long_names(const Verb& verb) {
  std::vector<std::string> names = {"--help"};
  for (const Option& option : verb.options) names.push_back("--" + option.name);
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void check_choice(const Option& option, const std::string& value) {
  if (option.choices.empty() || std::count(option.choices.begin(), option.choices.end(), value) != 0) return;
  usage("--" + option.name + ": expected one of " + joined(option.choices) + ", found '" + value + "'" +
        did_you_mean(value, option.choices));
}

std::map<std::string, std::vector<std::string>, std::less<>> assign_positionals(const Verb& verb,
                                                                                std::vector<std::string> words) {
  std::map<std::string, std::vector<std::string>, std::less<>> assigned;
  size_t next = 0;
  for (const Positional& positional : verb.positionals) {
    auto& values = assigned[positional.name];
    if (next == words.size() && positional.required) usage(positional.name + " is missing: " + positional.help);
    while (next < words.size() && (values.empty() || positional.repeatable)) {
      if (words[next].empty()) usage(positional.name + ": expected a name, found an empty argument");
      values.push_back(std::move(words[next++]));
    }
  }
  if (next < words.size()) usage("unexpected argument '" + words[next] + "'");
  return assigned;
}

}  // namespace

Arguments parse_arguments(const Verb& verb, const std::vector<std::string>& words) {
  const po::options_description rows = describe(verb);
  // No abbreviations: a script that relies on one breaks when a new option makes it ambiguous.
  const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  std::vector<po::option> parsed;
  try {
    po::command_line_parser parser(words);
    parsed = parser.options(rows).style(style).allow_unregistered().run().options;
  } catch (const po::error_with_option_name& error) {
    std::string name = error.get_option_name();
    if (name.rfind("--", 0) != 0) name = "--" + name;
    const auto row = std::find_if(verb.options.begin(), verb.options.end(),
                                  [&](const Option& option) { return "--" + option.name == name; });
    const bool is_switch = row != verb.options.end() && row->value.empty();
    usage(name + (is_switch ? ": takes no value" : ": expected a value"));
  } catch (const po::error& error) {
    usage(error.what());
  }

  Arguments arguments;
  arguments.verb_ = &verb;
  std::vector<std::string> free_words;
  for (const po::option& item : parsed) {
    if (item.string_key.empty() || item.position_key >= 0) {
      free_words.insert(free_words.end(), item.value.begin(), item.value.end());
      continue;
    }
    if (item.unregistered) {
      const std::string& typed = item.original_tokens.empty() ? item.string_key : item.original_tokens.front();
      const std::string name = typed.substr(0, typed.find('='));
      usage("unknown option '" + name + "'" + did_you_mean(name, long_names(verb)));
    }
    // The parser reports a short form under its letter.
    const auto row = std::find_if(verb.options.begin(), verb.options.end(), [&](const Option& option) {
      return option.name == item.string_key ||
             (option.letter != 0 && item.string_key == std::string("-") + option.letter);
    });
    if (row == verb.options.end()) usage("unknown option '" + item.string_key + "'");
    const std::string value = item.value.empty() ? "" : item.value.front();
    if (!row->value.empty()) check_choice(*row, value);
    arguments.given_.emplace_back(row->name, value);
  }
  arguments.positionals_ = assign_positionals(verb, std::move(free_words));
  return arguments;
}

const Option& Arguments::row(std::string_view name) const {
  for (const Option& option : verb_->options) {
    if (option.name == name) return option;
  }
  throw Error(ErrorKind::kInternal, "verb " + verb_->name + " has no option --" + std::string(name));
}

bool Arguments::has(std::string_view name) const {
  row(name);
  return std::any_of(given_.begin(), given_.end(), [&](const auto& pair) { return pair.first == name; });
}

std::optional<std::string> Arguments::find(std::string_view name) const {
  const Option& option = row(name);
  for (auto pair = given_.rbegin(); pair != given_.rend(); ++pair) {
    if (pair->first == name) return pair->second;
  }
  if (option.default_value.empty()) return std::nullopt;
  return option.default_value;
}

std::string Arguments::text(std::string_view name) const {
  auto value = find(name);
  if (!value) usage("--" + std::string(name) + " is required: " + row(name).help);
  return *std::move(value);
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  row(name);
  std::vector<std::string> values;
  for (const auto& [given_name, value] : given_) {
    if (given_name == name) values.push_back(value);
  }
  return values;
}

uint64_t Arguments::number(std::string_view name, uint64_t min, uint64_t max) const {
  const std::string value = text(name);
  uint64_t number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = failure == std::errc() && end == value.data() + value.size();
  if (!whole || number < min || number > max) {
    const std::string above = max == std::numeric_limits<uint64_t>::max() ? " or more" : " to " + std::to_string(max);
    usage("--" + std::string(name) + ": expected a whole number, " + std::to_string(min) + above + ", found '" + value +
          "'");
  }
  return number;
}

double Arguments::real(std::string_view name, double min, double max) const {
  const std::string value = text(name);
  double number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = failure == std::errc() && end == value.data() + value.size();
  // Written so that NaN is refused too.
  if (!whole || !(number >= min && number <= max)) {
    usage("--" + std::string(name) + ": expected a number from " + format_real(min) + " to " + format_real(max) +
          ", found '" + value + "'");
  }
  return number;
}

uint64_t Arguments::bytes(std::string_view name) const {
  const std::string value = text(name);
  const auto bytes = parse_bytes(value);
  if (!bytes) usage("--" + std::string(name) + ": expected a size such as 512MiB, 4G or 65536, found '" + value + "'");
  return *bytes;
}

std::string Arguments::positional(std::string_view name) const {
  const auto values = positionals(name);
  return values.empty() ? "" : values.front();
}

std::vector<std::string> Arguments::positionals(std::string_view name) const {
  const auto at = positionals_.find(name);
  if (at == positionals_.end()) {
    throw Error(ErrorKind::kInternal, "verb " + verb_->name + " has no argument " + std::string(name));
  }
  return at->second;
}

}  // namespace imgpack::cli
