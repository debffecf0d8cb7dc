#include "tools/cli/completion.h"

#include <algorithm>
#include <vector>

namespace imgpack::cli {
namespace {

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

// In single quotes; works in all three shells for text without control characters.
std::string quoted(std::string_view text, std::string_view quote_inside) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += quote_inside;
    } else {
      out += c;
    }
  }
  return out + "'";
}

// What may stand for a value, as far as a shell can know.
enum class ValueKind { kWords, kFolder, kFile, kOther };

ValueKind kind_of_name(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has("FILE") || has("RUN") || has("SOURCE") || has("TEXT") || has("PATH") || has("ARCHIVE"))
    return ValueKind::kFile;
  if (has("DIR") || has("OUT") || has("DATASET") || has("FOLDER")) return ValueKind::kFolder;
  return ValueKind::kOther;
}

const std::vector<std::string>& words_of(const Option& option) {
  return option.choices.empty() ? option.suggestions : option.choices;
}

ValueKind kind_of(const Option& option) {
  return words_of(option).empty() ? kind_of_name(option.value) : ValueKind::kWords;
}

std::vector<std::string> names_of(const Option& option) {
  std::vector<std::string> names = {"--" + option.name};
  if (option.letter != 0) names.push_back(std::string("-") + option.letter);
  return names;
}

std::vector<std::string> verb_names(const Program& program) {
  std::vector<std::string> names;
  for (const Verb& verb : program.verbs) names.push_back(verb.name);
  return names;
}

// The words that a verb's first argument can be; empty: it is a file or something unknown.
std::vector<std::string> first_argument_words(const Program& program, const Verb& verb) {
  if (verb.name == "completion") return {"bash", "zsh", "fish"};
  if (verb.name == "man") return verb_names(program);
  return {};
}

std::vector<std::string> help_words(const Program& program) {
  std::vector<std::string> names = verb_names(program);
  for (const Topic& topic : program.topics) names.push_back(topic.name);
  return names;
}

std::string function_name(const Program& program) {
  std::string name = "_" + program.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// bash splits words at '=': `--level=de` arrives as three of them.
constexpr const char* kBashHead = R"(  local cur=${COMP_WORDS[COMP_CWORD]} prev= verb= options= words= kind=
  ((COMP_CWORD < 1)) || prev=${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
)";

constexpr const char* kBashTail = R"(  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  case $kind in
    none) return ;;
    folder)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return
      ;;
    file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
      ;;
  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
    return
  fi
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
)";

std::string bash_value_cases(const Verb& verb) {
  std::string out;
  for (const Option& option : verb.options) {
    if (option.value.empty()) continue;
    out += "        " + joined(names_of(option), " | ") + ") ";
    switch (kind_of(option)) {
      case ValueKind::kWords:
        out += "words=" + quoted(joined(words_of(option)), "'\\''");
        break;
      case ValueKind::kFolder:
        out += "kind=folder";
        break;
      case ValueKind::kFile:
        out += "kind=file";
        break;
      case ValueKind::kOther:
        out += "kind=none";
        break;
    }
    out += " ;;\n";
  }
  return out;
}

std::string bash_script(const Program& program) {
  const std::string function = function_name(program);
  std::string out = "# bash completion of " + program.name + " " + program.version + ": " + program.name +
                    " completion bash\n" + function + "() {\n" + kBashHead;
  out += "  if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} != -* ]]; then\n    verb=${COMP_WORDS[1]}\n";
  if (!program.default_verb.empty()) {
    out += "  elif ((COMP_CWORD > 1)) || [[ $cur == -* ]]; then\n    verb=" + program.default_verb + "\n";
  }
  out += "  fi\n  case $verb in\n    '')\n      words='" + joined(verb_names(program)) + " help --help --version'\n";
  out += "      ;;\n    help)\n      words='" + joined(help_words(program)) + "'\n      ;;\n";
  for (const Verb& verb : program.verbs) {
    std::vector<std::string> options;
    for (const Option& option : verb.options) options.push_back("--" + option.name);
    out += "    " + verb.name + ")\n      options='" + joined(options) + "'\n";
    if (verb.name == program.default_verb) out += "      ((COMP_CWORD > 1)) || options+=' --version'\n";
    if (const auto words = first_argument_words(program, verb); !words.empty())
      out += "      [[ $cur == -* ]] || ((COMP_CWORD > 2)) || words='" + joined(words) + "'\n";
    if (const std::string cases = bash_value_cases(verb); !cases.empty())
      out += "      case $prev in\n" + cases + "      esac\n";
    out += "      ;;\n";
  }
  out +=
      std::string("    *) return ;;\n  esac\n") + kBashTail + "}\ncomplete -F " + function + " " + program.name + "\n";
  return out;
}

// zsh's _arguments reads [] as the explanation and : as a separator.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(ValueKind kind, const std::vector<std::string>& words) {
  switch (kind) {
    case ValueKind::kWords:
      return "(" + joined(words) + ")";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kOther:
      return " ";
  }
  return " ";
}

std::string first_sentence(const std::string& text) {
  const size_t end = text.find(". ");
  std::string sentence = end == std::string::npos ? text : text.substr(0, end);
  if (!sentence.empty() && sentence.back() == '.') sentence.pop_back();
  return sentence;
}

