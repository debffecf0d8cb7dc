#include "engine/train/run/http_exchange.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace imgtrain {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

std::optional<HttpEndpoint> parse_http_endpoint(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (url.substr(0, kScheme.size()) != kScheme) return std::nullopt;
  std::string rest(url.substr(kScheme.size()));
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  HttpEndpoint endpoint;
  const size_t colon = rest.rfind(':');
  const size_t bracket = rest.rfind(']');
  if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
    endpoint.port = rest.substr(colon + 1);
    rest.erase(colon);
  }
  if (rest.size() > 2 && rest.front() == '[' && rest.back() == ']') rest = rest.substr(1, rest.size() - 2);
  if (rest.empty() || rest.find('/') != std::string::npos || endpoint.port.empty() ||
      endpoint.port.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  endpoint.host = rest;
  return endpoint;
}

std::optional<HttpAnswer> http_exchange(const HttpEndpoint& endpoint, const HttpRequest& what,
                                        std::chrono::milliseconds timeout, size_t max_answer_bytes) {
  constexpr int kHttp11 = 11;
  asio::io_context context;
  beast::tcp_stream stream(context);
  beast::error_code failure;
  // Each asynchronous step is run to its end here: only those obey the stream's time limit.
  const auto run = [&] {
    context.restart();
    context.run();
    return !failure;
  };
  const auto done = [&](beast::error_code error, auto&&...) { failure = error; };
  tcp::resolver resolver(context);
  const auto addresses = resolver.resolve(endpoint.host, endpoint.port, failure);
  if (failure) return std::nullopt;
  stream.expires_after(timeout);
  stream.async_connect(addresses, done);
  if (!run()) return std::nullopt;
  http::request<http::string_body> request(http::string_to_verb(what.method), what.target, kHttp11);
  request.set(http::field::host, endpoint.host);
  for (const auto& [name, value] : what.headers) request.set(name, value);
  request.body() = what.body;
  request.prepare_payload();
  http::async_write(stream, request, done);
  if (!run()) return std::nullopt;
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(max_answer_bytes);
  http::async_read(stream, buffer, parser, done);
  if (!run()) return std::nullopt;
  return HttpAnswer{parser.get().result_int(), parser.get().body()};
}

}  // namespace imgtrain
