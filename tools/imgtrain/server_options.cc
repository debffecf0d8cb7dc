#include "tools/imgtrain/server_options.h"

#include <boost/asio/ip/address.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "engine/train/run/json_text.h"
#include "tools/cli/console.h"
#include "tools/cli/stop_signals.h"

namespace imgtrain {

namespace cli = imgpack::cli;

namespace {

constexpr std::chrono::milliseconds kLook{50};

std::chrono::milliseconds seconds(const cli::Arguments& arguments, const char* name) {
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * arguments.real(name, 0.01, 86'400)));
}

}  // namespace

std::vector<cli::Option> server_options(const std::string& default_port) {
  return {
      {.name = "address",
       .value = "IP",
       .help = "Address to listen on; 0.0.0.0 or :: for all of this machine's.",
       .default_value = "127.0.0.1"},
      {.name = "port", .value = "N", .help = "Port to listen on; 0: a free one.", .default_value = default_port},
      {.name = "connections",
       .value = "N",
       .help = "Connections at a time; more are turned away with 503.",
       .default_value = "256"},
      {.name = "max-body", .value = "BYTES", .help = "Size of one request's body.", .default_value = "20MiB"},
      {.name = "max-bodies",
       .value = "BYTES",
       .help = "Size of all bodies together that are being read or answered.",
       .default_value = "256MiB"},
      {.name = "idle-timeout",
       .value = "SECONDS",
       .help = "Time for a request's header to arrive, also on a connection that is kept.",
       .default_value = "30"},
      {.name = "receive-timeout",
       .value = "SECONDS",
       .help = "Time for a request's body to arrive.",
       .default_value = "30"},
      {.name = "answer-timeout",
       .value = "SECONDS",
       .help = "Time for a request to be answered; then 504.",
       .default_value = "60"},
  };
}

serve::HttpLimits http_limits(const cli::Arguments& arguments) {
  serve::HttpLimits limits;
  limits.connections = arguments.number("connections", 1, 1 << 20);
  limits.body_bytes = arguments.bytes("max-body");
  limits.bodies_bytes = std::max<size_t>(arguments.bytes("max-bodies"), limits.body_bytes);
  limits.idle = seconds(arguments, "idle-timeout");
  limits.receive = seconds(arguments, "receive-timeout");
  limits.answer = seconds(arguments, "answer-timeout");
  return limits;
}

uint16_t port_of(const cli::Arguments& arguments) {
  return static_cast<uint16_t>(arguments.number("port", 0, 65'535));
}

void announce(const cli::Arguments& arguments, const serve::HttpServer& server, const std::string& what) {
  if (!arguments.has("quiet")) cli::console().say(what);
  if (!boost::asio::ip::make_address(arguments.text("address")).is_loopback())
    cli::console().warn("whoever reaches this machine can use the server: it knows no users and no TLS");
  if (arguments.has("json")) {
    std::cout << compact_json(
                     boost::json::object{{"message_type", "listening"}, {"url", server.url()}, {"port", server.port()}})
              << std::endl;
  } else {
    std::cout << server.url() << std::endl;
  }
}

void wait_for_stop() {
  while (!cli::stop_flag().load()) std::this_thread::sleep_for(kLook);
}

}  // namespace imgtrain
