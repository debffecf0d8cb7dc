#include "tools/cli/help.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace imgpack::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kHelpColumn = 26;  // Where the explanation of an option starts.

// Appends `text`, broken into lines; the first one starts at column `at`, the others at `indent`.
void wrap(std::string& out, std::string_view text, size_t at, size_t indent) {
  bool first_word = true;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!first_word && at + 1 + word.size() > kColumns) {
      out += '\n' + std::string(indent, ' ');
      at = indent;
    } else if (!first_word) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
    first_word = false;
  }
  out += '\n';
}

// Paragraphs are wrapped; a line that starts with a space is an example or a table and stays as it is.
void paragraphs(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      out += '\n';
    } else if (line.front() == ' ') {
      out += std::string(line) + '\n';
    } else {
      wrap(out, line, 0, 0);
    }
  }
}

void entry(std::string& out, const std::string& head, const std::string& help) {
  out += "  " + head;
  if (head.size() + 4 > kHelpColumn) {
    out += '\n' + std::string(kHelpColumn, ' ');
  } else {
    out += std::string(kHelpColumn - head.size() - 2, ' ');
  }
  wrap(out, help, kHelpColumn, kHelpColumn);
}

void option_sections(std::string& out, const Verb& verb) {
  for (const std::string& group : option_groups(verb)) {
    out += "\n" + (group.empty() ? "OPTIONS" : group) + "\n";
    for (const Option& option : verb.options) {
      if (option.group == group) entry(out, option_head(option), option_help(option));
    }
    if (group.empty()) entry(out, "-h, --help", "Print this text and exit.");
  }
}

}  // namespace

std::string option_head(const Option& option) {
  std::string head = option.letter == 0 ? "" : std::string("-") + option.letter + ", ";
  head += "--" + option.name;
  if (!option.value.empty()) head += " " + option.value;
  return head;
}

std::string option_help(const Option& option) {
  std::string help = option.help;
  if (!option.choices.empty()) {
    help += " One of:";
    for (const std::string& choice : option.choices) help += (&choice == &option.choices.front() ? " " : ", ") + choice;
    help += ".";
  }
  if (option.repeatable) help += " May be given several times.";
  if (!option.default_value.empty()) help += " [default: " + option.default_value + "]";
  return help;
}

std::vector<std::string> option_groups(const Verb& verb) {
  std::vector<std::string> groups = {""};
  for (const Option& option : verb.options) {
    if (std::count(groups.begin(), groups.end(), option.group) == 0) groups.push_back(option.group);
  }
  return groups;
}

std::vector<ExitStatus> program_exit_status() {
  return usual_exit_status({{3, "done, but some sources were skipped"},
                            {4, "damage was found"},
                            {5, "a file of a version that this build does not read"}});
}

std::string usage_line(const Program& program, const Verb& verb) {
  std::string line = program.name;
  line += verb.name == program.default_verb ? " [" + verb.name + "]" : " " + verb.name;
  line += " [OPTIONS]";
  for (const Positional& positional : verb.positionals) {
    const std::string name = positional.name + (positional.repeatable ? "..." : "");
    line += positional.required ? " " + name : " [" + name + "]";
  }
  return line;
}

std::string program_help(const Program& program) {
  std::string out = program.name + " - " + program.summary + "\n\nUSAGE\n  " + program.name + " VERB [OPTIONS] ...\n";
  if (!program.default_verb.empty()) {
    out += "  " + program.name + " [OPTIONS] ...   is the verb " + program.default_verb + "\n";
  }
  out += "\n";
  paragraphs(out, program.description);
  out += "\nVERBS\n";
  for (const Verb& verb : program.verbs) entry(out, verb.name, verb.summary);
  out += "\nOPTIONS\n";
  entry(out, "-h, --help", "Print this text and exit. `" + program.name + " VERB --help` explains a verb.");
  entry(out, "--version", "Print the version and how it was built, and exit.");
  if (!program.topics.empty()) {
    out += "\nTOPICS (" + program.name + " help TOPIC)\n";
    for (const Topic& topic : program.topics) entry(out, topic.name, topic.summary);
  }
  out += "\nEXIT STATUS\n";
  for (const ExitStatus& row : program_exit_status()) entry(out, std::to_string(row.code), row.when);
  return out;
}

std::string verb_help(const Program& program, const Verb& verb) {
  std::string out =
      program.name + " " + verb.name + " - " + verb.summary + "\n\nUSAGE\n  " + usage_line(program, verb) + "\n\n";
  paragraphs(out, verb.description);
  if (!verb.positionals.empty()) {
    out += "\nARGUMENTS\n";
    for (const Positional& positional : verb.positionals) entry(out, positional.name, positional.help);
  }
  option_sections(out, verb);
  if (!verb.examples.empty()) {
    out += "\nEXAMPLES\n";
    for (const Example& example : verb.examples) {
      out += "  " + example.command + "\n";
      out += "      ";
      wrap(out, example.what, 6, 6);
    }
  }
  out += "\nEXIT STATUS\n";
  for (const ExitStatus& row : verb.exit_status) entry(out, std::to_string(row.code), row.when);
  return out;
}

std::string topic_help(const Program& program, const Topic& topic) {
  std::string out = program.name + " help " + topic.name + " - " + topic.summary + "\n\n";
  paragraphs(out, topic.text);
  return out;
}

std::string version_text(const Program& program) {
  std::string text = program.name + " " + program.version + "\n";
  for (const std::string& line : program.build_details) text += line + "\n";
  return text;
}

}  // namespace imgpack::cli
