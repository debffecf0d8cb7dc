// What `verify --level decode` asks of every image: that it decodes, and that the index tells its size truly.
#pragma once

#include <optional>
#include <string>

#include "format/record.h"

namespace imgpack {

// What is wrong in one line, nullopt: nothing. Safe to call from any number of threads.
std::optional<std::string> check_image(const RecordView& record);

}  // namespace imgpack
