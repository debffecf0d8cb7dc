#include "tools/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace imgpack::cli {
namespace {

constexpr const char* kEraseLine = "\r\x1b[K";

bool environment_is(const char* name, std::string_view value) {
  const char* found = std::getenv(name);
  return found != nullptr && value == found;
}

}  // namespace

Console::Console(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) == 1) {
  // NO_COLOR counts when it is present and not empty (no-color.org).
  const char* no_colour = std::getenv("NO_COLOR");
  const bool refused = no_colour != nullptr && *no_colour != '\0';
  if (environment_is("TERM", "dumb")) terminal_ = false;
  colour_ = terminal_ && !refused;
}

size_t Console::columns() const {
  winsize size = {};
  if (terminal_ && ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void Console::line(std::string_view prefix, std::string_view text) {
  std::string whole;
  const std::lock_guard lock(mutex_);
  if (!bar_.empty()) whole += kEraseLine;
  whole += prefix;
  whole += text;
  whole += '\n';
  whole += bar_;
  std::fwrite(whole.data(), 1, whole.size(), out_);
  std::fflush(out_);
}

void Console::say(std::string_view text) {
  line("", text);
}

void Console::warn(std::string_view text) {
  line(colour_ ? "\x1b[33mwarning:\x1b[0m " : "warning: ", text);
}

void Console::show_bar(std::string_view bar) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  const std::string whole = kEraseLine + std::string(bar);
  std::fwrite(whole.data(), 1, whole.size(), out_);
  std::fflush(out_);
  bar_ = bar;
}

void Console::clear_bar() {
  const std::lock_guard lock(mutex_);
  if (bar_.empty()) return;
  std::fputs(kEraseLine, out_);
  std::fflush(out_);
  bar_.clear();
}

Console& console() {
  static Console of_this_process(stderr);
  return of_this_process;
}

}  // namespace imgpack::cli
