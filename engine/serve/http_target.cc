// Boost.URL is compiled here: Debian's package of it would be one more to install for one function.
#include <boost/url/src.hpp>

#include "engine/serve/http_handler.h"

namespace imgtrain::serve {

bool split_target(std::string_view target, HttpQuery& query) {
  const auto parsed = boost::urls::parse_origin_form(target);
  if (!parsed) return false;
  query.path = parsed->path();
  query.parameters.clear();
  for (const auto& parameter : parsed->params())
    query.parameters.emplace_back(parameter.key, parameter.has_value ? parameter.value : std::string());
  return true;
}

}  // namespace imgtrain::serve
