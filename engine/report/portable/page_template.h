// Pages from templates: markup stays in files of its own (engine/report/page), data comes as JSON.
//
//   template text + {"name": "r<1>", "rows": [{…}, …]}  --render_page-->  HTML
//
// Templates are Mustache: {{name}} is escaped, {{{svg}}} is not (for markup of our own only), {{#rows}}…{{/rows}}
// repeats, {{^rows}}…{{/rows}} stands where there are none.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

namespace imgtrain {

// Numbers are written in their shortest form; an empty text, an empty list, false and null have no section. Throws
// Error(kInternal) for a template that is none.
std::string render_page(std::string_view page, const boost::json::object& data);

}  // namespace imgtrain
