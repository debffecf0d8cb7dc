// What verbs that may read from a URL for a long time have in common.
#pragma once

#include "format/remote/remote_file_system.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgpack {

inline cli::Option retry_option() {
  return {.name = "retry-seconds",
          .value = "S",
          .help = "How long a request to a URL that brings nothing is tried again.",
          .default_value = "300"};
}

// To be called before anything is read. REQUIRES: the verb has retry_option().
inline void use_patience(const cli::Arguments& arguments) {
  remote::configure_remote(
      {remote::patience(static_cast<double>(arguments.number("retry-seconds", 1, 86400))), RemoteReading()});
}

}  // namespace imgpack