std::string zsh_arguments(const Program& program, const Verb& verb) {
  const auto line = [](const std::string& spec) { return " \\\n        " + quoted(spec, "'\\''"); };
  std::string out = "      _arguments -s";
  for (const Option& option : verb.options) {
    for (const std::string& name : names_of(option)) {
      std::string spec = (option.repeatable ? "*" : "") + name;
      if (!option.value.empty() && name.size() > 2) spec += "=";
      spec += "[" + zsh_text(first_sentence(option.help)) + "]";
      if (!option.value.empty())
        spec += ":" + zsh_text(option.value) + ":" + zsh_action(kind_of(option), words_of(option));
      out += line(spec);
    }
  }
  out += line("(- *)--help[Print help and exit]");
  for (const Positional& positional : verb.positionals) {
    const auto words = first_argument_words(program, verb);
    const ValueKind kind = words.empty() ? ValueKind::kFile : ValueKind::kWords;
    out += line((positional.repeatable ? "*:"
                 : positional.required ? ":"
                                       : "::") +
                zsh_text(positional.name) + ":" + zsh_action(kind, words));
  }
  return out + "\n";
}

std::string zsh_script(const Program& program) {
  const std::string function = function_name(program);
  std::string out = "#compdef " + program.name + "\n# zsh completion of " + program.name + " " + program.version +
                    ": " + program.name + " completion zsh\n" + function + "() {\n  local -a verbs\n  verbs=(\n";
  for (const Verb& verb : program.verbs)
    out += "    " + quoted(verb.name + ":" + zsh_text(verb.summary), "'\\''") + "\n";
  out += "    'help:Explain a verb or a topic'\n  )\n";
  if (program.default_verb.empty()) {
    out +=
        "  if ((CURRENT == 2)); then\n    _describe verb verbs\n    _arguments '--help[Print help]' "
        "'--version[Print the version]'\n    return\n  fi\n  local verb=$words[2]\n  shift words\n  ((CURRENT--))\n";
  } else {
    out += "  local verb=" + program.default_verb +
           "\n  if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n    _describe verb verbs\n    return\n  fi\n"
           "  if [[ $words[2] != -* ]]; then\n    verb=$words[2]\n    shift words\n    ((CURRENT--))\n  fi\n";
  }
  out += "  case $verb in\n    help)\n      _arguments '1:verb or topic:(" + joined(help_words(program)) +
         ")'\n      ;;\n";
  for (const Verb& verb : program.verbs)
    out += "    " + verb.name + ")\n" + zsh_arguments(program, verb) + "      ;;\n";
  // The file is either autoloaded as the function itself, or sourced.
  out += "  esac\n}\nif [[ $funcstack[1] == " + function + " ]]; then\n  " + function + " \"$@\"\nelse\n  compdef " +
         function + " " + program.name + "\nfi\n";
  return out;
}

std::string fish_option(const Program& program, const std::string& condition, const Option& option) {
  std::string line = "complete -c " + program.name + " -n " + quoted(condition, "\\'") + " -l " + option.name;
  if (option.letter != 0) line += std::string(" -s ") + option.letter;
  if (!option.value.empty()) {
    switch (kind_of(option)) {
      case ValueKind::kWords:
        line += " -xa " + quoted(joined(words_of(option)), "\\'");
        break;
      case ValueKind::kFolder:
        line += " -xa '(__fish_complete_directories)'";
        break;
      case ValueKind::kFile:
        line += " -rF";
        break;
      case ValueKind::kOther:
        line += " -x";
        break;
    }
  }
  return line + " -d " + quoted(first_sentence(option.help), "\\'") + "\n";
}

std::string fish_script(const Program& program) {
  const std::string verbs = joined(verb_names(program)) + " help";
  const std::string no_verb = "not __fish_seen_subcommand_from " + verbs;
  std::string out = "# fish completion of " + program.name + " " + program.version + ": " + program.name +
                    " completion fish\ncomplete -c " + program.name + " -e\n";
  const std::string head = "complete -c " + program.name + " -n " + quoted(no_verb, "\\'");
  for (const Verb& verb : program.verbs)
    out += head + " -fa " + verb.name + " -d " + quoted(verb.summary, "\\'") + "\n";
  out += head + " -fa help -d 'Explain a verb or a topic'\n" + head + " -l version -d 'Print the version'\n";
  out += "complete -c " + program.name + " -s h -l help -d 'Print help and exit'\n";
  out += "complete -c " + program.name + " -n '__fish_seen_subcommand_from help' -fa " +
         quoted(joined(help_words(program)), "\\'") + "\n";
  for (const Verb& verb : program.verbs) {
    const std::string condition = "__fish_seen_subcommand_from " + verb.name;
    for (const Option& option : verb.options) out += fish_option(program, condition, option);
    if (const auto words = first_argument_words(program, verb); !words.empty())
      out += "complete -c " + program.name + " -n " + quoted(condition, "\\'") + " -fa " +
             quoted(joined(words), "\\'") + "\n";
    if (verb.name == program.default_verb) {
      for (const Option& option : verb.options) out += fish_option(program, no_verb, option);
    }
  }
  return out;
}

}  // namespace

std::optional<Shell> parse_shell(std::string_view name) {
  if (name == "bash") return Shell::kBash;
  if (name == "zsh") return Shell::kZsh;
  if (name == "fish") return Shell::kFish;
  return std::nullopt;
}

std::string completion_script(const Program& program, Shell shell) {
  switch (shell) {
    case Shell::kBash:
      return bash_script(program);
    case Shell::kZsh:
      return zsh_script(program);
    case Shell::kFish:
      return fish_script(program);
  }
  return {};
}

}  // namespace imgpack::cli
