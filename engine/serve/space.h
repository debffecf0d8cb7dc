// A Docker Space (Hugging Face's form): a folder that is pushed as it is and then serves a model's page.
//
//   README.md      front matter: sdk: docker, app_port
//   Dockerfile     the programs' image, the model, the start command
//   .gitattributes weights go through Git LFS
//   model/  examples/
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace imgtrain::serve {

struct SpaceDescription {
  std::string title;    // `resnet50 of r1`
  std::string weights;  // In model/: `resnet50.safetensors`
  std::string card;     // Markdown that stands below the front matter: what the model is.
  std::string image;    // Container image with the programs: `imgtrain:0.1.0`. Its tag or digest pins them.
  bool examples = false;
};

inline constexpr uint16_t kSpacePort = 7860;

// Throws Error(kUsage) for what is no name of a container image, and so could add lines to a Dockerfile.
void require_container_image(const std::string& image);

// Names and texts of the files beside model/ and examples/. No licence is named: that of the weights is their owner's
// to state. Throws Error(kUsage), as require_container_image().
std::vector<std::pair<std::string, std::string>> space_files(const SpaceDescription& space);

}  // namespace imgtrain::serve
