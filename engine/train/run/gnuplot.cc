#include "engine/train/run/gnuplot.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "format/error.h"

extern char** environ;

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// Exit status of gnuplot on a script file.
int run_gnuplot(const std::filesystem::path& script) {
  const std::string name = script.string();
  const char* const words[] = {"gnuplot", name.c_str(), nullptr};
  pid_t child = 0;
  const int failure = ::posix_spawnp(&child, words[0], nullptr, nullptr, const_cast<char* const*>(words), environ);
  if (failure != 0) {
    throw Error(ErrorKind::kIo,
                "cannot run gnuplot, which draws the plots: " + std::generic_category().message(failure), {}, {},
                "apt-get install gnuplot-nox");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

void plot(imgpack::FileSystem& fs, const std::vector<std::filesystem::path>& targets, const PlotScript& script) {
  if (targets.empty()) return;
  std::vector<std::filesystem::path> pictures;
  for (const std::filesystem::path& target : targets) pictures.push_back(imgpack::temporary_path(target));
  std::filesystem::path program = targets.front();
  program += std::string(".gnuplot") + imgpack::kTemporarySuffix;
  imgpack::publish(fs, program, script(pictures));
  int status = 0;
  try {
    status = run_gnuplot(program);
  } catch (const Error&) {
    imgpack::remove_quietly(fs, program);
    throw;
  }
  imgpack::remove_quietly(fs, program);
  for (size_t i = 0; i < targets.size(); ++i) {
    if (status == 0 && fs.exists(pictures[i])) continue;
    for (const std::filesystem::path& picture : pictures) imgpack::remove_quietly(fs, picture);
    throw Error(ErrorKind::kIo, "gnuplot ended with status " + std::to_string(status) + " and drew nothing",
                targets[i]);
  }
  for (size_t i = 0; i < targets.size(); ++i) fs.rename(pictures[i], targets[i]);
}

void plot(imgpack::FileSystem& fs, const std::filesystem::path& target,
          const std::function<std::string(const std::filesystem::path&)>& script) {
  plot(fs, std::vector<std::filesystem::path>{target},
       [&](const std::vector<std::filesystem::path>& temporaries) { return script(temporaries.front()); });
}

}  // namespace imgtrain
