// What `imgtrain serve` and `imgtrain watch` have in common: where they listen, their limits, and how they say so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/serve/http_server.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

// --address, --port, and the limits of connections, sizes and times.
std::vector<imgpack::cli::Option> server_options(const std::string& default_port);
serve::HttpLimits http_limits(const imgpack::cli::Arguments& arguments);  // Throws Error(kUsage).
uint16_t port_of(const imgpack::cli::Arguments& arguments);               // Throws Error(kUsage).

// The URL on standard output, as text or JSON; `what` and a warning where others can reach it on standard error.
void announce(const imgpack::cli::Arguments& arguments, const serve::HttpServer& server, const std::string& what);

void wait_for_stop();  // Until a signal asks for it.

}  // namespace imgtrain
