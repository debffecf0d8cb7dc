#include "tools/cli/man_page.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "tools/cli/help.h"

namespace imgpack::cli {
namespace {

// Text that troff prints as it stands: no escapes, no requests, dashes that can be copied into a shell.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '`') {
      out += "\\(ga";
    } else if (c == '^') {
      out += "\\(ha";
    } else if (c == '~') {
      out += "\\(ti";
    } else {
      out += c;
    }
  }
  // A line that begins with a full stop would be a request.
  if (!out.empty() && out.front() == '.') out.insert(0, "\\&");
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string title(const Program& program, const std::string& name) {
  return ".TH " + upper(escaped(name)) + " 1 \"\" \"" + program.name + " " + program.version + "\" \"" + program.name +
         " manual\"\n.nh\n.ad l\n";
}

void section(std::string& out, const std::string& heading) {
  out += ".SH " + escaped(upper(heading)) + "\n";
}

void entry(std::string& out, const std::string& head, const std::string& text) {
  out += ".TP\n\\fB" + escaped(head) + "\\fR\n" + escaped(text) + "\n";
}

// Paragraphs as help.cc has them: a line that begins with a space stays as it is.
void paragraphs(std::string& out, std::string_view text) {
  bool literal = false, open = false;  // `open`: a paragraph has begun.
  const auto end_literal = [&] {
    if (literal) out += ".EE\n";
    literal = false;
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      end_literal();
      if (open && !text.empty()) out += ".PP\n";
      open = false;
      continue;
    }
    if (line.front() == ' ' && !literal) {
      out += ".EX\n";
      literal = true;
    } else if (line.front() != ' ') {
      end_literal();
    }
    out += escaped(line) + "\n";
    open = true;
  }
  end_literal();
}

void exit_status(std::string& out, const std::vector<ExitStatus>& rows) {
  section(out, "Exit status");
  for (const ExitStatus& row : rows) entry(out, std::to_string(row.code), row.when);
}

}  // namespace

std::string man_page(const Program& program) {
  std::string out = title(program, program.name);
  section(out, "Name");
  out += program.name + " \\- " + escaped(program.summary) + "\n";
  section(out, "Synopsis");
  out += "\\fB" + program.name + "\\fR VERB [OPTIONS] ...\n";
  if (!program.default_verb.empty()) {
    out +=
        ".PP\n\\fB" + program.name + "\\fR [OPTIONS] ... is the verb \\fB" + escaped(program.default_verb) + "\\fR\n";
  }
  section(out, "Description");
  paragraphs(out, program.description);
  section(out, "Verbs");
  out +=
      "Each has a page of its own: \\fBman " + program.name + "\\-" + escaped(program.verbs.front().name) + "\\fR.\n";
  for (const Verb& verb : program.verbs) entry(out, verb.name, verb.summary);
  section(out, "Options");
  entry(out, "-h, --help", "Print a short help and exit. With a verb: of the verb.");
  entry(out, "--version", "Print the version and how it was built, and exit.");
  bool has_exit_status = false;
  for (const Topic& topic : program.topics) {
    std::string heading = topic.name;
    std::replace(heading.begin(), heading.end(), '-', ' ');
    has_exit_status = has_exit_status || heading == "exit status";
    section(out, heading);
    paragraphs(out, topic.text);
  }
  if (!has_exit_status) exit_status(out, program_exit_status());
  return out;
}

std::string man_page(const Program& program, const Verb& verb) {
  const std::string name = program.name + "-" + verb.name;
  std::string out = title(program, name);
  section(out, "Name");
  out += escaped(name) + " \\- " + escaped(verb.summary) + "\n";
  section(out, "Synopsis");
  out += "\\fB" + escaped(usage_line(program, verb)) + "\\fR\n";
  section(out, "Description");
  paragraphs(out, verb.description);
  if (!verb.positionals.empty()) {
    section(out, "Arguments");
    for (const Positional& positional : verb.positionals) entry(out, positional.name, positional.help);
  }
  for (const std::string& group : option_groups(verb)) {
    section(out, group.empty() ? "Options" : group);
    for (const Option& option : verb.options) {
      if (option.group == group) entry(out, option_head(option), option_help(option));
    }
    if (group.empty()) entry(out, "-h, --help", "Print a short help and exit.");
  }
  if (!verb.examples.empty()) {
    section(out, "Examples");
    for (const Example& example : verb.examples) entry(out, example.command, example.what);
  }
  exit_status(out, verb.exit_status);
  section(out, "See also");
  out += "\\fB" + program.name + "\\fR(1)\n";
  return out;
}

}  // namespace imgpack::cli
