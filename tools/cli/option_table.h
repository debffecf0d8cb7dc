// The one table that a program's command line, its help and its errors come from.
//
//   Program -> Verb (build, verify, …) -> Option rows     parse_arguments() reads by it, help_text() prints it
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace imgpack::cli {

class Arguments;

struct Option {
  std::string name;                // Long name without dashes: `shard-size`.
  std::string value;               // What stands for the value in the help: `BYTES`. Empty: a switch that takes none.
  std::string help;                // A sentence or two. The default and the choices are appended from the fields below.
  std::string default_value = {};  // Taken where the option is absent. Empty: no default.
  std::vector<std::string> choices = {};  // If not empty, any other value is an error that names the nearest one.
  char letter = 0;                        // Short form: 'q' for -q. 0: none.
  bool repeatable = false;                // May be given several times; all values are kept. Otherwise the last wins.
  std::string group = {};                 // Heading that it stands under in the help. Empty: "OPTIONS".
  std::vector<std::string> suggestions = {};  // Values that a shell offers for it; others are as good.
};

struct Positional {
  std::string name;  // `SOURCE`
  std::string help;
  bool required = true;
  bool repeatable = false;  // Takes all that follow. Only the last one may.
};

struct Example {
  std::string command;  // `imgpack build /mnt/data/imagenet`
  std::string what;     // What it does, in a few words.
};

// A line of the EXIT STATUS section.
struct ExitStatus {
  int code = 0;
  std::string when;
};

struct Verb {
  std::string name;         // `build`
  std::string summary;      // One line without a full stop, for the list of verbs.
  std::string description;  // Paragraphs, separated by an empty line. A line that starts with spaces stays as it is.
  std::vector<Positional> positionals;
  std::vector<Option> options;  // --help is added to every verb.
  std::vector<Example> examples;
  std::vector<ExitStatus> exit_status;
  std::function<int(const Arguments&)> run;  // Returns an ExitCode. May throw imgpack::Error.
};

// A page of help about something that several verbs share: `imgpack help exit-status`.
struct Topic {
  std::string name;     // Unlike any verb's.
  std::string summary;  // One line without a full stop.
  std::string text;     // As Verb::description.
};

struct Program {
  std::string name;     // `imgpack`
  std::string version;  // `0.1.0`
  std::string summary;  // One line.
  std::string description;
  std::vector<Verb> verbs;
  std::string default_verb = {};                // Taken where the first argument is an option. Empty: a verb is needed.
  std::vector<std::string> build_details = {};  // Further lines of --version.
  std::vector<Topic> topics = {};               // What `PROGRAM help TOPIC` explains.
};

// Puts `more` behind `options`.
void append(std::vector<Option>& options, std::vector<Option> more);

// Rows that several verbs share, so that they read the same everywhere.
Option threads_option();  // --threads N, -j; 0: all cores that this process may use.
Option json_option();     // --json
Option quiet_option();    // --quiet, -q

// The usual exit codes of a verb: 0, 1, 2, and 130 and 75 where it can be stopped, with `extra` in its place by number.
std::vector<ExitStatus> usual_exit_status(const std::vector<ExitStatus>& extra = {});

}  // namespace imgpack::cli
