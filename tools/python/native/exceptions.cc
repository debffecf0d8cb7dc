#include "tools/python/native/exceptions.h"

#include <nanobind/nanobind.h>

#include "format/error.h"

namespace imgpack::python {
namespace {

namespace nb = nanobind;

const char* class_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return "UsageError";
    case ErrorKind::kIo:
      return "IoError";
    case ErrorKind::kInvalidInput:
      return "InvalidInputError";
    case ErrorKind::kCorruption:
      return "CorruptionError";
    case ErrorKind::kUnsupportedVersion:
      return "UnsupportedVersionError";
    case ErrorKind::kInterrupted:
      return "StoppedError";
    case ErrorKind::kInternal:
      return "InternalError";
  }
  return "InternalError";
}

// File names are bytes; Python's own way of carrying those that are not UTF-8.
nb::object text(const std::string& bytes) {
  return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape"));
}

void raise(const Error& error) {
  const nb::object type = nb::module_::import_("imgpack.errors").attr(class_name(error.kind()));
  const nb::object exception = type(text(error.what()));
  exception.attr("message") = text(error.message());
  exception.attr("path") = error.path().empty() ? nb::none() : text(error.path().string());
  exception.attr("offset") = error.offset().has_value() ? nb::object(nb::int_(*error.offset())) : nb::none();
  exception.attr("hint") = text(error.hint());
  PyErr_SetObject(type.ptr(), exception.ptr());
}

void translate(const std::exception_ptr& thrown, void* /*payload*/) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    try {
      raise(error);
    } catch (nb::python_error& failure) {
      failure.restore();
    }
  }
}

}  // namespace

void translate_errors() {
  nb::register_exception_translator(translate);
}

}  // namespace imgpack::python
