#include "tools/cli/program.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "format/error.h"
#include "format/nearest_name.h"
#include "tools/cli/arguments.h"
#include "tools/cli/help.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/shared_verbs.h"

namespace imgpack::cli {
namespace {

const Verb* find_verb(const Program& program, const std::string& name) {
  const auto at =
      std::find_if(program.verbs.begin(), program.verbs.end(), [&](const Verb& verb) { return verb.name == name; });
  return at == program.verbs.end() ? nullptr : &*at;
}

[[noreturn]] void unknown(const Program& program, const std::string& what, const std::string& name,
                          const std::vector<std::string>& names) {
  const std::string guess = did_you_mean(name, names);
  throw Error(ErrorKind::kUsage, "unknown " + what + " '" + name + "'" + guess, {}, {},
              guess.empty() ? program.name + " --help" : "");
}

std::vector<std::string> verb_names(const Program& program) {
  std::vector<std::string> names;
  for (const Verb& verb : program.verbs) names.push_back(verb.name);
  return names;
}

const Verb& verb_or_error(const Program& program, const std::string& name) {
  if (const Verb* verb = find_verb(program, name)) return *verb;
  unknown(program, "verb", name, verb_names(program));
}

std::string help_about(const Program& program, const std::string& name) {
  if (const Verb* verb = find_verb(program, name)) return verb_help(program, *verb);
  std::vector<std::string> names = verb_names(program);
  for (const Topic& topic : program.topics) {
    if (topic.name == name) return topic_help(program, topic);
    names.push_back(topic.name);
  }
  unknown(program, "verb or topic", name, names);
}

bool asks_for_help(const std::vector<std::string>& words) {
  const auto options_end = std::find(words.begin(), words.end(), "--");
  return std::any_of(words.begin(), options_end,
                     [](const std::string& word) { return word == "--help" || word == "-h"; });
}

int run_verb(const Program& program, const Verb& verb, const std::vector<std::string>& words) {
  if (asks_for_help(words)) {
    std::cout << verb_help(program, verb);
    return kExitOk;
  }
  try {
    const Arguments arguments = parse_arguments(verb, words);
    return verb.run(arguments);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage || !error.hint().empty()) throw;
    const std::string hint = program.name + " " + verb.name + " --help";
    throw Error(ErrorKind::kUsage, error.message(), error.path(), error.offset(), hint);
  }
}

int dispatch(const Program& program, std::vector<std::string> words) {
  if (words.empty() && program.default_verb.empty()) {
    std::cerr << program_help(program);
    return kExitUsage;
  }
  const std::string first = words.empty() ? "" : words.front();
  if (first == "--help" || first == "-h" || (first == "help" && words.size() == 1)) {
    std::cout << program_help(program);
    return kExitOk;
  }
  if (first == "--version") {
    std::cout << version_text(program);
    return kExitOk;
  }
  if (first == "help") {
    if (words.size() > 2) throw Error(ErrorKind::kUsage, "unexpected argument '" + words[2] + "'");
    std::cout << help_about(program, words[1]);
    return kExitOk;
  }
  if (first.empty() || first.front() == '-') {
    if (program.default_verb.empty()) {
      throw Error(ErrorKind::kUsage,
                  "expected a verb, found option '" + first + "'" + did_you_mean(first, {"--help", "--version"}), {},
                  {}, program.name + " --help");
    }
    return run_verb(program, verb_or_error(program, program.default_verb), words);
  }
  const Verb& verb = verb_or_error(program, first);
  words.erase(words.begin());
  return run_verb(program, verb, words);
}

// A result that did not reach its file is no result, whatever the verb returned.
void flush_results() {
  errno = 0;
  std::cout.flush();
  if (std::cout.good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  const int reason = errno;
  throw Error(ErrorKind::kIo,
              "standard output could not be written: " + std::string(std::strerror(reason == 0 ? EIO : reason)));
}

}  // namespace

int run_program(const Program& program, int argc, const char* const* argv) {
  Program whole = program;
  add_shared_verbs(whole);
  return run_tool(program.name.c_str(), [&] {
    const int code = dispatch(whole, std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
    flush_results();
    return code;
  });
}

}  // namespace imgpack::cli
