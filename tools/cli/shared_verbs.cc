#include "tools/cli/shared_verbs.h"

#include <cctype>
#include <filesystem>
#include <iostream>

#include "format/error.h"
#include "format/file.h"
#include "format/nearest_name.h"
#include "tools/cli/arguments.h"
#include "tools/cli/completion.h"
#include "tools/cli/man_page.h"
#include "tools/cli/run_tool.h"

namespace imgpack::cli {
namespace {

Verb completion_verb(const Program& program) {
  Verb verb;
  verb.name = "completion";
  verb.summary = "Print a completion script for a shell";
  verb.description =
      "Verbs, options and their values after the Tab key. The script knows everything by itself and never runs the "
      "program. A package installs it; by hand:\n\n"
      "  source <(" +
      program.name + " completion bash)           # in ~/.bashrc\n  " + program.name + " completion zsh >~/.zfunc/_" +
      program.name + "    # a folder of $fpath\n  " + program.name + " completion fish >~/.config/fish/completions/" +
      program.name + ".fish";
  verb.positionals = {{.name = "SHELL", .help = "bash, zsh or fish."}};
  verb.examples = {{"source <(" + program.name + " completion bash)", "Completion in this shell."}};
  verb.exit_status = usual_exit_status();
  verb.run = [&program](const Arguments& arguments) {
    const std::string name = arguments.positional("SHELL");
    const auto shell = parse_shell(name);
    if (!shell) {
      throw Error(ErrorKind::kUsage, "SHELL: expected bash, zsh or fish, found '" + name + "'" +
                                         did_you_mean(name, {"bash", "zsh", "fish"}));
    }
    std::cout << completion_script(program, *shell);
    return kExitOk;
  };
  return verb;
}

void write_pages(const Program& program, const std::filesystem::path& folder) {
  FileSystem& fs = posix_file_system();
  fs.make_directories(folder);
  publish(fs, folder / (program.name + ".1"), man_page(program));
  for (const Verb& verb : program.verbs)
    publish(fs, folder / (program.name + "-" + verb.name + ".1"), man_page(program, verb));
}

Verb man_verb(const Program& program) {
  Verb verb;
  verb.name = "man";
  verb.summary = "Print a manual page";
  verb.description = "The pages say what --help says, in troff. A package installs them: `man " + program.name +
                     "`, `man " + program.name + "-" + program.verbs.front().name + "`.";
  verb.positionals = {{.name = "VERB", .help = "Of this verb; without it, of the program.", .required = false}};
  verb.options = {{.name = "output", .value = "DIR", .help = "Write the pages of the program and of all verbs there."}};
  verb.examples = {{program.name + " man | man -l -", "Read it."},
                   {program.name + " man --output ~/.local/share/man/man1", "Where man finds them."}};
  verb.exit_status = usual_exit_status();
  verb.run = [&program](const Arguments& arguments) {
    const std::string name = arguments.positional("VERB");
    if (const auto folder = arguments.find("output")) {
      if (!name.empty()) throw Error(ErrorKind::kUsage, "--output writes all pages: leave VERB out");
      write_pages(program, *folder);
      return kExitOk;
    }
    if (name.empty()) {
      std::cout << man_page(program);
      return kExitOk;
    }
    std::vector<std::string> names;
    for (const Verb& row : program.verbs) {
      if (row.name == name) {
        std::cout << man_page(program, row);
        return kExitOk;
      }
      names.push_back(row.name);
    }
    throw Error(ErrorKind::kUsage, "unknown verb '" + name + "'" + did_you_mean(name, names));
  };
  return verb;
}

Topic exit_status_topic(const Program& program) {
  std::string text = "The same in every program and verb; a verb's own help says what each means there.\n\n";
  for (const ExitStatus& row :
       usual_exit_status({{3, "done, but some sources were skipped or are missing: they are listed"},
                          {4, "damage was found: imgpack repair DIR --dry-run says what can be done"},
                          {5, "a file of a version that this build does not read"},
                          {75, "stopped by SIGTERM or an interruption notice in a clean state: again"}})) {
    std::string code = std::to_string(row.code);
    code.resize(5, ' ');
    text += "  " + code + row.when + "\n";
  }
  text += "\nIn a script that goes on after interruptions:\n\n";
  text += program.name == "imgtrain"
              ? "  until imgtrain --shards DIR --recipe fast --out runs/r1; do\n    [ $? = 75 ] || exit\n  done"
              : "  until " + program.name +
                    " build SOURCE OUT; do\n    case $? in 75) ;; 3) break ;; *) exit 1 ;; esac\n  done";
  return {"exit-status", "exit codes, and a script that goes by them", text};
}

Topic output_topic() {
  return {
      "output", "results, talk, progress, colour, JSON and signals",
      "Results go to standard output, everything else to standard error. With --json a result is JSON, one object "
      "or one line per object.\n\n"
      "On a terminal a long step shows a bar; in a log it leaves one line every ten seconds. -q silences both, not "
      "warnings and errors. Colour is used on a terminal only, and never where NO_COLOR is set to anything "
      "(no-color.org) or TERM is dumb.\n\n"
      "An error says what failed, where, what was expected and found, and what to try.\n\n"
      "Ctrl-C and SIGTERM stop at the next clean point, with exit status 130 and 75; a second Ctrl-C stops at once. "
      "No file is ever half-written under its name."};
}

}  // namespace

void add_shared_verbs(Program& program) {
  // Summaries stand in one list: they begin as the program's own do.
  const bool small = std::islower(static_cast<unsigned char>(program.verbs.front().summary.front())) != 0;
  for (Verb verb : {completion_verb(program), man_verb(program)}) {
    if (small) verb.summary.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(verb.summary.front())));
    program.verbs.push_back(std::move(verb));
  }
  program.topics.push_back(exit_status_topic(program));
  program.topics.push_back(output_topic());
}

}  // namespace imgpack::cli
