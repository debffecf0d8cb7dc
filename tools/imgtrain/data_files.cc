#include "tools/imgtrain/data_files.h"

#include "format/remote/remote_file_system.h"

namespace imgtrain {

namespace cli = imgpack::cli;
namespace remote = imgpack::remote;

std::vector<cli::Option> url_options() {
  const char* group = "Where --shards is a URL";
  return {{.name = "connections",
           .value = "N",
           .help = "Reads at once, for each process.",
           .default_value = "16",
           .group = group},
          {.name = "cache-limit",
           .value = "BYTES",
           .help = "Most that the folder --cache-dir may hold; 0: all of its disk but 1 GiB.",
           .default_value = "0",
           .group = group},
          {.name = "retry-seconds",
           .value = "S",
           .help = "How long a read that brings nothing is tried again before the run ends.",
           .default_value = "300",
           .group = group}};
}

imgpack::FileSystem& data_files(const cli::Arguments& arguments) {
  remote::RemoteSettings settings;
  settings.requests = remote::patience(static_cast<double>(arguments.number("retry-seconds", 1, 86400)));
  settings.reading.connections = static_cast<uint32_t>(arguments.number("connections", 1, 1024));
  settings.reading.cache_limit = arguments.bytes("cache-limit");
  remote::configure_remote(settings);
  return remote::any_file_system();
}

}  // namespace imgtrain
