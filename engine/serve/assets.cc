#include "engine/serve/assets.h"

#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain::serve {

// engine/serve/page and its chart library; the build puts them into the binary (cmake/embed_files.cmake).
struct EmbeddedFile {
  const char* name;
  const unsigned char* bytes;
  size_t size;
};
extern const EmbeddedFile kEmbeddedFiles[];
extern const unsigned kEmbeddedFileCount;

namespace {

std::string type_of(std::string_view name) {
  const std::string_view suffix = name.substr(name.rfind('.') + 1);
  if (suffix == "html") return "text/html; charset=utf-8";
  if (suffix == "css") return "text/css; charset=utf-8";
  if (suffix == "js") return "text/javascript; charset=utf-8";
  if (suffix == "json") return "application/json";
  if (suffix == "svg") return "image/svg+xml";
  return "text/plain; charset=utf-8";
}

}  // namespace

const Asset* find_asset(std::string_view name) {
  static const std::vector<Asset> assets = [] {
    std::vector<Asset> list;
    for (unsigned i = 0; i < kEmbeddedFileCount; ++i) {
      const EmbeddedFile& file = kEmbeddedFiles[i];
      list.push_back({file.name, {reinterpret_cast<const char*>(file.bytes), file.size}});
    }
    return list;
  }();
  for (const Asset& asset : assets)
    if (asset.name == name) return &asset;
  return nullptr;
}

HttpReply asset_reply(std::string_view name) {
  const Asset* asset = find_asset(name);
  if (asset == nullptr) throw imgpack::Error(imgpack::ErrorKind::kInternal, "no such page: " + std::string(name));
  HttpReply reply;
  reply.content_type = type_of(name);
  reply.body = std::string(asset->bytes);
  reply.route = "page";
  reply.headers.emplace_back("Cache-Control", "no-cache");
  return reply;
}

}  // namespace imgtrain::serve
