// Talk on standard error: notes, warnings, and at most one progress bar that they never break.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

namespace imgpack::cli {

// Thread-safe.
class Console {
 public:
  explicit Console(std::FILE* out);

  void say(std::string_view line);   // A note, with a newline appended.
  void warn(std::string_view line);  // `warning: …`, coloured where that is wanted.

  bool is_terminal() const { return terminal_; }
  bool has_colour() const { return colour_; }  // A terminal, NO_COLOR unset or empty, TERM not dumb.
  size_t columns() const;                      // Of the terminal, 80 where there is none.

  // The line that stands below everything said until it is replaced or cleared. On a terminal only.
  void show_bar(std::string_view bar);
  void clear_bar();

 private:
  void line(std::string_view prefix, std::string_view text);

  std::FILE* out_;
  bool terminal_ = false;
  bool colour_ = false;
  std::mutex mutex_;
  std::string bar_;
};

Console& console();  // Of this process's standard error.

}  // namespace imgpack::cli
