// imgpack::Error becomes the exception of its kind in imgpack.errors, with the same message.
#pragma once

namespace imgpack::python {

// From now on, whatever bound function throws an Error. Call once, while the module is made.
void translate_errors();

}  // namespace imgpack::python
