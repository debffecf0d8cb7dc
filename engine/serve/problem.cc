#include "engine/serve/problem.h"

#include <boost/beast/http/status.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "format/utf8.h"

namespace imgtrain::serve {

std::string status_title(unsigned status) {
  return std::string(boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status)));
}

HttpReply problem(unsigned status, const std::string& detail) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "application/problem+json";
  reply.body = boost::json::serialize(boost::json::object{{"type", "about:blank"},
                                                          {"title", status_title(status)},
                                                          {"status", status},
                                                          {"detail", imgpack::to_printable_utf8(detail)}}) +
               "\n";
  if (status == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

}  // namespace imgtrain::serve
