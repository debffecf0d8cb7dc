// The files of the pages, compiled into the program: what a server shows never comes from a file system.
#pragma once

#include <string>
#include <string_view>

#include "engine/serve/http_handler.h"

namespace imgtrain::serve {

struct Asset {
  std::string_view name;   // `page.js`
  std::string_view bytes;  // Lives as long as the program.
};

// nullptr: there is none of this name.
const Asset* find_asset(std::string_view name);

// The asset as an answer: its type by its suffix, always asked for anew. REQUIRES: it exists.
HttpReply asset_reply(std::string_view name);

}  // namespace imgtrain::serve
