#include "engine/serve/space.h"

#include <algorithm>

#include "format/error.h"
#include "format/strict_json.h"

namespace imgtrain::serve {

void require_container_image(const std::string& image) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("./:@_-").find(c) != std::string_view::npos;
  };
  if (!image.empty() && std::all_of(image.begin(), image.end(), allowed)) return;
  throw imgpack::Error(imgpack::ErrorKind::kUsage,
                       "image: expected the name of a container image such as registry.example.org/imgtrain:0.1.0, "
                       "found '" +
                           image + "'");
}

std::vector<std::pair<std::string, std::string>> space_files(const SpaceDescription& space) {
  require_container_image(space.image);
  const std::string port = std::to_string(kSpacePort);
  // A JSON string is a YAML one too.
  std::string readme = "---\ntitle: " + imgpack::json_quote(space.title) +
                       "\nemoji: 🔎\ncolorFrom: blue\ncolorTo: indigo\nsdk: docker\napp_port: " + port +
                       "\npinned: false\n---\n\n" + space.card;
  std::string docker = "# Serves the model on port " + port +
                       ". The programs come from the image that is named here, made by\n" +
                       "# scripts/docker/imgtrain.Dockerfile and pushed to where this is built.\n" +
                       "ARG IMGTRAIN_IMAGE=" + space.image + "\nFROM ${IMGTRAIN_IMAGE}\n" +
                       "COPY --chown=1000:1000 model /space/model\n";
  if (space.examples) docker += "COPY --chown=1000:1000 examples /space/examples\n";
  docker += "USER 1000\nEXPOSE " + port + "\nENTRYPOINT [\"imgtrain\"]\nCMD [\"serve\", " +
            imgpack::json_quote("/space/model/" + space.weights) + ", \"--address\", \"0.0.0.0\", \"--port\", \"" +
            port + "\"";
  if (space.examples) docker += ", \"--examples\", \"/space/examples\"";
  docker += "]\n";
  return {{"README.md", readme},
          {"Dockerfile", docker},
          {".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}};
}

}  // namespace imgtrain::serve
