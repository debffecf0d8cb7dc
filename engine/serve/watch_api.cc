#include "engine/serve/watch_api.h"

#include <exception>
#include <string_view>

#include "engine/serve/assets.h"
#include "engine/serve/problem.h"

namespace imgtrain::serve {

void WatchApi::handle(HttpQuery query, Respond respond) {
  HttpReply answer;
  try {
    answer = reply(query);
  } catch (const std::exception& error) {
    answer = problem(500, error.what());
  }
  respond(std::move(answer));
}

HttpReply WatchApi::reply(const HttpQuery& query) {
  constexpr std::string_view kAssets = "/assets/";
  const std::string_view path = query.path;
  const std::string_view asset = path.substr(0, kAssets.size()) == kAssets ? path.substr(kAssets.size()) : "";
  const bool known_asset = !asset.empty() && asset != "openapi.json" && find_asset(asset) != nullptr;
  if (path != "/" && path != "/v1/run" && path != "/healthz" && !known_asset)
    return problem(404, "there is nothing here; / is the page, /v1/run what it shows");
  if (query.method != "GET") {
    HttpReply refused = problem(405, "expected GET");
    refused.headers.emplace_back("Allow", "GET, HEAD");
    return refused;
  }
  if (path == "/") return asset_reply("watch.html");
  if (known_asset) return asset_reply(asset);
  HttpReply answer;
  answer.content_type = "application/json";
  answer.route = path == "/healthz" ? "healthz" : "run";
  answer.body = path == "/healthz" ? "{\"status\":\"ok\"}\n" : view_.snapshot();
  return answer;
}

}  // namespace imgtrain::serve
