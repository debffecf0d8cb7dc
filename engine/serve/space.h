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

// Names and texts of the files beside model/ and examples/. Throws Error(kUsage) for a title or image that would break
// out of its line.
std::vector<std::pair<std::string, std::string>> space_files(const SpaceDescription& space);

}  // namespace imgtrain::serve
